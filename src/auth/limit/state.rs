use std::sync::Arc;
use std::time::Duration;

use super::{Limit, LimitHeaders, Limits};
use crate::rejection::reason::Rejection;

/// How much of a limit is left after a request. Of several limits, it is the closest one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitState {
    limit: Limit,
    reset_after: Duration,
    remaining: u32,
    pub(super) headers: LimitHeaders,
    /// All limits of the request, for `RateLimit-Policy`. `None`: the one above alone.
    policies: Option<Arc<Limits>>,
}

impl LimitState {
    /// Returns the state of a limit: how many requests would be accepted now, and after which time one more is.
    #[must_use]
    pub const fn new(limit: Limit, remaining: u32, reset_after: Duration) -> Self {
        Self { limit, reset_after, remaining, headers: LimitHeaders::XRateLimit, policies: None }
    }

    /// Shows the state in these headers. Without a call, they are the `X-RateLimit-` ones.
    #[must_use]
    pub fn with_headers(self, headers: LimitHeaders) -> Self {
        Self { headers, ..self }
    }

    /// Shows all of these limits in `RateLimit-Policy`. Without a call, it has the [limit](Self::limit) of this state alone.
    #[must_use]
    pub fn with_policies(self, policies: impl Into<Arc<Limits>>) -> Self {
        Self { policies: Some(policies.into()), ..self }
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

    /// The same as [`with_headers`](Self::with_headers) and, for headers that have them, [`with_policies`](Self::with_policies).
    #[cfg(feature = "throttle")]
    pub(crate) fn show(&mut self, headers: LimitHeaders, policies: Option<impl FnOnce() -> Arc<Limits>>) {
        self.headers = headers;
        if let (LimitHeaders::RateLimit | LimitHeaders::Both, Some(policies)) = (headers, policies) {
            self.policies = Some(policies());
        }
    }

    /// Returns the limits that `RateLimit-Policy` shows.
    pub(super) fn policies(&self) -> &[Limit] {
        self.policies.as_ref().map_or(std::slice::from_ref(&self.limit), |policies| policies.as_slice())
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
