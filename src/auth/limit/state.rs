use std::time::Duration;

use super::{Limit, LimitHeaders, Limits};
use crate::rejection::reason::Rejection;

/// What a request left of its limit: of several limits, of the closest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitState {
    limit: Limit,
    remaining: u32,
    reset_after: Duration,
    /// All limits of the request, for `RateLimit-Policy`.
    pub(super) policies: Limits,
    pub(super) headers: LimitHeaders,
}

impl LimitState {
    /// Returns the state of a limit: how many requests would be accepted now, and after which time one more is.
    #[must_use]
    pub fn new(limit: Limit, remaining: u32, reset_after: Duration) -> Self {
        Self { limit, remaining, reset_after, policies: limit.into(), headers: LimitHeaders::default() }
    }

    /// Shows the state in these headers, and all of these limits in `RateLimit-Policy`.
    #[must_use]
    pub const fn shown_in(self, headers: LimitHeaders, policies: Limits) -> Self {
        Self { policies, headers, ..self }
    }

    /// Returns the limit.
    #[must_use]
    pub const fn limit(&self) -> Limit {
        self.limit
    }

    /// Returns how many more requests would be accepted now.
    #[must_use]
    pub const fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Returns after which time one more request is accepted or, for a rejected request, one of the same cost.
    #[must_use]
    pub const fn reset_after(&self) -> Duration {
        self.reset_after
    }

    /// Returns [`reset_after`](Self::reset_after) in whole seconds, rounded up: at least 1.
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        whole_seconds(self.reset_after).max(1)
    }

    /// Returns the documented rejection of a request beyond the limit, for a handler that counts by itself.
    #[must_use]
    pub fn rejection(&self) -> Rejection {
        Rejection::Throttled { retry_after: self.retry_after() }
    }

    /// Of two states of accepted requests, returns the one that is closer to its limit.
    pub(crate) fn closer(self, other: Self) -> Self {
        if (other.remaining, self.reset_after) < (self.remaining, other.reset_after) { other } else { self }
    }

    /// Of two states of rejected requests, returns the one that is to be waited for.
    #[cfg(feature = "throttle")]
    pub(crate) fn later(self, other: Self) -> Self {
        if other.reset_after > self.reset_after { other } else { self }
    }
}

/// Rounded up: a client that waits this long is not early.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}
