//! Every promise of a store as a check with a name.

mod bench;
mod checks;
mod failures;
mod hooks;
mod interleave;
mod verdict;

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;

use self::bench::Bench;
use self::checks::Check;
use self::hooks::{Hooks, keep_by_managing};
use self::verdict::{Problem, Verdict};
use super::ManualClock;
use crate::key::{KeyRecord, OrganizationId};
use crate::store::{BoxError, KeyManager, KeyStore};

pub use self::failures::{Failure, Failures};

/// Runs every promise of [`KeyManager`], or of [`KeyStore`] alone, against a store.
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
/// Each check opens a store of its own, and works with new organizations and new keys in it, so that the store
/// may be a database that holds other keys already. A check that panics or takes too long has failed; the others
/// go on. Everything runs on the caller's task, one check after the other: the future is not `Send`, and a store
/// that blocks the thread for good blocks the suite.
///
/// It needs a tokio runtime with a timer that is not paused, and takes three seconds longer than the store does:
/// keys are dated in whole seconds, and some checks must see a second go by. A store that takes its time from a
/// [`ManualClock`] is spared that by [`with_clock`](Self::with_clock).
///
/// What it cannot see: whether a change outlives a crash, and whether calls from several threads interfere.
pub struct Conformance<'a, S> {
    hooks: Hooks<'a, S>,
    timeout: Duration,
    checks: Vec<Check<S>>,
    outage_checks: Vec<Check<S>>,
}

impl<'a, S: KeyStore> Conformance<'a, S> {
    /// The whole suite, for the store that `fresh` opens.
    pub fn of(fresh: impl AsyncFn() -> S + 'a) -> Self
    where
        S: KeyManager,
    {
        let keep = async |store: &S, record| keep_by_managing(store, record).await;
        let mut suite = Self::of_store(fresh, keep);
        suite.checks.extend(checks::of_management());
        suite.outage_checks.extend(checks::of_management_in_an_outage());
        suite
    }

    /// The checks of lookups alone, for a store whose keys are managed elsewhere.
    ///
    /// `keep` writes a key to where `fresh` reads it, in the state that the record is in: by then it may be
    /// expired or revoked. The store need not keep the record's id, name, hint and creation time.
    ///
    /// ```
    /// use tower_api_key::test_kit::Conformance;
    /// use tower_api_key::{KeyRecord, MemoryStore};
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
            hooks: Hooks { fresh, keep, organization: None, outage: None, clock: None },
            timeout: Duration::from_secs(10),
            checks: checks::of_lookups(),
            outage_checks: checks::of_lookups_in_an_outage(),
        }
    }

    /// Also checks what the store does once `cause` has made its keys unreachable, for example by closing the
    /// connections: an outage is an error, and never an answer.
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

    /// Uses organizations that `make` creates, where keys cannot belong to just any. It is called twice for each
    /// check, and must return another one each time.
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

    /// Says that the store takes its time from this clock, which the suite moves instead of waiting.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use tower_api_key::test_kit::{Conformance, ManualClock};
    /// use tower_api_key::{IssuePolicy, MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let clock = ManualClock::new(SystemTime::now());
    /// Conformance::of(async || MemoryStore::with(IssuePolicy::default(), clock.clone()))
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

    /// How long each check may take, opening its store included: 10 seconds by default.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The names of the checks, in the order in which they run.
    pub fn checks(&self) -> impl Iterator<Item = &'static str> {
        self.checks.iter().map(|check| check.name)
    }

    /// Runs the suite.
    ///
    /// # Errors
    /// Every check that failed, with what was expected and what was seen.
    pub async fn run(&self) -> Result<(), Failures> {
        let mut failures = Failures::new(self.checks.len());
        for check in &self.checks {
            if let Err(problem) = self.run_one(check).await {
                failures.add(check.name, problem);
            }
        }
        failures.into_result()
    }

    async fn run_one(&self, check: &Check<S>) -> Verdict {
        // The timer is made inside the guard: where tokio has none, making it panics.
        let limited = async {
            let checked = async { (check.run)(&Bench::open(&self.hooks).await?).await };
            let late = |_| Err(Problem::new(format!("an end within {:?}", self.timeout), "none"));
            tokio::time::timeout(self.timeout, checked).await.unwrap_or_else(late)
        };
        AssertUnwindSafe(limited).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(&*panic)))
    }
}

impl<S> fmt::Debug for Conformance<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.checks.iter().map(|check| check.name).collect::<Vec<_>>();
        f.debug_struct("Conformance").field("checks", &names).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Problem {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    Problem::new("no panic", format!("one: {text}"))
}
