//! Every promise of a store, as a check with a name.

mod bench;
mod checks;
mod failures;
mod hooks;
mod interleave;
mod profile;
mod verdict;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;

use self::bench::Bench;
use self::checks::Check;
use self::hooks::{Hooks, keep_by_managing};
use self::verdict::{Problem, Verdict};
use super::ManualClock;
use crate::BoxError;
use crate::error_chain::panic_text;
use crate::key::{KeyRecord, OrganizationId};
use crate::store::{KeyBackend, KeyStore};

pub use self::failures::{Failure, Failures};
pub use self::profile::StoreFeature;

/// Checks every promise of [`KeyBackend`], or of [`KeyStore`] alone, against a store.
///
/// ```
/// use tower_api_key::MemoryStore;
/// use tower_api_key::test_kit::Conformance;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// Conformance::of(async || MemoryStore::new()).run().await.unwrap();
/// # });
/// ```
///
/// Each check opens a store of its own, and works with new organizations and new keys in it, so that the store may be a
/// database with other keys. A check that panics or takes too long has failed, and the others go on. All checks run on the
/// caller's task: the future is not `Send`, and a store that blocks the thread for ever blocks the suite.
///
/// The suite needs a tokio runtime with a timer that is not paused, and waits for about four seconds: keys are dated in
/// whole seconds, and some checks must see a second pass or a key expire. These run at once, after the others, so that they
/// wait together. [`with_clock`](Self::with_clock) spares that for a store that reads a [`ManualClock`].
///
/// The suite cannot check whether a change survives a crash, or whether calls from several threads interfere.
pub struct Conformance<'a, S> {
    hooks: Hooks<'a, S>,
    timeout: Duration,
    checks: Vec<Check<S>>,
    outage_checks: Vec<Check<S>>,
    lacking: Vec<StoreFeature>,
}

impl<'a, S: KeyStore> Conformance<'a, S> {
    /// Returns the whole suite, for the store that `fresh` opens.
    pub fn of(fresh: impl AsyncFn() -> S + 'a) -> Self
    where
        S: KeyBackend,
    {
        let keep = async |store: &S, record| keep_by_managing(store, record).await;
        let mut suite = Self::of_store(fresh, keep);
        suite.checks.extend(checks::of_management());
        suite.outage_checks.extend(checks::of_management_in_an_outage());
        suite
    }

    /// Returns the checks of lookups alone, for a store whose keys are managed elsewhere.
    ///
    /// `keep` stores a key with the status that the record has: it may be expired or revoked. The store need not keep the
    /// record's id, name, hint and creation time.
    ///
    /// ```
    /// use tower_api_key::MemoryStore;
    /// use tower_api_key::key::KeyRecord;
    /// use tower_api_key::test_kit::Conformance;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let keep = async |store: &MemoryStore, key: KeyRecord| {
    ///     store.add(key)?;
    ///     Ok(())
    /// };
    /// Conformance::of_store(async || MemoryStore::new(), keep).run().await.unwrap();
    /// # });
    /// ```
    pub fn of_store(
        fresh: impl AsyncFn() -> S + 'a,
        keep: impl AsyncFn(&S, KeyRecord) -> Result<(), BoxError> + 'a,
    ) -> Self {
        let (fresh, keep) = (Box::new(fresh), Box::new(keep));
        Self {
            hooks: Hooks { fresh, keep, organization: None, outage: None, inner: None, clock: None },
            timeout: Duration::from_secs(10),
            checks: checks::of_lookups(),
            outage_checks: checks::of_lookups_in_an_outage(),
            lacking: Vec::new(),
        }
    }

    /// Also checks what the store does after `cause` has made its keys unreachable, for example by closing the connections:
    /// an outage is an error, and never an answer.
    ///
    /// ```
    /// use tower_api_key::MemoryStore;
    /// use tower_api_key::test_kit::{Conformance, Fault, FaultyStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// Conformance::of(async || FaultyStore::new(MemoryStore::new()))
    ///     .with_outage(async |store| store.set_fault(Fault::Error))
    ///     .run()
    ///     .await
    ///     .unwrap();
    /// # });
    /// ```
    #[must_use]
    pub fn with_outage(mut self, cause: impl AsyncFn(&S) + 'a) -> Self {
        self.hooks.outage = Some(Box::new(cause));
        self.checks.append(&mut self.outage_checks);
        self
    }

    /// Also checks that the store forwards `try_find`, `max_batch`, `id`, `changes` and `usage_sink` to `inner`. For a wrapper that keeps nothing of
    /// its own: every store that the suite opens must wrap this one.
    ///
    /// ```
    /// use tower_api_key::MemoryStore;
    /// use tower_api_key::store::DynKeyBackend;
    /// use tower_api_key::test_kit::Conformance;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let inner = MemoryStore::new();
    /// let wrap = async || DynKeyBackend::new(inner.clone());
    /// Conformance::of(wrap).with_inner(inner.clone()).run().await.unwrap();
    /// # });
    /// ```
    #[must_use]
    pub fn with_inner(mut self, inner: impl KeyStore) -> Self {
        self.hooks.inner = Some(Box::new(inner));
        self.checks.extend(checks::of_wrappers());
        self
    }

    /// Uses organizations that `make` creates, for a store where keys need an organization that exists. It is called twice
    /// for each check, and must return another one each time.
    ///
    /// ```no_run
    /// # struct Accounts;
    /// # impl Accounts { async fn create(&self) -> u64 { 0 } }
    /// # async fn run(accounts: Accounts) {
    /// use tower_api_key::test_kit::Conformance;
    /// use tower_api_key::{MemoryStore, OrganizationId};
    ///
    /// let suite = Conformance::of(async || MemoryStore::new())
    ///     .with_organizations(async |_| OrganizationId::new(accounts.create().await.to_string()).unwrap());
    /// # }
    /// ```
    #[must_use]
    pub fn with_organizations(mut self, make: impl AsyncFn(&S) -> OrganizationId + 'a) -> Self {
        self.hooks.organization = Some(Box::new(make));
        self
    }

    /// Moves this clock instead of waiting. The store must read it.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use tower_api_key::MemoryStore;
    /// use tower_api_key::test_kit::{Conformance, ManualClock};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let clock = ManualClock::new(SystemTime::now());
    /// Conformance::of(async || MemoryStore::builder().clock(clock.clone()).build())
    ///     .with_clock(clock.clone())
    ///     .run()
    ///     .await
    ///     .unwrap();
    /// # });
    /// ```
    #[must_use]
    pub fn with_clock(mut self, clock: ManualClock) -> Self {
        self.hooks.clock = Some(clock);
        self
    }

    /// Sets how long each check may take, including opening its store: 10 seconds by default.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Skips the checks of what the table lacks. Calls add up. Every other promise is still checked.
    ///
    /// ```
    /// use tower_api_key::key::KeyRecord;
    /// use tower_api_key::test_kit::{Conformance, StoreFeature};
    /// use tower_api_key::{BoxError, MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// // A table without a column for the expiry.
    /// let keep = async |store: &MemoryStore, key: KeyRecord| -> Result<(), BoxError> {
    ///     store.add(key.with_expires_at(None))?;
    ///     Ok(())
    /// };
    /// let suite = Conformance::of_store(async || MemoryStore::new(), keep).without([StoreFeature::Expiry]);
    /// let skipped: Vec<_> = suite.skipped().collect();
    /// assert_eq!(skipped, ["keeps_the_expiry", "finds_an_expired_key", "keeps_or_rejects_extreme_expiries"]);
    /// suite.run().await.unwrap();
    /// # });
    /// ```
    #[must_use]
    pub fn without(mut self, features: impl IntoIterator<Item = StoreFeature>) -> Self {
        self.lacking.extend(features);
        self
    }

    /// Returns the names of the checks, in the order of the report.
    pub fn checks(&self) -> impl Iterator<Item = &'static str> {
        self.running().map(|check| check.name)
    }

    /// Returns the names of the checks that are skipped, since they check what the table [lacks](Self::without).
    pub fn skipped(&self) -> impl Iterator<Item = &'static str> {
        self.checks.iter().map(|check| check.name).filter(|name| self.is_skipped(name))
    }

    fn running(&self) -> impl Iterator<Item = &Check<S>> {
        self.checks.iter().filter(|check| !self.is_skipped(check.name))
    }

    fn is_skipped(&self, name: &str) -> bool {
        self.lacking.iter().any(|feature| feature.checks().contains(&name))
    }

    /// Runs the suite.
    ///
    /// # Errors
    /// When a check failed, with what was expected and what was seen by each.
    pub async fn run(&self) -> Result<(), Failures> {
        let checks: Vec<_> = self.running().collect();
        let mut verdicts: Vec<_> = checks.iter().map(|_| Ok(())).collect();
        // A clock to move is moved for all checks at once.
        let waits = |check: &Check<S>| self.hooks.clock.is_none() && check.waits();
        let (together, alone): (Vec<_>, Vec<_>) = (0..checks.len()).partition(|&place| waits(checks[place]));
        for place in alone {
            verdicts[place] = self.run_one(checks[place]).await;
        }
        let waited = join_all(together.iter().map(|&place| self.run_one(checks[place]))).await;
        for (place, verdict) in together.into_iter().zip(waited) {
            verdicts[place] = verdict;
        }

        let mut failures = Failures::new(checks.len());
        for (check, verdict) in checks.into_iter().zip(verdicts) {
            if let Err(problem) = verdict {
                failures.add(check.name, problem);
            }
        }
        failures.into_result()
    }

    async fn run_one(&self, check: &Check<S>) -> Verdict {
        // The timer is made inside the guard: without a timer of tokio, making it panics.
        let limited = async {
            let checked = async { (check.run)(&Bench::open(&self.hooks).await?).await };
            let late = |_| Err(Problem::new(format!("an end within {:?}", self.timeout), "none"));
            tokio::time::timeout(self.timeout, checked).await.unwrap_or_else(late)
        };
        AssertUnwindSafe(limited)
            .catch_unwind()
            .await
            .unwrap_or_else(|panic| Err(Problem::new("no panic", format!("one: {}", panic_text(&*panic)))))
    }
}

impl<S: KeyStore> fmt::Debug for Conformance<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conformance")
            .field("checks", &self.running().map(|check| check.name).collect::<Vec<_>>())
            .field("lacking", &self.lacking)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::super::FaultyStore;
    use super::*;
    use crate::key::KeyDigest;
    use crate::store::DynKeyBackend;
    use crate::store::memory::MemoryStore;

    #[tokio::test]
    async fn wrappers_of_this_crate_pass() {
        let clock = ManualClock::new(SystemTime::now());
        let inner = MemoryStore::builder().clock(clock.clone()).build();
        let erased = Conformance::of(async || DynKeyBackend::new(inner.clone()));
        erased.with_inner(inner.clone()).with_clock(clock.clone()).run().await.unwrap();
        let counted = Conformance::of(async || Arc::new(inner.clone()));
        counted.with_inner(inner.clone()).with_clock(clock.clone()).run().await.unwrap();
        let faulty = Conformance::of(async || FaultyStore::new(inner.clone()));
        faulty.with_inner(inner.clone()).with_clock(clock).run().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn checks_that_let_time_pass_are_known() {
        let failures = Conformance::of(async || MemoryStore::new()).run().await.unwrap_err();
        let suite = Conformance::of(async || MemoryStore::new());
        let waiting: Vec<_> = suite.running().filter(|check| check.waits()).map(|check| check.name).collect();
        assert_eq!(failures.names(), waiting, "a timer that is paused shows them");
    }

    /// A wrapper that forwards nothing but `find`.
    struct Hiding(MemoryStore);

    impl KeyStore for Hiding {
        type Error = std::convert::Infallible;

        async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Self::Error> {
            self.0.find(digest).await
        }
    }

    #[tokio::test]
    async fn wrapper_that_hides_the_inner_store_fails() {
        let inner = MemoryStore::new();
        let keep = async |store: &Hiding, record: KeyRecord| store.0.add(record).map(drop).map_err(BoxError::from);
        let suite = Conformance::of_store(async || Hiding(inner.clone()), keep).with_inner(inner.clone());
        let failures = suite.run().await.unwrap_err();
        assert_eq!(failures.names(), ["forwards_try_find", "forwards_the_id", "forwards_changes"]);
    }
}
