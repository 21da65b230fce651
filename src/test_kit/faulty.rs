use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId, OrganizationPolicy};
use crate::scope::ScopeSet;
use crate::store::{
    BoxError, Expiry, IssuePolicy, KeyManager, KeyStore, ListKeys, Lookup, ManageError, NewKey, Page, StoreId,
    StoredCredential,
};
use crate::usage::KeyUsage;

/// A store in front of another one that fails when a test says so, and counts how often it was asked.
///
/// A fault strikes before the store behind is asked, in lookups and in management calls alike. A clone is a
/// handle to the same faults and the same count.
///
/// ```
/// use http::{Request, Response, StatusCode};
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_api_key::test_kit::{Fault, FaultyStore};
/// use tower_api_key::{Access, ApiKeyLayer, KeyManager, MemoryStore, NewKey};
///
/// # futures::executor::block_on(async {
/// let keys = FaultyStore::new(MemoryStore::new());
/// let issued = keys.issue(&"acme".parse()?, NewKey::new("ci", Access::Full)?).await?;
/// let service = ApiKeyLayer::new(keys.clone())
///     .without_lookup_timeout()
///     .layer(service_fn(|_: Request<()>| async { Ok::<_, std::convert::Infallible>(Response::new(String::new())) }));
///
/// for (fault, status) in [
///     (Fault::None, StatusCode::OK),
///     (Fault::Error, StatusCode::SERVICE_UNAVAILABLE),
///     (Fault::Panic, StatusCode::SERVICE_UNAVAILABLE),
///     (Fault::None, StatusCode::OK),
/// ] {
///     keys.set_fault(fault);
///     let request = Request::builder().header("X-Avala-Api-Key", issued.secret.expose_secret()).body(())?;
///     assert_eq!(service.clone().oneshot(request).await?.status(), status);
/// }
/// assert_eq!(keys.lookups(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct FaultyStore<S> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    store: S,
    fault: RwLock<Fault>,
    always_later: AtomicBool,
    lookups: AtomicU64,
}

/// What is wrong with a [`FaultyStore`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: every call reaches the store behind.
    #[default]
    None,
    /// Every call ends with an [`InjectedFault`].
    Error,
    /// No call ever ends. One that hangs goes on hanging when the fault is lifted.
    Hang,
    /// Every call panics when it is first polled.
    Panic,
    /// Every call reaches the store behind after this time. The timer is tokio's: without it, the call panics.
    Slow(Duration),
}

impl<S> FaultyStore<S> {
    /// Works like `store` until it is told otherwise.
    pub fn new(store: S) -> Self {
        let shared = Shared {
            store,
            fault: RwLock::default(),
            always_later: AtomicBool::new(false),
            lookups: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Lets every call that starts from now on suffer this.
    pub fn set_fault(&self, fault: Fault) {
        *self.shared.fault.write().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// What is wrong with it now.
    #[must_use]
    pub fn fault(&self) -> Fault {
        *self.shared.fault.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether [`find_now`](KeyStore::find_now) says [`Lookup::Later`] even while nothing is wrong, so that a
    /// store in memory is awaited like one in a database. It always does while something is.
    pub fn set_always_later(&self, always_later: bool) {
        self.shared.always_later.store(always_later, Ordering::Relaxed);
    }

    /// How many keys it was asked for, whatever came of it. A [`find_now`](KeyStore::find_now) that says
    /// [`Lookup::Later`] is not counted, since the [`find`](KeyStore::find) after it is.
    #[must_use]
    pub fn lookups(&self) -> u64 {
        self.shared.lookups.load(Ordering::Relaxed)
    }

    /// The store behind.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.shared.store
    }

    fn count(&self) {
        self.shared.lookups.fetch_add(1, Ordering::Relaxed);
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

    /// The store behind, once a management call has suffered.
    async fn managed(&self) -> Result<&S, ManageError> {
        self.suffer().await.map_err(ManageError::store)?;
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

/// A [`FaultyStore`] was told to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the test told the key store to fail")]
pub struct InjectedFault;

impl<S: KeyStore> KeyStore for FaultyStore<S> {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        self.count();
        self.suffer().await?;
        self.shared.store.find(digest).await.map_err(Into::into)
    }

    fn find_now(&self, digest: &KeyDigest) -> Lookup {
        if self.fault() != Fault::None || self.shared.always_later.load(Ordering::Relaxed) {
            return Lookup::Later;
        }
        let lookup = self.shared.store.find_now(digest);
        if !matches!(lookup, Lookup::Later) {
            self.count();
        }
        lookup
    }

    fn store_id(&self) -> Option<StoreId> {
        self.shared.store.store_id()
    }
}

impl<S: KeyManager> KeyManager for FaultyStore<S> {
    fn issue_policy(&self) -> &IssuePolicy {
        self.shared.store.issue_policy()
    }

    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        self.managed().await?.get(organization, id).await
    }

    async fn list(&self, organization: &OrganizationId, query: &ListKeys) -> Result<Page, ManageError> {
        self.managed().await?.list(organization, query).await
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        self.managed().await?.revoke(organization, id).await
    }

    async fn narrow(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        scopes: ScopeSet,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        self.managed().await?.narrow(organization, id, scopes).await
    }

    async fn policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, ManageError> {
        self.managed().await?.policy(organization).await
    }

    async fn set_policy(&self, organization: &OrganizationId, policy: OrganizationPolicy) -> Result<(), ManageError> {
        self.managed().await?.set_policy(organization, policy).await
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), ManageError> {
        self.managed().await?.record_usage(usage).await
    }

    async fn insert(
        &self,
        organization: &OrganizationId,
        key: NewKey,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        self.managed().await?.insert(organization, key, credential).await
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expiry: Expiry,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        self.managed().await?.replace(organization, id, expiry, credential).await
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures::FutureExt;

    use super::*;
    use crate::scope::Access;
    use crate::store::MemoryStore;

    async fn store_with_a_key() -> (FaultyStore<MemoryStore>, OrganizationId, Arc<KeyRecord>) {
        let (store, acme) = (FaultyStore::new(MemoryStore::new()), OrganizationId::new("acme").unwrap());
        let issued = store.issue(&acme, NewKey::new("key", Access::Full).unwrap()).await.unwrap();
        (store, acme, issued.record)
    }

    #[tokio::test]
    async fn an_error_comes_from_lookups_and_from_management_and_changes_nothing() {
        let (store, acme, key) = store_with_a_key().await;
        store.set_fault(Fault::Error);
        assert!(matches!(store.find_now(key.digest()), Lookup::Later));
        assert!(store.find(key.digest()).await.unwrap_err().is::<InjectedFault>());
        let refused = store.revoke(&acme, key.id()).await.unwrap_err();
        assert!(matches!(refused, ManageError::Store(cause) if cause.is::<InjectedFault>()));

        store.set_fault(Fault::None);
        assert!(!store.find(key.digest()).await.unwrap().unwrap().is_revoked());
        store.revoke(&acme, key.id()).await.unwrap();
        assert!(store.find(key.digest()).await.unwrap().unwrap().is_revoked());
    }

    #[tokio::test]
    async fn a_panic_is_one_and_the_next_call_works() {
        let (store, _, key) = store_with_a_key().await;
        store.set_fault(Fault::Panic);
        assert!(AssertUnwindSafe(store.find(key.digest())).catch_unwind().await.is_err());
        store.set_fault(Fault::None);
        assert!(store.find(key.digest()).await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_does_so_for_good_and_a_slow_one_ends_in_its_time() {
        let (store, _, key) = store_with_a_key().await;
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
    async fn each_lookup_counts_once() {
        let (store, _, key) = store_with_a_key().await;
        let look_up = async |store: &FaultyStore<MemoryStore>| match store.find_now(key.digest()) {
            Lookup::Later => drop(store.clone().find(key.digest()).await),
            Lookup::Found(_) | Lookup::NotFound => {}
        };
        look_up(&store).await;
        assert_eq!(store.lookups(), 1);
        store.set_always_later(true);
        look_up(&store).await;
        assert_eq!(store.lookups(), 2);
        store.set_always_later(false);
        store.set_fault(Fault::Error);
        look_up(&store).await;
        assert_eq!(store.lookups(), 3);
    }
}
