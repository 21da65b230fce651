//! A cache in front of a store. It holds records, never decisions.

mod backend;
mod builder;
mod entries;
mod error;
#[cfg(all(test, not(loom_model)))]
mod expiry_race;
mod ledger;
#[cfg(all(test, loom_model))]
mod loom;
mod watch;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared, join_all};

use self::entries::{Asked, Entries};
use super::{Changes, FindResult, Invalidation, KeyStore, Lookup, StoreId, Subscriber, UsageSink};
use crate::error_chain::panic_text;
use crate::flights::{Flights, Landing};
use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId};
use crate::turns::{Displaced, Place, Turns};

pub use self::builder::CachedStoreBuilder;
pub use self::error::CacheError;

/// Remembers the lookups of another store for a few seconds.
///
/// A key that was looked up lately is answered from memory, without an allocation. Changes made through the cache, or in
/// this process on a store that [publishes](KeyStore::changes) them, apply to the next request: what was looked up before
/// a change is never served after it. Changes by other processes apply when the entry expires, after 5 seconds by
/// default, or within milliseconds while [`watch`](Self::watch) runs.
///
/// Requests for one key share one lookup. Unknown keys are remembered apart, for a second at most, so that they evict no
/// known key. Lookups of first-seen keys take turns, so that a flood of invented keys leaves connections for known keys. The newest is
/// next: where more first-seen keys arrive than the store can look up, the share that it can is served, and the others get a
/// 503. The log has one line when such an overload begins, and one with the number of failed lookups after its end.
///
/// A clone is a handle to the same cache.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::store::CachedStore;
/// use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// let keys = CachedStore::builder(MemoryStore::new()).time_to_live(Duration::from_secs(2)).build();
/// let layer = ApiKeyLayer::new(keys.clone());
/// // After the database was edited by hand:
/// keys.flush();
/// ```
pub struct CachedStore<S> {
    id: StoreId,
    off: bool,
    shared: Arc<Inner<S>>,
}

struct Inner<S> {
    store: S,
    entries: Entries,
    flights: Flights<Asked, Handle>,
    first_seen: Turns,
    /// Where caches in front of this one subscribe.
    changes: Changes,
    /// Forgets what the store publishes, for as long as this is kept.
    _subscriber: Arc<Subscriber>,
}

type Flight = Shared<BoxFuture<'static, Result<Option<Arc<KeyRecord>>, CacheError>>>;

/// How another request joins a lookup.
struct Handle {
    flight: WeakShared<BoxFuture<'static, Result<Option<Arc<KeyRecord>>, CacheError>>>,
    place: Place,
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

    /// Returns the lookup of this key that is under way, or starts one.
    fn flight(&self, digest: KeyDigest) -> Flight {
        let Inner { flights, entries, first_seen, .. } = &*self.shared;
        let now = entries.ask();
        flights.join_or_start(
            digest,
            now,
            |&began| entries.may_share(began, now),
            |handle| handle.flight.upgrade().inspect(|_| first_seen.renew(&handle.place)),
            |landing| {
                let place = Place::default();
                let flight = Arc::clone(&self.shared).fly(digest, place.clone(), landing).boxed().shared();
                (Handle { flight: flight.downgrade().expect("it has not been polled yet"), place }, flight)
            },
        )
    }
}

impl<S> Inner<S> {
    /// Forgets what this change made obsolete. Caches in front of this one do so afterwards: until then, they could ask
    /// this one again.
    fn forget(&self, change: &Invalidation) {
        self.entries.forget(change.clone());
        self.changes.publish(change);
    }
}

impl<S: KeyStore> Inner<S> {
    /// Looks the key up and remembers the answer. The lookup belongs to no request: each request that waits drives it.
    async fn fly(
        self: Arc<Self>,
        digest: KeyDigest,
        place: Place,
        landing: Landing<Asked, Handle>,
    ) -> Result<Option<Arc<KeyRecord>>, CacheError> {
        let _landing = landing;
        // The lookup of another request may have ended since this one found nothing.
        if let Some(found) = self.remembered(&digest) {
            return Ok(found);
        }
        let _turn = if self.entries.knows(&digest) {
            None
        } else {
            Some(self.first_seen.take(&place).await.map_err(|Displaced| CacheError::Crowded)?)
        };
        // Or while this one waited for its turn.
        if let Some(found) = self.remembered(&digest) {
            return Ok(found);
        }
        let asked = self.entries.ask();
        let found = AssertUnwindSafe(async { self.store.find(&digest).await }).catch_unwind().await;
        let found = found.map_err(|panic| CacheError::Panicked(panic_text(&*panic).into()))?.map_err(CacheError::of)?;
        // The record of another key is a mistake of the store, which the next lookup need not repeat.
        if found.as_ref().is_none_or(|record| *record.digest() == digest) {
            self.entries.remember(digest, found.clone(), asked);
        }
        Ok(found)
    }

    /// Returns the answer that is remembered.
    fn remembered(&self, digest: &KeyDigest) -> Option<Option<Arc<KeyRecord>>> {
        match self.entries.find(digest) {
            Lookup::Found(record) => Some(Some(record)),
            Lookup::NotFound => Some(None),
            Lookup::Pending => None,
        }
    }
}

impl<S: KeyStore> KeyStore for CachedStore<S> {
    type Error = CacheError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, CacheError> {
        if self.off {
            return self.shared.store.find(digest).await.map_err(CacheError::of);
        }
        self.flight(*digest).await
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        if self.off { self.shared.store.try_find(digest) } else { self.shared.entries.find(digest) }
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<FindResult<CacheError>>, CacheError> {
        if self.off {
            let results = self.shared.store.find_many(digests).await.map_err(CacheError::of)?;
            return Ok(results.into_iter().map(|result| result.map_err(CacheError::of)).collect());
        }
        Ok(join_all(digests.iter().map(|digest| self.flight(*digest))).await)
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
    use crate::store::{KeyBackend, KeyUpdate};

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
