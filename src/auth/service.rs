use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use super::ResponseBody;
use super::future::ResponseFuture;
use super::reply::take_ready;
use super::settings::{Reporting, Settings, Step};
use crate::rejection::Rejection;

/// The service that [`ApiKeyLayer`](crate::ApiKeyLayer) makes: an inner service behind a key check.
///
/// It changes responses, never errors: what the inner service fails with is passed on as it is.
#[derive(Clone)]
pub struct ApiKeyService<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> ApiKeyService<S> {
    pub(super) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
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

    #[inline]
    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let mut report = None;
        match self.settings.begin(&mut request, &mut report) {
            Step::Passed(finish) => ResponseFuture::passed(self.inner.call(request), finish, report),
            Step::Rejected(rejection) => self.refuse(rejection, &request, report),
            Step::Preflight(unanswered) => ResponseFuture::preflight(self.inner.call(request), unanswered, report),
            Step::Waiting(waiting) => {
                let inner = take_ready(&mut self.inner);
                ResponseFuture::waiting(inner, request, waiting, Arc::clone(&self.settings), report)
            }
        }
    }
}

impl<S: Clone> ApiKeyService<S> {
    /// Out of line, so that the response to a request that passes is moved the less.
    #[cold]
    #[inline(never)]
    fn refuse<ReqBody>(
        &mut self,
        rejection: Rejection,
        request: &Request<ReqBody>,
        mut report: Reporting,
    ) -> ResponseFuture<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        drop(take_ready(&mut self.inner));
        ResponseFuture::refused(self.settings.reject(rejection, request, &mut report), report)
    }
}

impl<S: fmt::Debug> fmt::Debug for ApiKeyService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
