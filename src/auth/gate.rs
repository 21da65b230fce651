//! The service of every layer that only accepts or rejects: scopes and HTTPS.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::Service;

use super::ResponseBody;

/// Accepts or rejects a request before the inner service is called.
#[expect(unnameable_types, reason = "sealed: it is public only as the bound of a public type")]
pub trait Gate: Clone {
    /// Returns the response to a rejected request.
    fn enter<B>(&self, request: &mut Request<B>) -> Option<Response<Bytes>>;
}

/// An inner service behind a [`RequireScopesLayer`](super::RequireScopesLayer) or
/// [`RequireHttpsLayer`](crate::transport::RequireHttpsLayer).
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
    type Future = GateFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let state = match self.gate.enter(&mut request) {
            None => State::Inner { future: self.inner.call(request) },
            Some(response) => {
                drop(take_ready(&mut self.inner));
                State::Rejected { response: Some(response) }
            }
        };
        GateFuture { state }
    }
}

/// Takes the instance that was polled ready and leaves a fresh clone, as the contract of [`tower::Service`] requires.
/// Dropping the returned instance releases what readiness had reserved, such as the permit of a concurrency limit.
pub(crate) fn take_ready<S: Clone>(inner: &mut S) -> S {
    let fresh = inner.clone();
    mem::replace(inner, fresh)
}

pin_project! {
    /// The future of [`GateService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct GateFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Inner { #[pin] future: F },
        Rejected { response: Option<Response<Bytes>> },
    }
}

impl<F, B, E> Future for GateFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().state.project() {
            StateProj::Inner { future } => ready!(future.poll(cx)).map(|response| response.map(ResponseBody::inner)),
            StateProj::Rejected { response } => {
                Ok(response.take().expect("polled after it was ready").map(ResponseBody::own))
            }
        })
    }
}

impl<F> fmt::Debug for GateFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateFuture").finish_non_exhaustive()
    }
}
