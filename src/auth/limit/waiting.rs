//! Waits for a limiter, and turns every failure into an outage.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use futures::FutureExt;

use super::limiter::{Attempt, Pending, resolve};
use super::{LimitState, ShownLimit};
use crate::BoxError;
use crate::episode::Episode;
use crate::error_chain::{error_chain, panic_text};
use crate::rejection::Outage;
use crate::rejection::reason::Rejection;

/// What a limiter decided, when nothing is left to wait for.
pub(crate) enum Answered {
    Unlimited,
    Allowed(LimitState),
    Limited(LimitState),
    Rejected(Rejection),
}

/// A limiter gave no answer, and this is why.
pub(crate) struct Unanswered {
    pub(crate) outage: Outage,
    pub(crate) cause: BoxError,
}

/// Waits for the answer, for this time at most.
pub(crate) async fn answer(pending: Pending, timeout: Option<Duration>) -> Result<Answered, Unanswered> {
    // The timer is made inside the guard: where tokio has none, making it panics.
    let guarded = AssertUnwindSafe(async {
        let attempt = Attempt::Pending(pending);
        match timeout {
            Some(timeout) => match tokio::time::timeout(timeout, resolve(attempt)).await {
                Ok(answer) => answer.map_err(|cause| Unanswered { outage: Outage::LimitFailed, cause }),
                Err(elapsed) => Err(Unanswered { outage: Outage::LimitTimedOut, cause: elapsed.into() }),
            },
            None => resolve(attempt).await.map_err(|cause| Unanswered { outage: Outage::LimitFailed, cause }),
        }
    });
    let attempt = guarded.catch_unwind().await.unwrap_or_else(|panic| {
        let cause = format!("the limiter panicked: {}", panic_text(&*panic));
        Err(Unanswered { outage: Outage::LimitFailed, cause: cause.into() })
    })?;
    Answered::of(attempt).map_err(|_| Unanswered { outage: Outage::LimitFailed, cause: "not awaited".into() })
}

impl Answered {
    /// Returns what is left to wait for, if there is no answer yet.
    pub(crate) fn of(attempt: Attempt) -> Result<Self, Pending> {
        Ok(match attempt {
            Attempt::Unlimited => Self::Unlimited,
            Attempt::Allowed(state) => Self::Allowed(state),
            Attempt::Limited(state) => Self::Limited(state),
            Attempt::Rejected(rejection) => Self::Rejected(rejection),
            Attempt::Pending(pending) => return Err(pending),
        })
    }

    pub(crate) fn headers(&self, now: impl FnOnce() -> SystemTime) -> Option<ShownLimit> {
        match self {
            Self::Allowed(state) | Self::Limited(state) => ShownLimit::new(state, now),
            Self::Unlimited | Self::Rejected(_) => None,
        }
    }

    pub(crate) fn rejection(&self) -> Option<Rejection> {
        match self {
            Self::Unlimited | Self::Allowed(_) => None,
            Self::Limited(state) => Some(state.rejection()),
            Self::Rejected(rejection) => Some(*rejection),
        }
    }
}

/// Logs the cause once in each outage; the client only sees a 503.
pub(crate) fn log_unanswered(outage: &Episode, unanswered: &Unanswered) {
    let cause = error_chain(&*unanswered.cause);
    if outage.fail(&cause) {
        tracing::warn!("no answer from the limiter, answering 503: {cause}");
    }
}

/// Logs that an outage has ended.
pub(crate) fn log_answered(outage: &Episode) {
    if let Some(ended) = outage.succeed() {
        tracing::info!("the limiter answers again: {} requests got no answer in {:.1?}", ended.failures, ended.length);
    }
}
