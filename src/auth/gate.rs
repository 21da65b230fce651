//! The service of every layer that only accepts or rejects: scopes, HTTPS and limits.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::Service;

use super::ResponseBody;

/// Accepts or rejects a request before the inner service is called.
#[expect(unnameable_types, reason = "sealed: it is public only as the bound of a public type")]
pub trait Gate: Clone {
    /// What is done to the headers of every response.
    type Finish: Finish;

    /// Returns the response to a rejected request, and what is done to the headers of any response.
    fn enter<B>(&self, request: &mut Request<B>) -> (Option<Response<Bytes>>, Self::Finish);
}

/// Changes the headers of a response.
#[expect(unnameable_types, reason = "sealed: it is public only as the bound of a public type")]
pub trait Finish {
    fn apply(&self, headers: &mut HeaderMap);
}

/// Changes nothing.
impl Finish for () {
    fn apply(&self, _: &mut HeaderMap) {}
}

/// An inner service behind one of the layers [`RequireScopesLayer`](super::RequireScopesLayer),
/// `RequireHttpsLayer` and `ThrottleLayer`.
///
/// It changes responses, never errors: an error of the inner service is returned as it is.
#[derive(Clone, Debug)]
pub struct GateService<S, G> {
    inner: S,
    gate: G,
}

impl<S, G> GateService<S, G> {
    pub(crate) const fn new(inner: S, gate: G) -> Self {
        Self { inner, gate }
    }
}

impl<S, G, ReqBody, ResBody> Service<Request<ReqBody>> for GateService<S, G>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    G: Gate,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = GateFuture<S::Future, G::Finish>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let (rejection, finish) = self.gate.enter(&mut request);
        let state = match rejection {
            None => State::Inner { future: self.inner.call(request) },
            Some(response) => {
                drop(take_ready(&mut self.inner));
                State::Rejected { response: Some(response) }
            }
        };
        GateFuture { state, finish }
    }
}

/// Takes the instance that was polled ready and leaves a fresh clone, as the contract of [`tower::Service`] requires.
/// Dropping the returned instance releases what readiness had reserved, such as the permit of a concurrency limit.
pub(super) fn take_ready<S: Clone>(inner: &mut S) -> S {
    let fresh = inner.clone();
    mem::replace(inner, fresh)
}

pin_project! {
    /// The future of [`GateService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct GateFuture<F, E> {
        #[pin]
        state: State<F>,
        finish: E,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Inner { #[pin] future: F },
        Rejected { response: Option<Response<Bytes>> },
    }
}

impl<F, B, E, H> Future for GateFuture<F, H>
where
    F: Future<Output = Result<Response<B>, E>>,
    H: Finish,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = match this.state.project() {
            StateProj::Inner { future } => ready!(future.poll(cx)).map(|response| response.map(ResponseBody::inner)),
            StateProj::Rejected { response } => {
                Ok(response.take().expect("polled after it was ready").map(ResponseBody::own))
            }
        };
        Poll::Ready(result.map(|mut response| {
            this.finish.apply(response.headers_mut());
            response
        }))
    }
}

impl<F, E> fmt::Debug for GateFuture<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateFuture").finish_non_exhaustive()
    }
}
