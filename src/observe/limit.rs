use std::fmt;

/// What a rule of the feature `throttle` did with a request, for metrics.
pub struct LimitEvent<'a> {
    name: &'static str,
    outcome: LimitOutcome,
    store_error: Option<&'a (dyn std::error::Error + Send + Sync + 'static)>,
}

/// Whether a request was within its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitOutcome {
    /// It was counted.
    Allowed,
    /// It was rejected with a 429.
    Limited,
    /// It was accepted, since the rule only watches.
    WouldLimit,
    /// It was not counted, since the store did not answer.
    Failed,
}

impl LimitOutcome {
    /// Returns a short word for logs and metrics, stable between releases.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Limited => "limited",
            Self::WouldLimit => "would_limit",
            Self::Failed => "failed",
        }
    }
}

impl<'a> LimitEvent<'a> {
    #[cfg(feature = "throttle")]
    pub(crate) const fn new(
        name: &'static str,
        outcome: LimitOutcome,
        store_error: Option<&'a (dyn std::error::Error + Send + Sync + 'static)>,
    ) -> Self {
        Self { name, outcome, store_error }
    }

    /// Returns the name of the rule.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns whether the request was within its limit.
    #[must_use]
    pub const fn outcome(&self) -> LimitOutcome {
        self.outcome
    }

    /// Returns why the store did not count the request. It may have been counted in this process instead.
    #[must_use]
    pub const fn store_error(&self) -> Option<&'a (dyn std::error::Error + Send + Sync + 'static)> {
        self.store_error
    }
}

impl fmt::Debug for LimitEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitEvent")
            .field("name", &self.name)
            .field("outcome", &self.outcome)
            .field("store_error", &self.store_error)
            .finish()
    }
}
