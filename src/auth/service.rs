use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use super::ResponseBody;
use super::check::{Check, Progress, Rejected};
use super::config::Configs;
use super::future::ResponseFuture;
use super::gate::take_ready;
use super::waiting::{Paused, Waiting};

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
            Progress::Accepted => ResponseFuture::accepted(self.inner.call(request), check.headers, check.report),
            Progress::Rejected(rejected) => reject(&mut self.inner, check, rejected, &request),
            Progress::Preflight(unanswered) => {
                ResponseFuture::preflight(self.inner.call(request), unanswered, check.report)
            }
            Progress::Waiting(waiting) => wait(&mut self.inner, check, waiting, request),
        }
    }
}

// Out of line, as is `wait`, so that the future of an accepted request is built where it stays.
#[cold]
fn reject<S, B>(inner: &mut S, mut check: Check<'_>, rejected: Rejected, request: &Request<B>) -> ResponseFuture<S, B>
where
    S: Service<Request<B>> + Clone,
{
    let response = check.reject(rejected, request);
    drop(take_ready(inner));
    ResponseFuture::rejected(response, check.report)
}

#[cold]
fn wait<S, B>(inner: &mut S, check: Check<'_>, waiting: Waiting, request: Request<B>) -> ResponseFuture<S, B>
where
    S: Service<Request<B>> + Clone,
{
    let Check { thread_config, report, paused, .. } = check;
    ResponseFuture::waiting(take_ready(inner), request, (waiting, paused), Arc::clone(thread_config), report)
}

impl<S: fmt::Debug> fmt::Debug for ApiKeyService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
