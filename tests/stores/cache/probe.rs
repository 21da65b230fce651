//! A store whose lookups a test counts, holds up and lets fail.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;
use tokio::task::yield_now;
use tower_api_key::{
    Expiry, IssuePolicy, KeyDigest, KeyId, KeyManager, KeyRecord, KeyStore, KeyUsage, ListKeys, Lookup, ManageError,
    MemoryStore, NewKey, OrganizationId, OrganizationPolicy, Page, ScopeSet, StoredCredential,
};

/// Keys in memory behind slow lookups. Each reads first and then waits while lookups are held, as an answer does
/// that is on its way from a database.
#[derive(Clone, Default)]
pub(crate) struct Probe(Arc<Shared>);

#[derive(Default)]
struct Shared {
    keys: MemoryStore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lookups: usize,
    running: usize,
    most_running: usize,
    slow: bool,
    holding: bool,
    held: VecDeque<oneshot::Sender<()>>,
    lookup_fault: Option<LookupFault>,
    change_fault: Option<ChangeFault>,
}

/// How lookups end, after they were held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookupFault {
    Fails,
    /// Where an `async fn` panics.
    PanicsWhenPolled,
    /// Where a function panics that would have returned a future.
    PanicsWhenCalled,
}

/// How changes end, after they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeFault {
    Fails,
    NeverReturns,
}

#[derive(Debug, thiserror::Error)]
#[error("the lookup broke")]
pub(crate) struct Broken(#[source] io::Error);

impl Broken {
    pub(crate) fn new() -> Self {
        Self(io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by the database"))
    }
}

impl Probe {
    /// The keys themselves, as another process reaches them: what is changed here, no cache is told of.
    pub(crate) fn elsewhere(&self) -> &MemoryStore {
        &self.0.keys
    }

    /// How many lookups there were.
    pub(crate) fn lookups(&self) -> usize {
        self.state().lookups
    }

    /// How many lookups are under way.
    pub(crate) fn running(&self) -> usize {
        self.state().running
    }

    /// How many there ever were at the same time.
    pub(crate) fn most_running(&self) -> usize {
        self.state().most_running
    }

    /// From now on there is time for others between what a lookup or a change does and its answer.
    pub(crate) fn slow_down(&self) {
        self.state().slow = true;
    }

    /// From now on lookups wait with what they read.
    pub(crate) fn hold(&self) {
        self.state().holding = true;
    }

    /// Lets lookups that follow answer at once. Those that are held stay held.
    pub(crate) fn stop_holding(&self) {
        self.state().holding = false;
    }

    /// Lets every held lookup answer, and those that follow.
    pub(crate) fn release(&self) {
        let mut state = self.state();
        state.holding = false;
        state.held.clear();
    }

    /// Lets one held lookup answer: 0 is the one that has waited longest. False if there is none.
    pub(crate) fn release_one(&self, at: usize) -> bool {
        let mut state = self.state();
        state.held.retain(|release| !release.is_closed());
        state.held.remove(at).is_some()
    }

    pub(crate) fn fail_lookups(&self, fault: impl Into<Option<LookupFault>>) {
        self.state().lookup_fault = fault.into();
    }

    pub(crate) fn fail_changes(&self, fault: impl Into<Option<ChangeFault>>) {
        self.state().change_fault = fault.into();
    }

    /// How many handles to this store there are, this one included.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    fn begin(&self) -> Running<'_> {
        let mut state = self.state();
        state.lookups += 1;
        state.running += 1;
        state.most_running = state.most_running.max(state.running);
        Running(self)
    }

    async fn held(&self) {
        let released = {
            let mut state = self.state();
            state.holding.then(|| {
                let (release, released) = oneshot::channel();
                state.held.push_back(release);
                released
            })
        };
        if let Some(released) = released {
            // It is released by dropping the sender.
            released.await.unwrap_err();
        }
    }

    async fn slow(&self) {
        if self.state().slow {
            for _ in 0..3 {
                yield_now().await;
            }
        }
    }

    async fn changed<T>(&self, done: Result<T, ManageError>) -> Result<T, ManageError> {
        self.slow().await;
        let fault = self.state().change_fault;
        match fault {
            None => done,
            Some(ChangeFault::Fails) => Err(ManageError::store(Broken::new())),
            Some(ChangeFault::NeverReturns) => pending().await,
        }
    }
}

/// A lookup that is under way until this is dropped.
struct Running<'a>(&'a Probe);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.state().running -= 1;
    }
}

impl KeyStore for Probe {
    type Error = Broken;

    fn find(&self, digest: &KeyDigest) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, Broken>> + Send {
        let running = self.begin();
        let fault = self.state().lookup_fault;
        assert!(fault != Some(LookupFault::PanicsWhenCalled), "panicked when called");
        let read = self.0.keys.find_now(digest);
        async move {
            let _running = running;
            self.held().await;
            self.slow().await;
            let fault = self.state().lookup_fault;
            match fault {
                Some(LookupFault::Fails) => Err(Broken::new()),
                Some(_) => panic!("panicked when polled"),
                None => match read {
                    Lookup::Found(record) => Ok(Some(record)),
                    Lookup::NotFound => Ok(None),
                    Lookup::Later => unreachable!("memory answers at once"),
                },
            }
        }
    }
}

impl KeyManager for Probe {
    fn issue_policy(&self) -> &IssuePolicy {
        self.0.keys.issue_policy()
    }

    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        self.0.keys.get(organization, id).await
    }

    async fn list(&self, organization: &OrganizationId, query: &ListKeys) -> Result<Page, ManageError> {
        self.0.keys.list(organization, query).await
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        self.changed(self.0.keys.revoke(organization, id).await).await
    }

    async fn narrow(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        scopes: ScopeSet,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        self.changed(self.0.keys.narrow(organization, id, scopes).await).await
    }

    async fn policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, ManageError> {
        self.0.keys.policy(organization).await
    }

    async fn set_policy(&self, organization: &OrganizationId, policy: OrganizationPolicy) -> Result<(), ManageError> {
        self.changed(self.0.keys.set_policy(organization, policy).await).await
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), ManageError> {
        self.changed(self.0.keys.record_usage(usage).await).await
    }

    async fn insert(
        &self,
        organization: &OrganizationId,
        key: NewKey,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        self.changed(self.0.keys.insert(organization, key, credential).await).await
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expiry: Expiry,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        self.changed(self.0.keys.replace(organization, id, expiry, credential).await).await
    }
}
