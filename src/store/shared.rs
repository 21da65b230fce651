use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::manager::{Expiry, IssuePolicy, KeyManager, ListKeys, ManageError, NewKey, Page, StoredCredential};
use super::{BoxError, KeyStore, Lookup, StoreId};
use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId, OrganizationPolicy};
use crate::scope::ScopeSet;
use crate::usage::KeyUsage;

/// A store and manager that was chosen when the program started: one type for all of them.
///
/// A clone is a handle to the same store.
///
/// ```
/// use tower_api_key::{ApiKeyLayer, MemoryStore, SharedStore};
///
/// fn open(url: &str) -> Result<SharedStore, String> {
///     match url {
///         "memory:" => Ok(SharedStore::new(MemoryStore::new())),
///         other => Err(format!("no such store: {other}")),
///     }
/// }
///
/// let keys = open("memory:")?;
/// let layer = ApiKeyLayer::new(keys.clone());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone)]
pub struct SharedStore {
    id: StoreId,
    store: Arc<dyn ErasedManager>,
}

impl SharedStore {
    /// Hides which store it is.
    pub fn new(store: impl KeyManager) -> Self {
        Self { id: KeyStore::store_id(&store).unwrap_or_else(StoreId::new), store: Arc::new(store) }
    }
}

impl fmt::Debug for SharedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedStore").field("id", &self.id).finish_non_exhaustive()
    }
}

impl KeyStore for SharedStore {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        self.store.find(digest).await
    }

    fn find_now(&self, digest: &KeyDigest) -> Lookup {
        self.store.find_now(digest)
    }

    fn store_id(&self) -> Option<StoreId> {
        Some(self.id)
    }
}

impl KeyManager for SharedStore {
    fn issue_policy(&self) -> &IssuePolicy {
        self.store.issue_policy()
    }

    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        self.store.get(organization, id).await
    }

    async fn list(&self, organization: &OrganizationId, query: &ListKeys) -> Result<Page, ManageError> {
        self.store.list(organization, query).await
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        self.store.revoke(organization, id).await
    }

    async fn narrow(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        scopes: ScopeSet,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        self.store.narrow(organization, id, scopes).await
    }

    async fn policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, ManageError> {
        self.store.policy(organization).await
    }

    async fn set_policy(&self, organization: &OrganizationId, policy: OrganizationPolicy) -> Result<(), ManageError> {
        self.store.set_policy(organization, policy).await
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), ManageError> {
        self.store.record_usage(usage).await
    }

    async fn insert(
        &self,
        organization: &OrganizationId,
        key: NewKey,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        self.store.insert(organization, key, credential).await
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expiry: Expiry,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        self.store.replace(organization, id, expiry, credential).await
    }
}

type Managed<'a, T> = BoxFuture<'a, Result<T, ManageError>>;

/// [`KeyManager`] in the form that can be a trait object.
trait ErasedManager: Send + Sync {
    fn find<'a>(&'a self, digest: &'a KeyDigest) -> BoxFuture<'a, Result<Option<Arc<KeyRecord>>, BoxError>>;
    fn find_now(&self, digest: &KeyDigest) -> Lookup;
    fn issue_policy(&self) -> &IssuePolicy;
    fn get<'a>(&'a self, organization: &'a OrganizationId, id: KeyId) -> Managed<'a, Arc<KeyRecord>>;
    fn list<'a>(&'a self, organization: &'a OrganizationId, query: &'a ListKeys) -> Managed<'a, Page>;
    fn revoke<'a>(&'a self, organization: &'a OrganizationId, id: KeyId) -> Managed<'a, Arc<KeyRecord>>;
    fn narrow<'a>(
        &'a self,
        organization: &'a OrganizationId,
        id: KeyId,
        scopes: ScopeSet,
    ) -> Managed<'a, Arc<KeyRecord>>;
    fn policy<'a>(&'a self, organization: &'a OrganizationId) -> Managed<'a, OrganizationPolicy>;
    fn set_policy<'a>(&'a self, organization: &'a OrganizationId, policy: OrganizationPolicy) -> Managed<'a, ()>;
    fn record_usage<'a>(&'a self, usage: &'a [KeyUsage]) -> Managed<'a, ()>;
    fn insert<'a>(
        &'a self,
        organization: &'a OrganizationId,
        key: NewKey,
        credential: StoredCredential,
    ) -> Managed<'a, Arc<KeyRecord>>;
    fn replace<'a>(
        &'a self,
        organization: &'a OrganizationId,
        id: KeyId,
        expiry: Expiry,
        credential: StoredCredential,
    ) -> Managed<'a, Arc<KeyRecord>>;
}

impl<M: KeyManager> ErasedManager for M {
    fn find<'a>(&'a self, digest: &'a KeyDigest) -> BoxFuture<'a, Result<Option<Arc<KeyRecord>>, BoxError>> {
        Box::pin(async move { KeyStore::find(self, digest).await.map_err(Into::into) })
    }

    fn find_now(&self, digest: &KeyDigest) -> Lookup {
        KeyStore::find_now(self, digest)
    }

    fn issue_policy(&self) -> &IssuePolicy {
        KeyManager::issue_policy(self)
    }

    fn get<'a>(&'a self, organization: &'a OrganizationId, id: KeyId) -> Managed<'a, Arc<KeyRecord>> {
        Box::pin(KeyManager::get(self, organization, id))
    }

    fn list<'a>(&'a self, organization: &'a OrganizationId, query: &'a ListKeys) -> Managed<'a, Page> {
        Box::pin(KeyManager::list(self, organization, query))
    }

    fn revoke<'a>(&'a self, organization: &'a OrganizationId, id: KeyId) -> Managed<'a, Arc<KeyRecord>> {
        Box::pin(KeyManager::revoke(self, organization, id))
    }

    fn narrow<'a>(
        &'a self,
        organization: &'a OrganizationId,
        id: KeyId,
        scopes: ScopeSet,
    ) -> Managed<'a, Arc<KeyRecord>> {
        Box::pin(KeyManager::narrow(self, organization, id, scopes))
    }

    fn policy<'a>(&'a self, organization: &'a OrganizationId) -> Managed<'a, OrganizationPolicy> {
        Box::pin(KeyManager::policy(self, organization))
    }

    fn set_policy<'a>(&'a self, organization: &'a OrganizationId, policy: OrganizationPolicy) -> Managed<'a, ()> {
        Box::pin(KeyManager::set_policy(self, organization, policy))
    }

    fn record_usage<'a>(&'a self, usage: &'a [KeyUsage]) -> Managed<'a, ()> {
        Box::pin(KeyManager::record_usage(self, usage))
    }

    fn insert<'a>(
        &'a self,
        organization: &'a OrganizationId,
        key: NewKey,
        credential: StoredCredential,
    ) -> Managed<'a, Arc<KeyRecord>> {
        Box::pin(KeyManager::insert(self, organization, key, credential))
    }

    fn replace<'a>(
        &'a self,
        organization: &'a OrganizationId,
        id: KeyId,
        expiry: Expiry,
        credential: StoredCredential,
    ) -> Managed<'a, Arc<KeyRecord>> {
        Box::pin(KeyManager::replace(self, organization, id, expiry, credential))
    }
}
