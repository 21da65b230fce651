//! A cache in front of a store. It holds records, never decisions.

mod backend;
mod batch;
mod builder;
mod entries;
mod error;
#[cfg(all(test, not(loom_model)))]
mod expiry_race;
mod inner;
mod ledger;
#[cfg(all(test, loom_model))]
mod loom;
mod refresh;
mod uses;
mod warm;
mod watch;

use std::fmt;
use std::sync::Arc;

use futures::future::{join, join_all};

use self::inner::Inner;
use super::{BackgroundWork, Changes, FindResult, Invalidation, KeyStore, Lookup, StoreId, UsageSink};
use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId};

pub use self::builder::CachedStoreBuilder;
pub use self::error::CacheError;

/// Remembers the lookups of another store for a few seconds.
///
/// A key that was looked up lately is answered from memory, without an allocation. Changes made through the cache, or in
/// this process on a store that [publishes](KeyStore::changes) them, apply to the next request: what was looked up before
/// a change is never served after it. Changes by other processes apply when the entry expires, after 5 seconds by
/// default, or within milliseconds while [`watch`](Self::watch) runs.
///
/// Requests for one key share one lookup. Lookups that wait at the same time share one call of
/// [`find_many`](KeyStore::find_many), if the store [takes batches](KeyStore::max_batch), as the SQL stores do. While
/// [`refresh`](Self::refresh) runs, keys in use are looked up again before they expire, so that no request waits for a store
/// that answers; [`Background::of`](crate::background::Background::of) runs it. [`warm`](Self::warm) fills the cache before
/// the first request.
///
/// Unknown keys are remembered apart, for a second at most, so that they evict no known key. Lookups of first-seen keys take
/// turns, so that a flood of invented keys leaves connections for known keys. A key that was evicted is no first-seen key. In
/// batches the store looks up hundreds of times as many first-seen keys: with 5 turns, batches of 256 and 3 milliseconds for
/// each, 400,000 a second. If more arrive than the store can look up, the newest is next: the share that the store can look
/// up is served, and the others get a 503. The log has one line when such an overload begins, and one with the number of
/// failed lookups after its end.
///
/// A clone is a handle to the same cache.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::background::Background;
/// use tower_api_key::store::CachedStore;
/// use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// let keys = CachedStore::builder(MemoryStore::new()).time_to_live(Duration::from_secs(2)).build();
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// // In the `main` of the service:
/// let background = Background::of(keys.clone());
/// # drop(background);
/// # });
/// let layer = ApiKeyLayer::new(keys.clone());
/// // After the database was edited by hand:
/// keys.flush();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct CachedStore<S> {
    id: StoreId,
    off: bool,
    shared: Arc<Inner<S>>,
}

impl<S: KeyStore> CachedStore<S> {
    /// Returns a cache with the default settings in front of this store.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self::builder(store).build()
    }

    /// Returns a builder of a cache in front of this store.
    pub fn builder(store: S) -> CachedStoreBuilder<S> {
        CachedStoreBuilder::new(store)
    }

    /// Returns the store behind the cache.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.shared.store
    }

    /// Forgets the key with this digest, known or unknown. A request that starts after this call reads the store.
    pub fn invalidate(&self, digest: &KeyDigest) {
        self.forget(&Invalidation::Digest(*digest));
    }

    /// Forgets the key with this id. A request that starts after this call reads the store.
    pub fn invalidate_key(&self, id: KeyId) {
        self.forget(&Invalidation::Key(id));
    }

    /// Forgets the keys of this organization. A request that starts after this call reads the store.
    pub fn invalidate_organization(&self, organization: &OrganizationId) {
        self.forget(&Invalidation::Organization(organization.clone()));
    }

    /// Forgets everything. A request that starts after this call reads the store.
    pub fn flush(&self) {
        self.forget(&Invalidation::All);
    }

    fn forget(&self, change: &Invalidation) {
        self.shared.forget(change);
    }
}

impl<S: KeyStore> KeyStore for CachedStore<S> {
    type Error = CacheError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, CacheError> {
        if self.off {
            return self.shared.store.find(digest).await.map_err(CacheError::of);
        }
        self.shared.flight(*digest).await
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        if self.off { self.shared.store.try_find(digest) } else { self.shared.entries.find(digest) }
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<FindResult<CacheError>>, CacheError> {
        if self.off {
            let results = self.shared.store.find_many(digests).await.map_err(CacheError::of)?;
            return Ok(results.into_iter().map(|result| result.map_err(CacheError::of)).collect());
        }
        Ok(join_all(digests.iter().map(|digest| self.shared.flight(*digest))).await)
    }

    fn max_batch(&self) -> usize {
        self.shared.store.max_batch()
    }

    fn id(&self) -> Option<StoreId> {
        Some(self.id)
    }

    fn changes(&self) -> Option<&Changes> {
        Some(&self.shared.changes)
    }

    fn usage_sink(&self) -> Option<&UsageSink> {
        self.shared.store.usage_sink()
    }

    fn background_work(&self) -> Option<BackgroundWork> {
        let inner = self.shared.store.background_work();
        if self.off {
            return inner;
        }
        let refresh = self.refresh();
        Some(Box::pin(async move {
            match inner {
                Some(inner) => drop(join(refresh, inner).await),
                None => drop(refresh.await),
            }
        }))
    }
}

impl<S> Clone for CachedStore<S> {
    fn clone(&self) -> Self {
        Self { id: self.id, off: self.off, shared: Arc::clone(&self.shared) }
    }
}

impl<S> fmt::Debug for CachedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedStore").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use std::sync::Weak;

    use futures::executor::block_on;

    use super::*;
    use crate::key::OrganizationPolicy;
    use crate::scope::Access;
    use crate::store::memory::MemoryStore;
    use crate::store::{KeyBackend, KeyUpdate, Subscriber};

    const KEY: KeyId = KeyId::from_u128(1);

    fn acme() -> OrganizationId {
        "acme".parse().unwrap()
    }

    fn store() -> (MemoryStore, KeyDigest) {
        let (store, digest) = (MemoryStore::new(), KeyDigest::hash(b"key"));
        store.add(KeyRecord::new(KEY, digest, acme(), Access::Full)).unwrap();
        (store, digest)
    }

    #[test]
    fn change_of_the_raw_store_is_served_at_once() {
        let (store, digest) = store();
        let (near, far) = (CachedStore::new(store.clone()), CachedStore::new(CachedStore::new(store.clone())));
        let found = |digest| {
            let [near, far] = [block_on(near.find(digest)), block_on(far.find(digest))].map(Result::unwrap);
            assert_eq!(near, far);
            near
        };
        let new = KeyDigest::hash(b"new");
        assert_eq!(found(&new), None);
        store.add(KeyRecord::new(KeyId::from_u128(2), new, acme(), Access::Full)).unwrap();
        assert!(found(&new).is_some());

        assert_eq!(found(&digest).unwrap().access(), &Access::Full);
        block_on(store.update(&acme(), KEY, KeyUpdate::new().with_scopes([]))).unwrap();
        assert_eq!(found(&digest).unwrap().access(), &Access::scoped([]));

        let disabled = OrganizationPolicy::default().with_disabled(true);
        block_on(store.set_organization_policy(&acme(), disabled)).unwrap();
        assert_eq!(found(&digest).unwrap().policy(), disabled);

        block_on(store.revoke(&acme(), KEY)).unwrap();
        assert!(found(&digest).unwrap().is_revoked());
    }

    #[test]
    fn cache_dropped_is_freed_and_unsubscribed() {
        let (store, digest) = store();
        let cache = CachedStore::new(store.clone());
        block_on(cache.find(&digest)).unwrap();
        let inner = Arc::downgrade(&cache.shared);
        let subscriber: Weak<Subscriber> = Arc::downgrade(&cache.shared._subscriber);
        drop(cache);
        assert!(inner.upgrade().is_none() && subscriber.upgrade().is_none());
        block_on(store.revoke(&acme(), KEY)).unwrap();
    }
}
