use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName};
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::Service;

use super::layer::{Count, ThrottleLayer};
use super::{Hit, whole_seconds};
use crate::RequestHead;
use crate::auth::{Reply, ResponseBody, refuse_inside, take_ready};
use crate::rejection::Rejection;
use crate::time::Clock;

/// The service that [`ThrottleLayer`] makes.
#[derive(Clone, Debug)]
pub struct Throttle<S> {
    inner: S,
    layer: ThrottleLayer,
}

impl<S> Throttle<S> {
    pub(super) fn new(inner: S, layer: ThrottleLayer) -> Self {
        Self { inner, layer }
    }

    fn refuse<B>(&self, rejection: Rejection, request: &mut Request<B>) -> Response<Bytes> {
        match &self.layer.refuser {
            Some(refuser) => refuser.refuse(rejection, request),
            None => refuse_inside(rejection, request).unwrap_or_else(|| rejection.response_to(request.method())),
        }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Throttle<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ThrottleFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let (told, rejection) = match self.layer.count(RequestHead::of(&request)) {
            Count::Hit(hit) => (Some(Told::new(hit, &*self.layer.clock)), hit.rejection()),
            Count::Unlimited => (None, None),
            Count::Misconfigured => (None, Some(Rejection::Misconfigured)),
        };
        let reply = match rejection {
            None => Reply::inner(self.inner.call(request)),
            Some(rejection) => {
                drop(take_ready(&mut self.inner));
                Reply::own(self.refuse(rejection, &mut request))
            }
        };
        ThrottleFuture { reply, told }
    }
}

/// How things stand, for the client.
#[derive(Clone, Copy)]
struct Told {
    hit: Hit,
    /// Unix time.
    reset: u64,
}

impl Told {
    const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
    const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
    const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

    fn new(hit: Hit, clock: &dyn Clock) -> Self {
        let since_epoch = clock.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { hit, reset: whole_seconds(since_epoch.saturating_add(hit.reset_after())) }
    }

    /// A limit further in is the closer one: its word stands.
    fn add_to(self, headers: &mut HeaderMap) {
        if !headers.contains_key(Self::LIMIT) {
            headers.insert(Self::LIMIT, self.hit.limit().into());
            headers.insert(Self::REMAINING, self.hit.remaining().into());
            headers.insert(Self::RESET, self.reset.into());
        }
    }
}

pin_project! {
    /// The future of [`Throttle`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ThrottleFuture<F> {
        #[pin]
        reply: Reply<F>,
        told: Option<Told>,
    }
}

impl<F, B, E> Future for ThrottleFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut result = ready!(this.reply.poll(cx));
        if let (Ok(response), Some(told)) = (&mut result, *this.told) {
            told.add_to(response.headers_mut());
        }
        Poll::Ready(result)
    }
}

impl<F> fmt::Debug for ThrottleFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrottleFuture").finish_non_exhaustive()
    }
}
