use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower::Service;

use super::ResponseBody;
use super::finish::Finish;
use super::lookup::Found;
use super::settings::{Claim, Reporting, Settings, unavailable};
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
        Waiting { waiting: Option<Waiting<S, B>> },
        Passed { #[pin] future: F, finish: Finish },
        Refused { response: Option<Response<Bytes>> },
    }
}

/// A request whose key is being looked up, with the instance of the inner service that is ready for it.
struct Waiting<S, B> {
    inner: S,
    request: Request<B>,
    claim: Claim,
    lookup: BoxFuture<'static, Found>,
    settings: Arc<Settings>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn passed(future: S::Future, finish: Finish, report: Reporting) -> Self {
        Self { state: State::Passed { future, finish }, report }
    }

    pub(super) fn refused(response: Response<Bytes>, report: Reporting) -> Self {
        Self { state: State::Refused { response: Some(response) }, report }
    }

    pub(super) fn waiting(
        inner: S,
        request: Request<B>,
        claim: Claim,
        lookup: BoxFuture<'static, Found>,
        settings: Arc<Settings>,
        report: Reporting,
    ) -> Self {
        let waiting = Some(Waiting { inner, request, claim, lookup, settings });
        Self { state: State::Waiting { waiting }, report }
    }
}

impl<S, B> Waiting<S, B>
where
    S: Service<Request<B>>,
{
    /// Consumes the ready instance in either case: it is called, or dropped so that it holds nothing back.
    fn conclude(mut self, found: Found, report: &mut Reporting) -> State<S, S::Future, B> {
        let concluded = match found {
            Ok(record) => self.settings.conclude(&self.claim, record, &mut self.request, report),
            Err(error) => Err(unavailable(error, report)),
        };
        match concluded {
            Ok(()) => State::Passed { future: self.inner.call(self.request), finish: self.settings.finish() },
            Err(rejection) => State::Refused { response: Some(self.settings.reject(rejection, &self.request, report)) },
        }
    }
}

impl<S, B, ResBody> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let StateProj::Waiting { waiting } = this.state.as_mut().project() {
            let lookup = &mut waiting.as_mut().expect("polled after a panic").lookup;
            let found = ready!(lookup.as_mut().poll(cx));
            let waiting = waiting.take().expect("it was there a moment ago");
            let decided = waiting.conclude(found, this.report);
            this.state.set(decided);
        }
        match this.state.project() {
            StateProj::Waiting { .. } => unreachable!("decided a moment ago"),
            StateProj::Passed { future, finish } => {
                let mut result = ready!(future.poll(cx));
                let refusal = result.as_mut().ok().and_then(|response| finish.apply(response.headers_mut()));
                if let Some(refusal) = refusal {
                    if let Some(report) = this.report {
                        report.rejection = Some(CredentialError::Missing.into());
                    }
                    emit(this.report, Some(refusal.status()));
                    return Poll::Ready(Ok(refusal.map(ResponseBody::own)));
                }
                emit(this.report, result.as_ref().ok().map(Response::status));
                Poll::Ready(result.map(|response| response.map(ResponseBody::inner)))
            }
            StateProj::Refused { response } => {
                let response = response.take().expect("polled after it was ready");
                emit(this.report, Some(response.status()));
                Poll::Ready(Ok(response.map(ResponseBody::own)))
            }
        }
    }
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
