//! The steps of a request that ask a limiter.

use std::time::SystemTime;

use http::{Request, StatusCode};

use super::check::{Check, Progress, Rejected, Stop};
use super::identity::ApiKey;
use super::limit::{Answered, Attempt, LimitCaller, Limiter, ShownLimit, Unanswered, log_unanswered};
use super::waiting::{Counted, Next, Waiting};
use crate::rejection::CredentialError;
use crate::rejection::reason::Rejection;

impl Check<'_> {
    /// Asks a limiter about a request with a valid key, before the requirements are checked.
    pub(super) fn count_key<B>(
        &mut self,
        limiter: &dyn Limiter,
        (key, read): (ApiKey, Option<SystemTime>),
        request: &mut Request<B>,
    ) -> Progress {
        match limiter.try_acquire(self.head(request), LimitCaller::Key(&key)) {
            // Most requests are counted at once, and within their limit.
            Attempt::Allowed(state) => {
                self.headers.limit = ShownLimit::new(&state, || read.unwrap_or_else(|| self.config.clock.now()));
                self.accept(key, request)
            }
            other => self.answered(other, Next::Authorize { key, read }, request),
        }
    }

    /// Asks a limiter before the next step.
    pub(super) fn count<B>(&mut self, limiter: &dyn Limiter, next: Next, request: &mut Request<B>) -> Progress {
        let attempt = limiter.try_acquire(self.head(request), next.caller());
        self.answered(attempt, next, request)
    }

    #[inline(never)]
    fn answered<B>(&mut self, attempt: Attempt, next: Next, request: &mut Request<B>) -> Progress {
        match Answered::of(attempt) {
            Ok(answer) => self.counted(Counted { answer: Ok(answer), next }, request),
            Err(pending) => Err(Stop::Waiting(Waiting::for_limiter(self, pending, next))),
        }
    }

    /// Goes on with a request that a limiter has counted or rejected.
    pub(super) fn counted<B>(&mut self, counted: Counted, request: &mut Request<B>) -> Progress {
        let Counted { answer, next } = counted;
        let rejection = match answer {
            Ok(answer) => {
                // A client that fails learns when it may go on, and not how often it may fail.
                self.headers.limit = match next {
                    Next::Reject(_) => None,
                    Next::Authorize { read: Some(now), .. } => answer.headers(|| now),
                    _ => answer.headers(|| self.config.clock.now()),
                };
                answer.rejection()
            }
            Err(unanswered) => Some(self.unanswered(unanswered)),
        };
        match (rejection, next) {
            (Some(rejection), _) | (None, Next::Reject(rejection)) => Err(Stop::Rejected(rejection.into())),
            (None, Next::Authorize { key, .. }) => self.accept(key, request),
            (None, Next::Identity(identity)) => self.accept_identity(identity, request),
            (None, Next::Anonymous) => self.enter_anonymous(request),
        }
    }

    /// Counts a failed attempt: a client with too many of them is throttled.
    #[cold]
    pub(super) fn count_failure<B>(&mut self, stop: Stop, request: &mut Request<B>) -> Progress {
        match (stop, &self.config.failures) {
            (Stop::Rejected(Rejected { rejection, .. }), Some(limiter)) if is_failed_attempt(rejection) => {
                self.count(&**limiter, Next::Reject(rejection), request)
            }
            (stop, _) => Err(stop),
        }
    }

    #[cold]
    fn unanswered(&mut self, unanswered: Unanswered) -> Rejection {
        log_unanswered(&self.config.limit_outage, &unanswered);
        let Unanswered { outage, cause } = unanswered;
        if let Some(facts) = self.facts() {
            facts.set_store_error(cause, true);
        }
        outage.into()
    }
}

/// Returns whether a credential was presented and rejected. A request without one attempts nothing.
fn is_failed_attempt(rejection: Rejection) -> bool {
    rejection.status() == StatusCode::UNAUTHORIZED && rejection != Rejection::Credential(CredentialError::Missing)
}
