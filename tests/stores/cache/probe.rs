//! A store whose lookups a test counts, holds up and lets fail.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::yield_now;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord, OrganizationPolicy};
use tower_api_key::store::{
    BackendError, Changes, FindResult, InsertRules, Inserted, KeyBackend, KeyCounts, KeyUpdate, KeyUsage, ListKeys,
    Lookup, NewRecord, Organizations, Page, Replacement,
};
use tower_api_key::{KeyStore, MemoryStore, OrganizationId};

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
    /// How many digests it takes at once, if more than one.
    max_batch: usize,
    /// How many digests each batch had.
    batches: Vec<usize>,
    lookups: usize,
    running: usize,
    most_running: usize,
    slow: bool,
    publishing: bool,
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
    /// A store that publishes its changes in the process, as those of the crate do.
    pub(crate) fn publishing() -> Self {
        let probe = Self::default();
        probe.state().publishing = true;
        probe
    }

    /// A store that looks up so many keys at once. A batch counts as one lookup.
    pub(crate) fn batching(max_batch: usize) -> Self {
        let probe = Self::default();
        probe.state().max_batch = max_batch;
        probe
    }

    /// How many digests each batch had.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.state().batches.clone()
    }

    /// The keys themselves, as another process reaches them: unless the probe is publishing, no cache learns what is
    /// changed here.
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

    async fn changed<T>(&self, done: Result<T, BackendError>) -> Result<T, BackendError> {
        self.slow().await;
        let fault = self.state().change_fault;
        match fault {
            None => done,
            Some(ChangeFault::Fails) => Err(BackendError::store(Broken::new())),
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

impl Probe {
    /// Reads before it returns, and answers when it is awaited.
    fn read<T: Send>(&self, read: impl FnOnce(&MemoryStore) -> T) -> impl Future<Output = Result<T, Broken>> + Send {
        let running = self.begin();
        let fault = self.state().lookup_fault;
        assert!(fault != Some(LookupFault::PanicsWhenCalled), "panicked when called");
        let read = read(&self.0.keys);
        async move {
            let _running = running;
            self.held().await;
            self.slow().await;
            let fault = self.state().lookup_fault;
            match fault {
                Some(LookupFault::Fails) => Err(Broken::new()),
                Some(_) => panic!("panicked when polled"),
                None => Ok(read),
            }
        }
    }
}

fn found(keys: &MemoryStore, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
    match keys.try_find(digest) {
        Lookup::Found(record) => Some(record),
        Lookup::NotFound => None,
        Lookup::Pending => unreachable!("memory answers at once"),
    }
}

impl KeyStore for Probe {
    type Error = Broken;

    fn find(&self, digest: &KeyDigest) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, Broken>> + Send {
        self.read(|keys| found(keys, digest))
    }

    fn find_many(&self, digests: &[KeyDigest]) -> impl Future<Output = Result<Vec<FindResult<Broken>>, Broken>> + Send {
        self.state().batches.push(digests.len());
        self.read(|keys| digests.iter().map(|digest| Ok(found(keys, digest))).collect())
    }

    fn max_batch(&self) -> usize {
        self.state().max_batch.max(1)
    }

    fn changes(&self) -> Option<&Changes> {
        let publishing = self.state().publishing;
        self.0.keys.changes().filter(|_| publishing)
    }
}

impl KeyBackend for Probe {
    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        self.0.keys.get(organization, id).await
    }

    async fn list(&self, organizations: Organizations<'_>, query: &ListKeys) -> Result<Page, BackendError> {
        self.0.keys.list(organizations, query).await
    }

    async fn insert(&self, record: NewRecord, rules: InsertRules) -> Result<Arc<KeyRecord>, BackendError> {
        self.changed(self.0.keys.insert(record, rules).await).await
    }

    async fn counts(&self, organizations: Organizations<'_>) -> Result<KeyCounts, BackendError> {
        self.0.keys.counts(organizations).await
    }

    async fn insert_many(&self, records: Vec<NewRecord>, rules: InsertRules) -> Result<Vec<Inserted>, BackendError> {
        self.changed(self.0.keys.insert_many(records, rules).await).await
    }

    async fn purge(
        &self,
        organizations: Organizations<'_>,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        self.changed(self.0.keys.purge(organizations, age, limit).await).await
    }

    async fn erase_organization(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        self.changed(self.0.keys.erase_organization(organization, limit).await).await
    }

    async fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        self.changed(self.0.keys.update(organization, id, update).await).await
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        self.changed(self.0.keys.revoke(organization, id).await).await
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        replacement: Replacement,
        rules: InsertRules,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        self.changed(self.0.keys.replace(organization, id, replacement, rules).await).await
    }

    async fn organization_policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, BackendError> {
        self.0.keys.organization_policy(organization).await
    }

    async fn set_organization_policy(
        &self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
    ) -> Result<(), BackendError> {
        self.changed(self.0.keys.set_organization_policy(organization, policy).await).await
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), BackendError> {
        self.changed(self.0.keys.record_usage(usage).await).await
    }

    async fn recently_used(&self, limit: usize) -> Result<Vec<KeyDigest>, BackendError> {
        self.changed(self.0.keys.recently_used(limit).await).await
    }
}
