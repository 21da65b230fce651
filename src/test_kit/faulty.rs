use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::BoxError;
use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId, OrganizationPolicy};
use crate::store::{
    BackendError, BackgroundWork, Changes, FindResult, InsertRules, Inserted, KeyBackend, KeyCounts, KeyStore,
    KeyUpdate, KeyUsage, ListKeys, Lookup, NewRecord, Organizations, Page, PolicyUpdate, Replacement, StoreId,
    UsageSink,
};

/// A store in front of another one that fails when a test asks for it, and counts lookups.
///
/// A fault strikes before the inner store is called, in lookups and in management calls alike. A clone is a handle to the
/// same fault and the same count.
///
/// ```
/// use http::{Request, Response, StatusCode};
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_api_key::test_kit::{Fault, FaultyStore};
/// use tower_api_key::{Access, ApiKeyLayer, KeyManager, MemoryStore, NewKey};
///
/// # futures::executor::block_on(async {
/// let store = FaultyStore::new(MemoryStore::new());
/// let issued = KeyManager::new(store.clone()).issue(&"acme".parse()?, NewKey::new("ci", Access::Full)?).await?;
/// let service = ApiKeyLayer::new(store.clone())
///     .without_lookup_timeout()
///     .layer(service_fn(|_: Request<()>| async { Ok::<_, std::convert::Infallible>(Response::new(String::new())) }));
///
/// for (fault, status) in [
///     (Fault::None, StatusCode::OK),
///     (Fault::Error, StatusCode::SERVICE_UNAVAILABLE),
///     (Fault::Panic, StatusCode::SERVICE_UNAVAILABLE),
///     (Fault::None, StatusCode::OK),
/// ] {
///     store.set_fault(fault);
///     let request = Request::builder().header("X-Avala-Api-Key", issued.secret.expose_secret()).body(())?;
///     assert_eq!(service.clone().oneshot(request).await?.status(), status);
/// }
/// assert_eq!(store.lookups(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct FaultyStore<S> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    store: S,
    fault: RwLock<Fault>,
    always_pending: AtomicBool,
    lookups: AtomicU64,
    batches: AtomicU64,
    /// 0 for that of the inner store.
    max_batch: AtomicUsize,
}

/// What is wrong with a [`FaultyStore`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Every call reaches the inner store.
    #[default]
    None,
    /// Every call ends with an [`InjectedFault`].
    Error,
    /// No call ever ends. A call that hangs still hangs when the fault is removed.
    Hang,
    /// Every call panics when it is first polled.
    Panic,
    /// Every call reaches the inner store after this time. The timer is tokio's: without it, the call panics.
    Slow(Duration),
}

impl<S> FaultyStore<S> {
    /// Returns a store without a fault in front of this one.
    pub fn new(store: S) -> Self {
        let shared = Shared {
            store,
            fault: RwLock::default(),
            always_pending: AtomicBool::new(false),
            lookups: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            max_batch: AtomicUsize::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sets the fault of every call that starts from now on.
    pub fn set_fault(&self, fault: Fault) {
        *self.shared.fault.write().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Returns the present fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        *self.shared.fault.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets whether [`try_find`](KeyStore::try_find) returns [`Lookup::Pending`] also without a fault, so that a store in
    /// memory is awaited like one in a database. With a fault, it always does.
    pub fn set_always_pending(&self, always_pending: bool) {
        self.shared.always_pending.store(always_pending, Ordering::Relaxed);
    }

    /// Returns how many lookups were made, whatever became of them. A [`try_find`](KeyStore::try_find) that returns
    /// [`Lookup::Pending`] is not counted, since the [`find`](KeyStore::find) after it is. A
    /// [`find_many`](KeyStore::find_many) counts once for each digest.
    #[must_use]
    pub fn lookups(&self) -> u64 {
        self.shared.lookups.load(Ordering::Relaxed)
    }

    /// Returns how many of the lookups were calls of [`find_many`](KeyStore::find_many), whatever became of them.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.shared.batches.load(Ordering::Relaxed)
    }

    /// Sets [`max_batch`](KeyStore::max_batch), so that a store in memory is asked in batches like one in a database. 0, the
    /// default, is that of the inner store.
    pub fn set_max_batch(&self, max_batch: usize) {
        self.shared.max_batch.store(max_batch, Ordering::Relaxed);
    }

    /// Returns the inner store.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.shared.store
    }

    fn count(&self, lookups: usize) {
        self.shared.lookups.fetch_add(lookups as u64, Ordering::Relaxed);
    }

    async fn suffer(&self) -> Result<(), InjectedFault> {
        match self.fault() {
            Fault::None => {}
            Fault::Error => return Err(InjectedFault),
            Fault::Hang => pending().await,
            Fault::Panic => panic!("{InjectedFault}"),
            Fault::Slow(time) => tokio::time::sleep(time).await,
        }
        Ok(())
    }

    /// Returns the inner store, once a management call has suffered the fault.
    async fn managed(&self) -> Result<&S, BackendError> {
        self.suffer().await.map_err(BackendError::store)?;
        Ok(&self.shared.store)
    }
}

impl<S> Clone for FaultyStore<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S> fmt::Debug for FaultyStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore")
            .field("fault", &self.fault())
            .field("lookups", &self.lookups())
            .finish_non_exhaustive()
    }
}

/// A test asked a [`FaultyStore`] to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the test asked the key store to fail")]
pub struct InjectedFault;

impl<S: KeyStore> KeyStore for FaultyStore<S> {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        self.count(1);
        self.suffer().await?;
        self.shared.store.find(digest).await.map_err(Into::into)
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        if self.fault() != Fault::None || self.shared.always_pending.load(Ordering::Relaxed) {
            return Lookup::Pending;
        }
        let lookup = self.shared.store.try_find(digest);
        if !matches!(lookup, Lookup::Pending) {
            self.count(1);
        }
        lookup
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<FindResult<BoxError>>, BoxError> {
        self.count(digests.len());
        self.shared.batches.fetch_add(1, Ordering::Relaxed);
        self.suffer().await?;
        let results = self.shared.store.find_many(digests).await.map_err(Into::into)?;
        Ok(results.into_iter().map(|result| result.map_err(Into::into)).collect())
    }

    fn max_batch(&self) -> usize {
        match self.shared.max_batch.load(Ordering::Relaxed) {
            0 => self.shared.store.max_batch(),
            max_batch => max_batch,
        }
    }

    fn id(&self) -> Option<StoreId> {
        self.shared.store.id()
    }

    fn changes(&self) -> Option<&Changes> {
        self.shared.store.changes()
    }

    fn usage_sink(&self) -> Option<&UsageSink> {
        self.shared.store.usage_sink()
    }

    fn background_work(&self) -> Option<BackgroundWork> {
        self.shared.store.background_work()
    }
}

impl<S: KeyBackend> KeyBackend for FaultyStore<S> {
    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        self.managed().await?.get(organization, id).await
    }

    async fn list(&self, organizations: Organizations<'_>, query: &ListKeys) -> Result<Page, BackendError> {
        self.managed().await?.list(organizations, query).await
    }

    async fn counts(&self, organizations: Organizations<'_>) -> Result<KeyCounts, BackendError> {
        self.managed().await?.counts(organizations).await
    }

    async fn insert(&self, record: NewRecord, rules: InsertRules) -> Result<Arc<KeyRecord>, BackendError> {
        self.managed().await?.insert(record, rules).await
    }

    async fn insert_many(&self, records: Vec<NewRecord>, rules: InsertRules) -> Result<Vec<Inserted>, BackendError> {
        self.managed().await?.insert_many(records, rules).await
    }

    async fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        self.managed().await?.update(organization, id, update).await
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        self.managed().await?.revoke(organization, id).await
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        replacement: Replacement,
        rules: InsertRules,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        self.managed().await?.replace(organization, id, replacement, rules).await
    }

    async fn purge(
        &self,
        organizations: Organizations<'_>,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        self.managed().await?.purge(organizations, age, limit).await
    }

    async fn erase_organization(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        self.managed().await?.erase_organization(organization, limit).await
    }

    async fn organization_policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, BackendError> {
        self.managed().await?.organization_policy(organization).await
    }

    async fn set_organization_policy(
        &self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
    ) -> Result<(), BackendError> {
        self.managed().await?.set_organization_policy(organization, policy).await
    }

    async fn update_organization_policy(
        &self,
        organization: &OrganizationId,
        update: PolicyUpdate,
    ) -> Result<OrganizationPolicy, BackendError> {
        self.managed().await?.update_organization_policy(organization, update).await
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), BackendError> {
        self.managed().await?.record_usage(usage).await
    }

    async fn recently_used(&self, limit: usize) -> Result<Vec<KeyDigest>, BackendError> {
        self.managed().await?.recently_used(limit).await
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures::FutureExt;

    use super::*;
    use crate::scope::Access;
    use crate::store::memory::MemoryStore;

    fn store_with_a_key() -> (FaultyStore<MemoryStore>, OrganizationId, Arc<KeyRecord>) {
        let (store, acme) = (MemoryStore::new(), OrganizationId::new("acme").unwrap());
        let key = KeyRecord::new(KeyId::from_u128(1), KeyDigest::hash(b"key"), acme.clone(), Access::Full);
        let key = store.add(key).unwrap();
        (FaultyStore::new(store), acme, key)
    }

    #[tokio::test]
    async fn error_fault_fails_every_call_and_changes_nothing() {
        let (store, acme, key) = store_with_a_key();
        store.set_fault(Fault::Error);
        assert!(matches!(store.try_find(key.digest()), Lookup::Pending));
        assert!(store.find(key.digest()).await.unwrap_err().is::<InjectedFault>());
        let failed = store.revoke(&acme, key.id()).await.unwrap_err();
        assert!(matches!(failed, BackendError::Store(cause) if cause.is::<InjectedFault>()));

        store.set_fault(Fault::None);
        assert!(!store.find(key.digest()).await.unwrap().unwrap().is_revoked());
        store.revoke(&acme, key.id()).await.unwrap();
        assert!(store.find(key.digest()).await.unwrap().unwrap().is_revoked());
    }

    #[tokio::test]
    async fn panic_fault_panics_until_removed() {
        let (store, _, key) = store_with_a_key();
        store.set_fault(Fault::Panic);
        assert!(AssertUnwindSafe(store.find(key.digest())).catch_unwind().await.is_err());
        store.set_fault(Fault::None);
        assert!(store.find(key.digest()).await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_call_never_ends_and_slow_one_does() {
        let (store, _, key) = store_with_a_key();
        store.set_fault(Fault::Hang);
        let mut hanging = std::pin::pin!(store.find(key.digest()));
        assert!(hanging.as_mut().now_or_never().is_none());

        store.set_fault(Fault::Slow(Duration::from_secs(5)));
        let began = tokio::time::Instant::now();
        assert!(store.find(key.digest()).await.unwrap().is_some());
        assert_eq!(began.elapsed(), Duration::from_secs(5));
        assert!(hanging.now_or_never().is_none());
    }

    #[tokio::test]
    async fn lookup_of_either_kind_counts_once() {
        let (store, _, key) = store_with_a_key();
        let look_up = async |store: &FaultyStore<MemoryStore>| match store.try_find(key.digest()) {
            Lookup::Pending => drop(store.clone().find(key.digest()).await),
            Lookup::Found(_) | Lookup::NotFound => {}
        };
        look_up(&store).await;
        assert_eq!(store.lookups(), 1);
        store.set_always_pending(true);
        look_up(&store).await;
        assert_eq!(store.lookups(), 2);
        store.set_always_pending(false);
        store.set_fault(Fault::Error);
        look_up(&store).await;
        assert_eq!(store.lookups(), 3);
    }

    #[tokio::test]
    async fn batch_counts_once_for_each_digest() {
        let (store, _, key) = store_with_a_key();
        assert_eq!(store.max_batch(), 1);
        store.set_max_batch(8);
        assert_eq!(store.max_batch(), 8);
        let unknown = KeyDigest::hash(b"unknown");
        let found = store.find_many(&[unknown, *key.digest(), unknown]).await.unwrap();
        assert_eq!(found.into_iter().map(|result| result.unwrap().is_some()).collect::<Vec<_>>(), [false, true, false]);
        store.set_fault(Fault::Error);
        store.find_many(&[unknown]).await.unwrap_err();
        assert_eq!((store.lookups(), store.batches()), (4, 2));
    }
}
