//! A cache in front of a store. It holds records, never verdicts: every request is judged anew.

mod entries;
mod flights;
mod ledger;
mod managed;
#[cfg(all(test, loom_model))]
mod model;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::sync::{Semaphore, SemaphorePermit};

use self::entries::{Asked, Clocks, Entries};
use self::flights::{Flights, Landing};
use self::ledger::Subject;
use super::{BoxError, KeyStore, Lookup, StoreId};
use crate::error_chain::panic_text;
use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId};
use crate::time::{Clock, SystemClock};

/// Remembers what another store said, for a few seconds, and never longer than a revocation.
///
/// A key that was looked up lately is answered from memory, without an allocation. What was invalidated is not
/// served again: not from memory, not by a lookup that was under way, and not to a request that would have
/// joined that lookup. Every change made through this store invalidates; one made elsewhere is noticed after
/// the time to live at the latest, 5 seconds by default.
///
/// However many requests wait for one key, it is looked up once. Unknown keys are remembered apart and for at
/// most a second, so that they push no known key out. Keys that were never seen before may hold only some of the
/// store's connections, so that a flood of invented keys leaves the known ones theirs.
///
/// A clone is a handle to the same cache.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::{ApiKeyLayer, CacheConfig, CachedStore, MemoryStore};
///
/// let config = CacheConfig::new().with_time_to_live(Duration::from_secs(2));
/// let keys = CachedStore::with(MemoryStore::new(), config);
/// let layer = ApiKeyLayer::new(keys.clone());
/// // Somebody has edited the database by hand:
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
    /// One permit for each lookup of a key that was never seen before.
    first_seen: Semaphore,
    /// One permit for each such lookup that runs or waits.
    first_seen_queue: Semaphore,
}

type Flight = Shared<BoxFuture<'static, Result<Option<Arc<KeyRecord>>, CacheError>>>;
type Handle = WeakShared<BoxFuture<'static, Result<Option<Arc<KeyRecord>>, CacheError>>>;

/// How much a cache remembers, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct CacheConfig {
    time_to_live: Duration,
    capacity: usize,
    first_seen_limit: usize,
}

impl CacheConfig {
    /// The longest that an unknown key is remembered as unknown.
    pub const UNKNOWN_TIME_TO_LIVE: Duration = Duration::from_secs(1);

    /// How many lookups of keys that were never seen before may wait for their turn. More would wait longer than
    /// a lookup may take, so they are told at once.
    pub const FIRST_SEEN_QUEUE: usize = 1024;

    /// 5 seconds, 100,000 keys, and 5 lookups at a time of keys that were never seen before.
    #[must_use]
    pub const fn new() -> Self {
        Self { time_to_live: Duration::from_secs(5), capacity: 100_000, first_seen_limit: 5 }
    }

    /// Remembers a key for this long: the longest that a change made in another process goes unnoticed while
    /// nothing tells this cache of it. With zero the cache is off: every request reads the store, and shares its
    /// lookup with no other.
    #[must_use]
    pub const fn with_time_to_live(mut self, time_to_live: Duration) -> Self {
        self.time_to_live = time_to_live;
        self
    }

    /// Remembers at most this many keys, and a tenth as many unknown ones. A key takes some 400 bytes.
    #[must_use]
    pub const fn with_capacity(mut self, keys: usize) -> Self {
        self.capacity = if keys == 0 { 1 } else { keys };
        self
    }

    /// Looks at most this many keys up at a time that were never seen before. Fewer than the store has
    /// connections, so that some are left for the keys that are known.
    #[must_use]
    pub const fn with_first_seen_limit(mut self, lookups: usize) -> Self {
        let most = Semaphore::MAX_PERMITS - Self::FIRST_SEEN_QUEUE;
        self.first_seen_limit = if lookups == 0 {
            1
        } else if lookups > most {
            most
        } else {
            lookups
        };
        self
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: KeyStore> CachedStore<S> {
    /// A cache with the default configuration in front of this store.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self::with(store, CacheConfig::new())
    }

    /// A cache in front of this store.
    #[must_use]
    pub fn with(store: S, config: CacheConfig) -> Self {
        Self::with_clocks(store, config, Instant::now, SystemClock)
    }

    /// The same with other clocks, for tests. An entry is as old as the clock says on which it is older.
    #[must_use]
    pub fn with_clocks(
        store: S,
        config: CacheConfig,
        monotonic: impl Fn() -> Instant + Send + Sync + 'static,
        wall: impl Clock,
    ) -> Self {
        let clocks = Clocks { monotonic: Box::new(monotonic), wall: Box::new(wall) };
        let unknown_life = CacheConfig::UNKNOWN_TIME_TO_LIVE;
        let shared = Inner {
            store,
            entries: Entries::new(config.capacity, config.time_to_live, unknown_life, clocks),
            flights: Flights::default(),
            first_seen: Semaphore::new(config.first_seen_limit),
            first_seen_queue: Semaphore::new(config.first_seen_limit + CacheConfig::FIRST_SEEN_QUEUE),
        };
        Self { id: StoreId::new(), off: config.time_to_live.is_zero(), shared: Arc::new(shared) }
    }

    /// The store behind the cache.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.shared.store
    }

    /// Forgets this key, known or unknown. A request that starts after this has returned reads the store.
    pub fn invalidate(&self, digest: &KeyDigest) {
        self.shared.entries.invalidate(Subject::Digest(*digest));
    }

    /// Forgets this key. A request that starts after this has returned reads the store.
    pub fn invalidate_key(&self, id: KeyId) {
        self.shared.entries.invalidate(Subject::Key(id));
    }

    /// Forgets the keys of this organization. A request that starts after this has returned reads the store.
    pub fn invalidate_organization(&self, organization: &OrganizationId) {
        self.shared.entries.invalidate(Subject::Organization(organization.clone()));
    }

    /// Forgets everything. A request that starts after this has returned reads the store.
    pub fn flush(&self) {
        self.shared.entries.flush();
    }

    /// The one lookup of this key that is under way, or a new one.
    fn flight(&self, digest: KeyDigest) -> Flight {
        let Inner { flights, entries, .. } = &*self.shared;
        let now = entries.ask();
        flights.join_or_start(
            digest,
            now,
            |&began| entries.may_share(began, now),
            Handle::upgrade,
            |landing| {
                let flight = Arc::clone(&self.shared).fly(digest, landing).boxed().shared();
                (flight.downgrade().expect("it has not been polled yet"), flight)
            },
        )
    }
}

impl<S: KeyStore> Inner<S> {
    /// Looks the key up and remembers the answer. It belongs to no request: whoever still waits drives it.
    async fn fly(
        self: Arc<Self>,
        digest: KeyDigest,
        landing: Landing<Asked, Handle>,
    ) -> Result<Option<Arc<KeyRecord>>, CacheError> {
        let _landing = landing;
        // The lookup of another request may have ended since this one found nothing.
        match self.entries.find(&digest) {
            Lookup::Found(record) => return Ok(Some(record)),
            Lookup::NotFound => return Ok(None),
            Lookup::Later => {}
        }
        let _turn = self.turn(&digest).await?;
        let asked = self.entries.ask();
        let found = AssertUnwindSafe(async { self.store.find(&digest).await }).catch_unwind().await;
        let found = found.map_err(|panic| CacheError::Panicked(panic_text(&*panic).into()))?.map_err(CacheError::of)?;
        self.entries.remember(digest, found.clone(), asked);
        Ok(found)
    }

    /// Comes at once for a known key. Others take turns, and hold a place in the queue while they wait.
    async fn turn(&self, digest: &KeyDigest) -> Result<Option<[SemaphorePermit<'_>; 2]>, CacheError> {
        if self.entries.knows(digest) {
            return Ok(None);
        }
        let place = self.first_seen_queue.try_acquire().map_err(|_| CacheError::Crowded)?;
        let turn = self.first_seen.acquire().await.map_err(|_| CacheError::Crowded)?;
        Ok(Some([turn, place]))
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

    fn find_now(&self, digest: &KeyDigest) -> Lookup {
        if self.off { self.shared.store.find_now(digest) } else { self.shared.entries.find(digest) }
    }

    fn store_id(&self) -> Option<StoreId> {
        Some(self.id)
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

/// Why a lookup through the cache failed. All requests that waited for it share it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The store failed.
    #[error(transparent)]
    Store(Arc<dyn std::error::Error + Send + Sync>),
    /// The store panicked.
    #[error("the key store panicked: {0}")]
    Panicked(Arc<str>),
    /// Too many lookups of keys that were never seen before are waiting already.
    #[error("too many unknown keys at once")]
    Crowded,
}

impl CacheError {
    fn of(error: impl Into<BoxError>) -> Self {
        Self::Store(error.into().into())
    }
}
