use std::time::Duration;

use super::Subject;
use crate::Rejection;
use crate::auth::{Attempt, Limit, LimitState, Limits};

/// One request to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    name: &'static str,
    subject: Subject,
    limits: Limits,
    cost: u32,
}

impl Hit {
    /// Returns a hit of this subject that costs 1.
    #[must_use]
    pub fn new(subject: impl Into<Subject>, limits: impl Into<Limits>) -> Self {
        Self { name: "", subject: subject.into(), limits: limits.into(), cost: 1 }
    }

    pub(super) const fn of(name: &'static str, subject: Subject, limits: Limits, cost: u32) -> Self {
        Self { name, subject, limits, cost }
    }

    /// Counts apart from hits with another name.
    #[must_use]
    pub fn with_name(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// Counts as this many requests. A hit that costs more than a limit is never allowed, and one that costs nothing always is.
    #[must_use]
    pub fn with_cost(self, cost: u32) -> Self {
        Self { cost, ..self }
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns whose request it is.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Returns the limits, all of which must allow it.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns as how many requests it counts.
    #[must_use]
    pub const fn cost(&self) -> u32 {
        self.cost
    }
}

/// Whether a [`Hit`] was counted.
#[expect(clippy::exhaustive_enums, reason = "a hit is counted or not")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It is within its limits, and counted in each.
    Allowed(LimitState),
    /// It is beyond one of its limits, and counted in none.
    Limited(LimitState),
}

impl Acquired {
    /// The answer to a hit without limits.
    pub(super) fn unlimited() -> Self {
        let none = Limit::new(u32::MAX, Duration::ZERO);
        Self::Allowed(LimitState::new(none, u32::MAX, Duration::ZERO))
    }

    /// Returns whether the hit was counted.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// Returns the state of the closest limit.
    #[must_use]
    pub const fn state(&self) -> &LimitState {
        match self {
            Self::Allowed(state) | Self::Limited(state) => state,
        }
    }

    /// Returns the documented rejection of a hit that was not counted, for a handler that counts by itself.
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        match self {
            Self::Allowed(_) => None,
            Self::Limited(state) => Some(state.rejection()),
        }
    }
}

impl From<Acquired> for Attempt {
    fn from(acquired: Acquired) -> Self {
        match acquired {
            Acquired::Allowed(state) => Self::Allowed(state),
            Acquired::Limited(state) => Self::Limited(state),
        }
    }
}
