use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::Service;

use super::ThrottleLayer;
use crate::auth::{
    Answered, Pending, ResponseBody, ShownLimit, Unanswered, answer, log_answered, log_unanswered, take_ready,
};
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;

/// The service that a [`ThrottleLayer`] makes: an inner service behind a limit.
///
/// It changes responses, never errors: an error of the inner service is returned as it is.
#[derive(Clone, Debug)]
pub struct ThrottleService<S> {
    inner: S,
    layer: ThrottleLayer,
}

impl<S> ThrottleService<S> {
    pub(super) const fn new(inner: S, layer: ThrottleLayer) -> Self {
        Self { inner, layer }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for ThrottleService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ThrottleFuture<S, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let attempt = self.layer.try_acquire(RequestHead::new(&request));
        let state = match Answered::of(attempt) {
            Err(pending) => State::waiting(take_ready(&mut self.inner), request, pending, self.layer.clone()),
            Ok(answer) => match answer.rejection() {
                None => State::Inner { future: self.inner.call(request), limit: answer.headers(|| self.layer.now()) },
                Some(rejection) => {
                    drop(take_ready(&mut self.inner));
                    State::rejected(&self.layer, rejection, answer.headers(|| self.layer.now()), &mut request)
                }
            },
        };
        ThrottleFuture { state }
    }
}

pin_project! {
    /// The future of [`ThrottleService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ThrottleFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, S::Future, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, B> {
        Waiting {
            inner: S,
            request: Option<Request<B>>,
            answer: BoxFuture<'static, Result<Answered, Unanswered>>,
            layer: ThrottleLayer,
        },
        Inner { #[pin] future: F, limit: Option<ShownLimit> },
        Rejected { response: Option<Response<Bytes>> },
    }
}

impl<S, F, B> State<S, F, B> {
    fn waiting(inner: S, request: Request<B>, pending: Pending, layer: ThrottleLayer) -> Self {
        let answer = Box::pin(answer(pending, Some(layer.longest())));
        Self::Waiting { inner, request: Some(request), answer, layer }
    }

    fn rejected(
        layer: &ThrottleLayer,
        rejection: Rejection,
        limit: Option<ShownLimit>,
        request: &mut Request<B>,
    ) -> Self {
        let mut response = layer.reject(rejection, request);
        if let Some(limit) = limit {
            limit.apply(response.headers_mut(), 0);
        }
        Self::Rejected { response: Some(response) }
    }
}

impl<S, B, ResBody> Future for ThrottleFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.as_mut().project().state;
        match state.as_mut().project() {
            StateProj::Inner { future, limit } => {
                let mut response = ready!(future.poll(cx))?.map(ResponseBody::inner);
                if let Some(limit) = limit {
                    limit.apply(response.headers_mut(), 0);
                }
                Poll::Ready(Ok(response))
            }
            StateProj::Waiting { inner, request, answer, layer } => {
                let answer = ready!(answer.as_mut().poll(cx));
                let mut request = request.take().expect("it is taken with the state");
                let (rejection, limit) = match answer {
                    Ok(answer) => {
                        log_answered(layer.outage());
                        (answer.rejection(), answer.headers(|| layer.now()))
                    }
                    Err(unanswered) => {
                        log_unanswered(layer.outage(), &unanswered);
                        (Some(unanswered.outage.into()), None)
                    }
                };
                // The ready instance is called, or dropped with this state so that it reserves nothing.
                let next = match rejection {
                    None => State::Inner { future: inner.call(request), limit },
                    Some(rejection) => State::rejected(layer, rejection, limit, &mut request),
                };
                state.set(next);
                self.poll(cx)
            }
            StateProj::Rejected { response } => {
                Poll::Ready(Ok(response.take().expect("polled after it was ready").map(ResponseBody::own)))
            }
        }
    }
}

impl<S, B> fmt::Debug for ThrottleFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrottleFuture").finish_non_exhaustive()
    }
}
