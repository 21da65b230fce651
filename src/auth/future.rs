use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower::Service;

use super::ResponseBody;
use super::finish::Finish;
use super::preflight::is_answered;
use super::settings::{Reporting, Settings, Waiting};
use crate::key::CredentialError;

pin_project! {
    /// The future of [`ApiKeyService`](crate::ApiKeyService).
    ///
    /// Dropping it at any point gives back what it holds; the request is then reported as cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, S::Future, B>,
        report: Reporting,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, B> {
        Waiting { inner: S, request: Option<Request<B>>, waiting: Waiting, settings: Arc<Settings> },
        Passed { #[pin] future: F, finish: Finish },
        Preflight { #[pin] future: F, unanswered: Option<Box<Response<Bytes>>> },
        Refused { response: Option<Response<Bytes>> },
    }
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn passed(future: S::Future, finish: Finish, report: Reporting) -> Self {
        Self { state: State::Passed { future, finish }, report }
    }

    pub(super) fn preflight(future: S::Future, unanswered: Box<Response<Bytes>>, report: Reporting) -> Self {
        Self { state: State::Preflight { future, unanswered: Some(unanswered) }, report }
    }

    pub(super) fn refused(response: Response<Bytes>, report: Reporting) -> Self {
        Self { state: State::Refused { response: Some(response) }, report }
    }

    pub(super) fn waiting(
        inner: S,
        request: Request<B>,
        waiting: Waiting,
        settings: Arc<Settings>,
        report: Reporting,
    ) -> Self {
        Self { state: State::Waiting { inner, request: Some(request), waiting, settings }, report }
    }
}

impl<S, B, ResBody> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        let StateProj::Passed { future, finish } = this.state.as_mut().project() else {
            return self.poll_other(cx);
        };
        let response = match ready!(future.poll(cx)) {
            Ok(response) => response,
            Err(error) => {
                emit(this.report, None);
                return Poll::Ready(Err(error));
            }
        };
        let (mut head, body) = response.into_parts();
        finish.apply(&mut head.headers);
        emit(this.report, Some(head.status));
        Poll::Ready(Ok(Response::from_parts(head, ResponseBody::inner(body))))
    }
}

impl<S, B, ResBody> ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    /// Out of line, so that the way of a request that passed is straight.
    #[inline(never)]
    fn poll_other(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<ResponseBody<ResBody>>, S::Error>> {
        let mut this = self.as_mut().project();
        match this.state.as_mut().project() {
            StateProj::Passed { .. } => unreachable!("polled as such"),
            StateProj::Waiting { inner, request, waiting, settings } => {
                let found = ready!(waiting.lookup.as_mut().poll(cx));
                let head = request.as_mut().expect("it is taken with the state");
                // The ready instance is called, or dropped with this state so that it holds nothing back.
                let decided = match settings.conclude_waiting(waiting, found, head, this.report) {
                    Ok(()) => {
                        let future = inner.call(request.take().expect("it was there a moment ago"));
                        State::Passed { future, finish: settings.finish() }
                    }
                    Err(rejection) => State::Refused { response: Some(settings.reject(rejection, head, this.report)) },
                };
                this.state.set(decided);
                self.poll(cx)
            }
            StateProj::Preflight { future, unanswered } => {
                let result = ready!(future.poll(cx));
                if result.as_ref().is_ok_and(|response| !is_answered(response.headers())) {
                    if let Some(report) = this.report {
                        report.rejection = Some(CredentialError::Missing.into());
                    }
                    let refusal = *unanswered.take().expect("polled after it was ready");
                    return Poll::Ready(Ok(own(refusal, this.report)));
                }
                emit(this.report, result.as_ref().ok().map(Response::status));
                Poll::Ready(result.map(|response| response.map(ResponseBody::inner)))
            }
            StateProj::Refused { response } => {
                let response = response.take().expect("polled after it was ready");
                Poll::Ready(Ok(own(response, this.report)))
            }
        }
    }
}

/// A reply of this crate.
fn own<B>(response: Response<Bytes>, report: &mut Reporting) -> Response<ResponseBody<B>> {
    emit(report, Some(response.status()));
    response.map(ResponseBody::own)
}

fn emit(report: &mut Reporting, status: Option<StatusCode>) {
    if let Some(report) = report.take() {
        report.finish(status);
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
