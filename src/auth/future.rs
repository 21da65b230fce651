use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::Service;

use super::ResponseBody;
use super::lookup::Found;
use super::preflight::is_answered;
use super::reply::Reply;
use super::settings::{Claim, Reporting, Settings};
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
        cache_control: bool,
        // The reply to a preflight that no CORS layer answers.
        unanswered: Option<Box<Response<Bytes>>>,
        report: Reporting,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, B> {
        Waiting { waiting: Option<Waiting<S, B>> },
        Decided { #[pin] reply: Reply<F> },
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
    pub(super) fn decided(reply: Reply<S::Future>, settings: &Settings, report: Reporting) -> Self {
        Self { state: State::Decided { reply }, cache_control: settings.cache_control, unanswered: None, report }
    }

    /// Nobody's key was asked for, so that the reply may be cached.
    pub(super) fn public(reply: Reply<S::Future>, report: Reporting) -> Self {
        Self { state: State::Decided { reply }, cache_control: false, unanswered: None, report }
    }

    pub(super) fn preflight(
        reply: Reply<S::Future>,
        unanswered: Box<Response<Bytes>>,
        settings: &Settings,
        report: Reporting,
    ) -> Self {
        Self { unanswered: Some(unanswered), ..Self::decided(reply, settings, report) }
    }

    pub(super) fn waiting(
        inner: S,
        request: Request<B>,
        claim: Claim,
        lookup: BoxFuture<'static, Found>,
        settings: Arc<Settings>,
        report: Reporting,
    ) -> Self {
        let cache_control = settings.cache_control;
        let waiting = Some(Waiting { inner, request, claim, lookup, settings });
        Self { state: State::Waiting { waiting }, cache_control, unanswered: None, report }
    }
}

impl<S, B> Waiting<S, B>
where
    S: Service<Request<B>>,
{
    /// Consumes the ready instance in either case: it is called, or dropped so that it holds nothing back.
    fn conclude(mut self, found: Found, report: &mut Reporting) -> Reply<S::Future> {
        match self.settings.conclude(self.claim, found, &mut self.request, report) {
            Ok(()) => Reply::inner(self.inner.call(self.request)),
            Err(rejection) => {
                let rejection = self.settings.throttle(rejection, &self.request);
                if let Some(report) = report {
                    report.rejection = Some(rejection);
                }
                Reply::own(self.settings.refuse(rejection, &self.request))
            }
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
        loop {
            let reply = match this.state.as_mut().project() {
                StateProj::Decided { reply } => {
                    let from_inner = reply.is_inner();
                    let mut result = ready!(reply.poll(cx));
                    if let Ok(response) = &mut result
                        && let Some(unanswered) = this.unanswered.take()
                        && !is_answered(response.headers())
                    {
                        *response = unanswered.map(ResponseBody::own);
                        if let Some(report) = this.report {
                            report.rejection = Some(CredentialError::Missing.into());
                        }
                    } else if let Ok(response) = &mut result
                        && from_inner
                        && *this.cache_control
                    {
                        let headers = response.headers_mut();
                        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private"));
                    }
                    if let Some(report) = this.report.take() {
                        report.finish(result.as_ref().ok().map(Response::status));
                    }
                    return Poll::Ready(result);
                }
                StateProj::Waiting { waiting } => {
                    let lookup = &mut waiting.as_mut().expect("polled after a panic").lookup;
                    let found = ready!(lookup.as_mut().poll(cx));
                    let waiting = waiting.take().expect("it was there a moment ago");
                    waiting.conclude(found, this.report)
                }
            };
            this.state.set(State::Decided { reply });
        }
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
