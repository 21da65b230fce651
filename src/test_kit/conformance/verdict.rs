//! How a check says that something is not as it must be.

use std::fmt::Debug;

use crate::error_chain::error_chain;
use crate::store::{BoxError, ManageError};

/// What a check ends with, or one of its steps.
pub(super) type Verdict<T = ()> = Result<T, Problem>;

#[derive(Debug)]
pub(super) struct Problem {
    pub(super) expected: String,
    pub(super) seen: String,
}

impl Problem {
    pub(super) fn new(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { expected: expected.into(), seen: seen.into() }
    }
}

pub(super) fn expect(holds: bool, expected: impl Into<String>, seen: &dyn Debug) -> Verdict {
    if holds { Ok(()) } else { Err(Problem::new(expected, format!("{seen:?}"))) }
}

pub(super) fn expect_same<T: PartialEq + Debug + ?Sized>(what: &str, expected: &T, seen: &T) -> Verdict {
    expect(expected == seen, format!("{what}: {expected:?}"), &seen)
}

/// Expects a management call to be refused for this reason and for no other.
pub(super) fn expect_refusal<T: Debug>(what: &str, expected: &ManageError, seen: &Result<T, ManageError>) -> Verdict {
    let reason = std::mem::discriminant(expected);
    let holds = seen.as_ref().is_err_and(|seen| std::mem::discriminant(seen) == reason);
    expect(holds, format!("{what} to end with {expected:?}"), seen)
}

pub(super) trait Expecting<T> {
    /// The value; that there is one is what was expected.
    fn expecting(self, expected: &str) -> Verdict<T>;
}

impl<T, E: Into<BoxError>> Expecting<T> for Result<T, E> {
    fn expecting(self, expected: &str) -> Verdict<T> {
        self.map_err(|error| Problem::new(expected, format!("an error: {}", error_chain(&*error.into()))))
    }
}
