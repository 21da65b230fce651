use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::{
    BackendError, BackgroundWork, Changes, FindResult, InsertRules, Inserted, KeyBackend, KeyCounts, KeyStore,
    KeyUpdate, KeyUsage, ListKeys, Lookup, NewRecord, Organizations, Page, PolicyUpdate, Replacement, StoreId,
    UsageSink,
};
use crate::BoxError;
use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId, OrganizationPolicy};

/// Any store as one type, for a program that chooses its store at run time.
///
/// A clone is a handle to the same store. [`CachedStore::watch`](crate::store::CachedStore::watch) needs the type of the
/// store, so put the cache in front of the store before it becomes a `DynKeyBackend`.
///
/// ```
/// use tower_api_key::store::DynKeyBackend;
/// use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// fn open(url: &str) -> Result<DynKeyBackend, String> {
///     match url {
///         "memory:" => Ok(DynKeyBackend::new(MemoryStore::new())),
///         other => Err(format!("unknown store: {other}")),
///     }
/// }
///
/// let keys = open("memory:")?;
/// let layer = ApiKeyLayer::new(keys.clone());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone)]
pub struct DynKeyBackend {
    id: StoreId,
    store: Arc<dyn ErasedBackend>,
}

impl DynKeyBackend {
    /// Hides the type of this store.
    pub fn new(store: impl KeyBackend) -> Self {
        Self { id: KeyStore::id(&store).unwrap_or_else(StoreId::new), store: Arc::new(store) }
    }
}

impl fmt::Debug for DynKeyBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynKeyBackend").field("id", &self.id).finish_non_exhaustive()
    }
}

impl KeyStore for DynKeyBackend {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        self.store.find(digest).await
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        self.store.try_find(digest)
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<FindResult<BoxError>>, BoxError> {
        self.store.find_many(digests).await
    }

    fn max_batch(&self) -> usize {
        self.store.max_batch()
    }

    fn id(&self) -> Option<StoreId> {
        Some(self.id)
    }

    fn changes(&self) -> Option<&Changes> {
        self.store.changes()
    }

    fn usage_sink(&self) -> Option<&UsageSink> {
        self.store.usage_sink()
    }

    fn background_work(&self) -> Option<BackgroundWork> {
        self.store.background_work()
    }
}

impl KeyBackend for DynKeyBackend {
    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        self.store.get(organization, id).await
    }

    async fn list(&self, organizations: Organizations<'_>, query: &ListKeys) -> Result<Page, BackendError> {
        self.store.list(organizations, query).await
    }

    async fn counts(&self, organizations: Organizations<'_>) -> Result<KeyCounts, BackendError> {
        self.store.counts(organizations).await
    }

    async fn insert(&self, record: NewRecord, rules: InsertRules) -> Result<Arc<KeyRecord>, BackendError> {
        self.store.insert(record, rules).await
    }

    async fn insert_many(&self, records: Vec<NewRecord>, rules: InsertRules) -> Result<Vec<Inserted>, BackendError> {
        self.store.insert_many(records, rules).await
    }

    async fn update(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        self.store.update(organization, id, update).await
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
        self.store.revoke(organization, id).await
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        replacement: Replacement,
        rules: InsertRules,
    ) -> Result<Arc<KeyRecord>, BackendError> {
        self.store.replace(organization, id, replacement, rules).await
    }

    async fn purge(
        &self,
        organizations: Organizations<'_>,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        self.store.purge(organizations, age, limit).await
    }

    async fn erase_organization(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> Result<Vec<KeyId>, BackendError> {
        self.store.erase_organization(organization, limit).await
    }

    async fn organization_policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, BackendError> {
        self.store.organization_policy(organization).await
    }

    async fn set_organization_policy(
        &self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
    ) -> Result<(), BackendError> {
        self.store.set_organization_policy(organization, policy).await
    }

    async fn update_organization_policy(
        &self,
        organization: &OrganizationId,
        update: PolicyUpdate,
    ) -> Result<OrganizationPolicy, BackendError> {
        self.store.update_organization_policy(organization, update).await
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), BackendError> {
        self.store.record_usage(usage).await
    }

    async fn recently_used(&self, limit: usize) -> Result<Vec<KeyDigest>, BackendError> {
        self.store.recently_used(limit).await
    }
}

type Managed<'a, T> = BoxFuture<'a, Result<T, BackendError>>;

/// [`KeyBackend`] in the form that can be a trait object.
trait ErasedBackend: Send + Sync {
    fn find<'a>(&'a self, digest: &'a KeyDigest) -> BoxFuture<'a, Result<Option<Arc<KeyRecord>>, BoxError>>;
    fn try_find(&self, digest: &KeyDigest) -> Lookup;
    fn find_many<'a>(&'a self, digests: &'a [KeyDigest]) -> BoxFuture<'a, Result<Vec<FindResult<BoxError>>, BoxError>>;
    fn max_batch(&self) -> usize;
    fn changes(&self) -> Option<&Changes>;
    fn usage_sink(&self) -> Option<&UsageSink>;
    fn background_work(&self) -> Option<BackgroundWork>;
    fn get<'a>(&'a self, organization: &'a OrganizationId, id: KeyId) -> Managed<'a, Arc<KeyRecord>>;
    fn list<'a>(&'a self, organizations: Organizations<'a>, query: &'a ListKeys) -> Managed<'a, Page>;
    fn counts<'a>(&'a self, organizations: Organizations<'a>) -> Managed<'a, KeyCounts>;
    fn insert(&self, record: NewRecord, rules: InsertRules) -> Managed<'_, Arc<KeyRecord>>;
    fn insert_many(&self, records: Vec<NewRecord>, rules: InsertRules) -> Managed<'_, Vec<Inserted>>;
    fn update<'a>(
        &'a self,
        organization: &'a OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> Managed<'a, Arc<KeyRecord>>;
    fn revoke<'a>(&'a self, organization: &'a OrganizationId, id: KeyId) -> Managed<'a, Arc<KeyRecord>>;
    fn replace<'a>(
        &'a self,
        organization: &'a OrganizationId,
        id: KeyId,
        replacement: Replacement,
        rules: InsertRules,
    ) -> Managed<'a, Arc<KeyRecord>>;
    fn purge<'a>(&'a self, organizations: Organizations<'a>, age: Duration, limit: usize) -> Managed<'a, Vec<KeyId>>;
    fn erase_organization<'a>(&'a self, organization: &'a OrganizationId, limit: usize) -> Managed<'a, Vec<KeyId>>;
    fn organization_policy<'a>(&'a self, organization: &'a OrganizationId) -> Managed<'a, OrganizationPolicy>;
    fn set_organization_policy<'a>(
        &'a self,
        organization: &'a OrganizationId,
        policy: OrganizationPolicy,
    ) -> Managed<'a, ()>;
    fn update_organization_policy<'a>(
        &'a self,
        organization: &'a OrganizationId,
        update: PolicyUpdate,
    ) -> Managed<'a, OrganizationPolicy>;
    fn record_usage<'a>(&'a self, usage: &'a [KeyUsage]) -> Managed<'a, ()>;
    fn recently_used(&self, limit: usize) -> Managed<'_, Vec<KeyDigest>>;
}

impl<B: KeyBackend> ErasedBackend for B {
    fn find<'a>(&'a self, digest: &'a KeyDigest) -> BoxFuture<'a, Result<Option<Arc<KeyRecord>>, BoxError>> {
        Box::pin(async move { KeyStore::find(self, digest).await.map_err(Into::into) })
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        KeyStore::try_find(self, digest)
    }

    fn find_many<'a>(&'a self, digests: &'a [KeyDigest]) -> BoxFuture<'a, Result<Vec<FindResult<BoxError>>, BoxError>> {
        Box::pin(async move {
            let results = KeyStore::find_many(self, digests).await.map_err(Into::into)?;
            Ok(results.into_iter().map(|result| result.map_err(Into::into)).collect())
        })
    }

    fn max_batch(&self) -> usize {
        KeyStore::max_batch(self)
    }

    fn changes(&self) -> Option<&Changes> {
        KeyStore::changes(self)
    }

    fn usage_sink(&self) -> Option<&UsageSink> {
        KeyStore::usage_sink(self)
    }

    fn background_work(&self) -> Option<BackgroundWork> {
        KeyStore::background_work(self)
    }

    fn get<'a>(&'a self, organization: &'a OrganizationId, id: KeyId) -> Managed<'a, Arc<KeyRecord>> {
        Box::pin(KeyBackend::get(self, organization, id))
    }

    fn list<'a>(&'a self, organizations: Organizations<'a>, query: &'a ListKeys) -> Managed<'a, Page> {
        Box::pin(KeyBackend::list(self, organizations, query))
    }

    fn counts<'a>(&'a self, organizations: Organizations<'a>) -> Managed<'a, KeyCounts> {
        Box::pin(KeyBackend::counts(self, organizations))
    }

    fn insert(&self, record: NewRecord, rules: InsertRules) -> Managed<'_, Arc<KeyRecord>> {
        Box::pin(KeyBackend::insert(self, record, rules))
    }

    fn insert_many(&self, records: Vec<NewRecord>, rules: InsertRules) -> Managed<'_, Vec<Inserted>> {
        Box::pin(KeyBackend::insert_many(self, records, rules))
    }

    fn update<'a>(
        &'a self,
        organization: &'a OrganizationId,
        id: KeyId,
        update: KeyUpdate,
    ) -> Managed<'a, Arc<KeyRecord>> {
        Box::pin(KeyBackend::update(self, organization, id, update))
    }

    fn revoke<'a>(&'a self, organization: &'a OrganizationId, id: KeyId) -> Managed<'a, Arc<KeyRecord>> {
        Box::pin(KeyBackend::revoke(self, organization, id))
    }

    fn replace<'a>(
        &'a self,
        organization: &'a OrganizationId,
        id: KeyId,
        replacement: Replacement,
        rules: InsertRules,
    ) -> Managed<'a, Arc<KeyRecord>> {
        Box::pin(KeyBackend::replace(self, organization, id, replacement, rules))
    }

    fn purge<'a>(&'a self, organizations: Organizations<'a>, age: Duration, limit: usize) -> Managed<'a, Vec<KeyId>> {
        Box::pin(KeyBackend::purge(self, organizations, age, limit))
    }

    fn erase_organization<'a>(&'a self, organization: &'a OrganizationId, limit: usize) -> Managed<'a, Vec<KeyId>> {
        Box::pin(KeyBackend::erase_organization(self, organization, limit))
    }

    fn organization_policy<'a>(&'a self, organization: &'a OrganizationId) -> Managed<'a, OrganizationPolicy> {
        Box::pin(KeyBackend::organization_policy(self, organization))
    }

    fn set_organization_policy<'a>(
        &'a self,
        organization: &'a OrganizationId,
        policy: OrganizationPolicy,
    ) -> Managed<'a, ()> {
        Box::pin(KeyBackend::set_organization_policy(self, organization, policy))
    }

    fn update_organization_policy<'a>(
        &'a self,
        organization: &'a OrganizationId,
        update: PolicyUpdate,
    ) -> Managed<'a, OrganizationPolicy> {
        Box::pin(KeyBackend::update_organization_policy(self, organization, update))
    }

    fn record_usage<'a>(&'a self, usage: &'a [KeyUsage]) -> Managed<'a, ()> {
        Box::pin(KeyBackend::record_usage(self, usage))
    }

    fn recently_used(&self, limit: usize) -> Managed<'_, Vec<KeyDigest>> {
        Box::pin(KeyBackend::recently_used(self, limit))
    }
}
