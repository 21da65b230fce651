//! The steps of a request whose key may be a legacy one.

use http::Request;

use super::check::{Check, Progress, Stop};
use super::legacy::Candidate;
use super::lookup::{Answer, Awaited};
use super::waiting::Waiting;
use crate::BoxError;
use crate::decision::Denial;
use crate::error_chain::error_chain;
use crate::observe::LegacyCheck;
use crate::rejection::Outage;
use crate::rejection::reason::Rejection;

impl Check<'_> {
    /// Step 3 for a key in a legacy format: what the store has no record of is offered to the verifier.
    pub(super) fn look_up_legacy<B>(&mut self, candidate: Candidate, request: &mut Request<B>) -> Progress {
        let digest = candidate.digest;
        match self.try_find(&digest) {
            Answer::Found(record) => self.decide(&digest, self.limiter(), record, request),
            Answer::NotFound if self.is_remembered(&candidate) => Err(Stop::Rejected(Denial::Unknown.into())),
            Answer::NotFound => Err(Stop::Waiting(Waiting::for_legacy(self, candidate, true))),
            Answer::Pending => Err(Stop::Waiting(Waiting::for_legacy(self, candidate, false))),
            Answer::Failed(error) => Err(Stop::Rejected(self.unavailable(*error).into())),
        }
    }

    fn is_remembered(&mut self, candidate: &Candidate) -> bool {
        let is_remembered = self.config.legacy.as_ref().is_some_and(|legacy| legacy.is_remembered(&candidate.digest));
        if is_remembered && let Some(facts) = self.facts() {
            facts.legacy = Some(LegacyCheck::NotFound);
        }
        is_remembered
    }

    /// Notes in the event what the verifier made of the key, and in the log that an outage of the verifier has ended.
    #[cold]
    pub(super) fn note_legacy(&mut self, awaited: &Awaited) {
        if let Some(facts) = self.facts() {
            facts.legacy = awaited.legacy;
        }
        let Some(legacy) = self.config.legacy.as_ref().filter(|_| awaited.found.is_ok()) else { return };
        if let Some(ended) = legacy.outage().succeed() {
            tracing::info!(
                "legacy keys are verified again: {} requests got no answer in {:.1?}",
                ended.failures,
                ended.length
            );
        }
    }

    /// Logs the cause once in each outage of the verifier; the client only sees a 503.
    #[cold]
    pub(super) fn unverified(&mut self, outage: Outage, cause: BoxError) -> Rejection {
        let chain = error_chain(&*cause);
        if self.config.legacy.as_ref().is_some_and(|legacy| legacy.outage().fail(&chain)) {
            tracing::warn!("a legacy key was not verified, answering 503: {chain}");
        }
        if let Some(facts) = self.facts() {
            facts.set_store_error(cause, true);
        }
        outage.into()
    }
}
