use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::Service;
use tower_layer::Layer;

use super::Client;
use super::client::log_missing;
use crate::ApiKeyLayer;
use crate::auth::{Refuser, Reply, ResponseBody, take_ready};
use crate::rejection::Rejection;

/// Refuses plain HTTP: 403, "HTTPS is required.", before any key is looked up.
///
/// It stands inside a [`ClientLayer`](super::ClientLayer), which knows whether the client is on HTTPS, and outside
/// the [`ApiKeyLayer`]. It replies as that one does, and tells the hook of
/// [`on_decision`](ApiKeyLayer::on_decision) about each request that it refuses. A key that came with one has
/// crossed the network in the clear: [`DecisionEvent::exposed`](crate::DecisionEvent::exposed) names it by its
/// digest, with which [`KeyStore::find`](crate::KeyStore::find) tells whose it is. Have it revoked.
///
/// `https` in the target of a request, such as `:scheme` of HTTP/2, is the client's word and proves nothing. Without
/// a [`Client`] the answer is 500 and the log says why; the request never passes.
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_api_key::transport::{ClientLayer, RequireHttpsLayer};
/// use tower_api_key::{ApiKeyLayer, MemoryStore, Outcome};
///
/// let keys = ApiKeyLayer::new(MemoryStore::new()).on_decision(|event| {
///     if let Some(digest) = event.exposed() {
///         eprintln!("a key was sent in the clear: {digest:?}");
///     }
/// });
/// let guard = ServiceBuilder::new()
///     .layer(ClientLayer::new())
///     .layer(RequireHttpsLayer::new(&keys))
///     .layer(keys);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct RequireHttpsLayer {
    refuser: Refuser,
}

impl RequireHttpsLayer {
    /// A layer that reads, replies and reports as this one does. Later changes to it go unnoticed.
    pub fn new(keys: &ApiKeyLayer) -> Self {
        Self { refuser: keys.refuser() }
    }
}

impl<S> Layer<S> for RequireHttpsLayer {
    type Service = RequireHttps<S>;

    fn layer(&self, inner: S) -> RequireHttps<S> {
        RequireHttps { inner, refuser: self.refuser.clone() }
    }
}

/// The service that [`RequireHttpsLayer`] makes.
#[derive(Clone, Debug)]
pub struct RequireHttps<S> {
    inner: S,
    refuser: Refuser,
}

fn judge<B>(request: &Request<B>) -> Result<(), Rejection> {
    match request.extensions().get::<Client>() {
        Some(client) if client.is_https() => Ok(()),
        Some(_) => Err(Rejection::HttpsRequired),
        None => {
            log_missing("a RequireHttpsLayer");
            Err(Rejection::Misconfigured)
        }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for RequireHttps<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = RequireHttpsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let reply = match judge(&request) {
            Ok(()) => Reply::inner(self.inner.call(request)),
            Err(rejection) => {
                drop(take_ready(&mut self.inner));
                Reply::own(self.refuser.refuse(rejection, &mut request))
            }
        };
        RequireHttpsFuture { reply }
    }
}

pin_project! {
    /// The future of [`RequireHttps`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RequireHttpsFuture<F> {
        #[pin]
        reply: Reply<F>,
    }
}

impl<F, B, E> Future for RequireHttpsFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().reply.poll(cx)
    }
}

impl<F> fmt::Debug for RequireHttpsFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireHttpsFuture").finish_non_exhaustive()
    }
}
