use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::Service;

use super::ResponseBody;
use super::check::{Check, Stop};
use super::config::ThreadConfig;
use super::preflight::{is_answered, without_body};
use super::response_headers::ResponseHeaders;
use super::waiting::{Paused, Waiting};
use crate::observe::Report;
use crate::rejection::CredentialError;

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
        report: Option<Report>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, B> {
        Waiting { inner: S, request: Option<Request<B>>, waiting: Waiting, paused: Paused, config: ThreadConfig },
        Accepted { #[pin] future: F, headers: ResponseHeaders },
        Preflight { #[pin] future: F, unanswered: Option<Box<Response<Bytes>>> },
        Rejected { response: Option<Response<Bytes>> },
    }
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn accepted(future: S::Future, headers: ResponseHeaders, report: Option<Report>) -> Self {
        Self { state: State::Accepted { future, headers }, report }
    }

    pub(super) fn preflight(future: S::Future, unanswered: Box<Response<Bytes>>, report: Option<Report>) -> Self {
        Self { state: State::Preflight { future, unanswered: Some(unanswered) }, report }
    }

    pub(super) fn rejected(response: Response<Bytes>, report: Option<Report>) -> Self {
        Self { state: State::Rejected { response: Some(response) }, report }
    }

    pub(super) fn waiting(
        inner: S,
        request: Request<B>,
        (waiting, paused): (Waiting, Paused),
        config: ThreadConfig,
        report: Option<Report>,
    ) -> Self {
        Self { state: State::Waiting { inner, request: Some(request), waiting, paused, config }, report }
    }
}

impl<S, B, ResBody> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        match this.state.as_mut().project() {
            StateProj::Accepted { future, headers } => {
                let mut polled = future.poll(cx);
                match &mut polled {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(response)) => {
                        if this.report.is_some() {
                            emit(this.report, Some(response));
                        }
                        headers.apply(response.headers_mut());
                    }
                    Poll::Ready(Err(_)) => emit::<ResBody>(this.report, None),
                }
                polled.map_ok(|response| response.map(ResponseBody::inner))
            }
            StateProj::Rejected { response } => {
                let response = response.take().expect("polled after it was ready");
                Poll::Ready(Ok(own(response, this.report)))
            }
            StateProj::Waiting { .. } | StateProj::Preflight { .. } => self.poll_other(cx),
        }
    }
}

type Output<S, B, ResBody> = Result<Response<ResponseBody<ResBody>>, <S as Service<Request<B>>>::Error>;

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    /// Polls a request that waits, or a preflight.
    // Out of line, since most requests are accepted or rejected at once.
    #[cold]
    fn poll_other<ResBody>(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output<S, B, ResBody>>
    where
        S: Service<Request<B>, Response = Response<ResBody>>,
    {
        let mut this = self.as_mut().project();
        match this.state.as_mut().project() {
            StateProj::Accepted { .. } | StateProj::Rejected { .. } => self.poll(cx),
            StateProj::Waiting { inner, request: kept, waiting, paused, config } => {
                let waited_for = ready!(waiting.poll(cx));
                let mut request = kept.take().expect("it is taken with the state");
                let mut check = Check::new(config, this.report.take(), *paused);
                // The ready instance is called, or dropped with this state so that it reserves nothing.
                let next = match check.resume(waited_for, &mut request) {
                    Ok(()) => State::Accepted { future: inner.call(request), headers: check.headers },
                    Err(Stop::Waiting(next)) => {
                        (*waiting, *paused) = (next, check.paused);
                        *kept = Some(request);
                        *this.report = check.report;
                        return self.poll(cx);
                    }
                    Err(Stop::Rejected(rejection)) => {
                        State::Rejected { response: Some(check.reject(rejection, &request)) }
                    }
                    Err(Stop::Preflight(_)) => unreachable!("a preflight does not wait"),
                };
                *this.report = check.report;
                this.state.set(next);
                self.poll(cx)
            }
            StateProj::Preflight { future, unanswered } => {
                let mut result = ready!(future.poll(cx));
                if result.as_ref().is_ok_and(|response| !is_answered(response.headers())) {
                    let mut response = *unanswered.take().expect("polled after it was ready");
                    if let Some(report) = this.report.take() {
                        expose_route(&report, &mut response);
                        report.finish_rejected(CredentialError::Missing.into(), response.status());
                    }
                    return Poll::Ready(Ok(response.map(ResponseBody::own)));
                }
                emit(this.report, result.as_mut().ok());
                Poll::Ready(result.map(without_body))
            }
        }
    }
}

/// Returns a response of this crate.
fn own<B>(mut response: Response<Bytes>, report: &mut Option<Report>) -> Response<ResponseBody<B>> {
    emit(report, Some(&mut response));
    response.map(ResponseBody::own)
}

fn emit<B>(report: &mut Option<Report>, response: Option<&mut Response<B>>) {
    let Some(report) = report.take() else { return };
    let status = response.as_ref().map(|response| response.status());
    if let Some(response) = response {
        expose_route(&report, response);
    }
    report.finish(status);
}

fn expose_route<B>(report: &Report, response: &mut Response<B>) {
    if let Some(route) = report.exposed_route() {
        response.extensions_mut().insert(route);
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
