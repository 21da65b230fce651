//! How a check reports what is wrong.

use std::fmt::Debug;

use crate::BoxError;
use crate::error_chain::error_chain;

/// What a check or one of its steps ends with.
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

/// Expects a management call to fail with this variant of its error.
pub(super) fn expect_error<T: Debug, E: Debug>(what: &str, expected: &E, seen: &Result<T, E>) -> Verdict {
    let variant = std::mem::discriminant(expected);
    let holds = seen.as_ref().is_err_and(|seen| std::mem::discriminant(seen) == variant);
    expect(holds, format!("{what} to end with {expected:?}"), seen)
}

pub(super) trait Expecting<T> {
    /// Returns the value. An error is reported as not what was expected.
    fn expecting(self, expected: &str) -> Verdict<T>;
}

impl<T, E: Into<BoxError>> Expecting<T> for Result<T, E> {
    fn expecting(self, expected: &str) -> Verdict<T> {
        self.map_err(|error| Problem::new(expected, format!("an error: {}", error_chain(&*error.into()))))
    }
}
