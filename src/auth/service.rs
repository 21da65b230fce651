use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use super::ResponseBody;
use super::check::{Check, Stop};
use super::config::Configs;
use super::future::ResponseFuture;
use super::gate::take_ready;
use super::waiting::Paused;

/// The service that [`ApiKeyLayer`](crate::ApiKeyLayer) makes: an inner service behind a key check.
///
/// It changes responses, never errors: an error of the inner service is returned as it is.
#[derive(Clone)]
pub struct ApiKeyService<S> {
    inner: S,
    config: Configs,
}

impl<S> ApiKeyService<S> {
    pub(super) const fn new(inner: S, config: Configs) -> Self {
        Self { inner, config }
    }

    /// Returns the inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for ApiKeyService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let mut check = Check::new(self.config.mine(), None, Paused::default());
        match check.begin(&mut request) {
            Ok(()) => ResponseFuture::accepted(self.inner.call(request), check.headers, check.report),
            Err(stopped) => stop(&mut self.inner, check, stopped, request),
        }
    }
}

// Out of line, so that the future of an accepted request is built where it stays.
#[cold]
fn stop<S, B>(inner: &mut S, mut check: Check<'_>, stopped: Stop, request: Request<B>) -> ResponseFuture<S, B>
where
    S: Service<Request<B>> + Clone,
{
    match stopped {
        Stop::Rejected(rejected) => {
            let response = check.reject(rejected, &request);
            drop(take_ready(inner));
            ResponseFuture::rejected(response, check.report)
        }
        Stop::Preflight(unanswered) => ResponseFuture::preflight(inner.call(request), unanswered, check.report),
        Stop::Waiting(waiting) => {
            let Check { thread_config, report, paused, .. } = check;
            ResponseFuture::waiting(take_ready(inner), request, (waiting, paused), Arc::clone(thread_config), report)
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for ApiKeyService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
