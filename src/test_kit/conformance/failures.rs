use std::fmt;

use super::verdict::Problem;

/// The checks that a store failed. Both `Display` and `Debug` list them, one a line, so that `unwrap` in a test shows what
/// is wrong.
pub struct Failures {
    checks: usize,
    failures: Vec<Failure>,
}

impl Failures {
    pub(super) const fn new(checks: usize) -> Self {
        Self { checks, failures: Vec::new() }
    }

    pub(super) fn add(&mut self, check: &'static str, problem: Problem) {
        let Problem { expected, seen } = problem;
        self.failures.push(Failure { check, expected, seen });
    }

    pub(super) fn into_result(self) -> Result<(), Self> {
        if self.failures.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Returns each check that failed, in the order of [`Conformance::checks`](super::Conformance::checks).
    pub fn iter(&self) -> impl Iterator<Item = &Failure> {
        self.failures.iter()
    }

    /// Returns the names of the checks that failed, in the order of [`Conformance::checks`](super::Conformance::checks): for a store that differs on purpose and
    /// must not differ in anything else.
    ///
    /// ```
    /// use tower_api_key::key::KeyRecord;
    /// use tower_api_key::test_kit::Conformance;
    /// use tower_api_key::{BoxError, MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// // A table without a column for the expiry.
    /// let keep = async |store: &MemoryStore, key: KeyRecord| -> Result<(), BoxError> {
    ///     store.add(key.with_expires_at(None))?;
    ///     Ok(())
    /// };
    /// let failures = Conformance::of_store(async || MemoryStore::new(), keep).run().await.unwrap_err();
    /// assert_eq!(
    ///     failures.names(),
    ///     ["keeps_the_expiry", "finds_an_expired_key", "keeps_or_rejects_extreme_expiries"],
    /// );
    /// # });
    /// ```
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.failures.iter().map(Failure::check).collect()
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} checks failed", self.failures.len(), self.checks)?;
        self.failures.iter().try_for_each(|failure| write!(f, "\n  {failure}"))
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failures {}

/// A check that a store failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    check: &'static str,
    expected: String,
    seen: String,
}

impl Failure {
    /// Returns the name of the check. The name of a check changes only when its promise does.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        self.check
    }

    /// Returns what the store should have done.
    #[must_use]
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// Returns what the store did.
    #[must_use]
    pub fn seen(&self) -> &str {
        &self.seen
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}; saw {}", self.check, self.expected, self.seen)
    }
}
