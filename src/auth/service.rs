use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use super::ResponseBody;
use super::future::ResponseFuture;
use super::reply::take_ready;
use super::settings::{Settings, Step};

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

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let settings = &self.settings;
        let mut report = None;
        let finish = match settings.begin(&mut request, &mut report) {
            Step::Passed(finish) => finish,
            Step::Rejected(rejection) => {
                drop(take_ready(&mut self.inner));
                let response = settings.reject(rejection, &request, &mut report);
                return ResponseFuture::refused(response, report);
            }
            Step::Waiting { claim, lookup } => {
                let inner = take_ready(&mut self.inner);
                return ResponseFuture::waiting(inner, request, claim, lookup, Arc::clone(settings), report);
            }
        };
        ResponseFuture::passed(self.inner.call(request), finish, report)
    }
}

impl<S: fmt::Debug> fmt::Debug for ApiKeyService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
