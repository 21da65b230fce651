use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::Service;
use tower_layer::Layer;

use super::form::Form;
use super::{EndStreamsBody, KeyEnded};
use crate::auth::ResponseBody;
use crate::auth::gate::take_ready;
use crate::auth::identity::ApiKey;
use crate::auth::keyless::Keyless;
use crate::rejection::Responder;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;

/// Ends response bodies when their key ends: event streams, downloads, gRPC streams.
///
/// A key is checked once for each request. Inside an [`ApiKeyLayer`](crate::ApiKeyLayer), this layer checks the keys of open
/// responses from then on, as [`ApiKey::ended`] does, and ends the body within a second after the key is revoked, suspended or
/// expired, or has lost a scope of the route:
///
/// | response | ends with |
/// |---|---|
/// | `text/event-stream` | the end of the body: the client connects again, and gets the 401 |
/// | gRPC, gRPC-Web | a `grpc-status`: 16 for a key that is no longer valid, 7 for a lost scope, 14 in an outage |
/// | anything else | the error [`StreamEnded`](super::StreamEnded): a connection that is closed (HTTP/1) or a stream that is reset (HTTP/2), so that a download that was cut does not look complete |
///
/// While a client does not read, the body is not asked for more. It ends when the client reads again, at the latest.
///
/// The layer is inside the `ApiKeyLayer`, and outside a layer that changes bodies, such as compression: then it sees the content
/// type that the client gets. A request body is not ended, nor is a WebSocket: there, a handler selects on
/// [`ApiKey::ended`]. A response without a key is left as it is, on public routes and with the
/// [identity](crate::ApiKeyLayer::accept_identity) of a login, whose end this crate does not know.
///
/// ```
/// use axum::{Router, body::Body, routing::get};
/// use tower_api_key::auth::EndStreamsLayer;
/// use tower_api_key::background::Background;
/// use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// async fn download() -> Body {
///     Body::from("a long file")
/// }
///
/// fn app(keys: MemoryStore, background: &Background) -> Router {
///     let layer = ApiKeyLayer::new(keys);
///     // One task for all open streams. Without it, each stream has a timer.
///     background.run(layer.watch_streams());
///     Router::new().route("/download", get(download)).layer(EndStreamsLayer::new()).layer(layer)
/// }
/// ```
///
/// # Panics
/// A body that is watched panics on a runtime other than tokio's, or one without its timer.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct EndStreamsLayer {}

impl EndStreamsLayer {
    /// Returns the layer.
    pub const fn new() -> Self {
        Self {}
    }
}

impl<S> Layer<S> for EndStreamsLayer {
    type Service = EndStreamsService<S>;

    fn layer(&self, inner: S) -> EndStreamsService<S> {
        EndStreamsService { inner }
    }
}

/// The service that [`EndStreamsLayer`] makes.
///
/// It changes response bodies, never errors: an error of the inner service is returned as it is.
#[derive(Clone, Debug)]
pub struct EndStreamsService<S> {
    inner: S,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for EndStreamsService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<EndStreamsBody<ResBody>>;
    type Error = S::Error;
    type Future = EndStreamsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let head = RequestHead::new(&request);
        let state = match ended(head) {
            Ok(ended) => State::Inner { future: self.inner.call(request), ended },
            Err(rejection) => {
                drop(take_ready(&mut self.inner));
                State::Rejected { response: Some(Responder::documented().respond(rejection, head)) }
            }
        };
        EndStreamsFuture { state }
    }
}

/// Returns the end of the key of this request, if it has one.
fn ended(request: RequestHead<'_>) -> Result<Option<KeyEnded>, Rejection> {
    let extensions = request.extensions();
    if let Some(key) = extensions.get::<ApiKey>() {
        return Ok(Some(key.ended_for(request)));
    }
    if extensions.get::<Keyless>().is_some() {
        return Ok(None);
    }
    tracing::error!(
        "an EndStreamsLayer got a request without an API key: no ApiKeyLayer is outside it (in an axum Router, the layer that \
         is added last runs first); answering 500"
    );
    Err(Rejection::Misconfigured)
}

pin_project! {
    /// The future of [`EndStreamsService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct EndStreamsFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Inner { #[pin] future: F, ended: Option<KeyEnded> },
        Rejected { response: Option<Response<Bytes>> },
    }
}

impl<F, B, E> Future for EndStreamsFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<EndStreamsBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().state.project() {
            StateProj::Inner { future, ended } => {
                let response = ready!(future.poll(cx))?;
                let form = Form::of(response.headers());
                Ok(response.map(|body| match ended.take() {
                    Some(ended) => EndStreamsBody::watched(ResponseBody::inner(body), ended, form),
                    None => EndStreamsBody::unwatched(ResponseBody::inner(body)),
                }))
            }
            StateProj::Rejected { response } => {
                let response = response.take().expect("polled after it was ready");
                Ok(response.map(|bytes| EndStreamsBody::unwatched(ResponseBody::own(bytes))))
            }
        })
    }
}

impl<F> fmt::Debug for EndStreamsFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndStreamsFuture").finish_non_exhaustive()
    }
}
