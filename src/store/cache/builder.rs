use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::CachedStore;
use super::entries::{Clocks, Entries};
use super::inner::Inner;
use super::refresh::Schedule;
use crate::flights::Flights;
use crate::store::{Changes, Invalidation, KeyStore, StoreId, Subscriber};
use crate::time::{Clock, SystemClock};
use crate::turns::{OverloadLines, Turns};

/// The longest that an unknown key is remembered.
const UNKNOWN_TIME_TO_LIVE: Duration = Duration::from_secs(1);

/// How many batches of known keys a store looks up at a time. While it does, others gather for the next batch.
const KNOWN_AT_ONCE: usize = 4;

/// How many times as many first-seen keys are looked up at once while they turn out to be valid.
const VALID_FACTOR: usize = 4;

/// How many lookups may wait for their turn: more than a server has connections.
const MOST_WAITING: usize = 100_000;

const OVERLOAD: OverloadLines = OverloadLines {
    begin: "first-seen keys arrive faster than the store answers: the newest are looked up first and others fail; known \
            keys are not affected",
    end: "first-seen keys are looked up as they arrive again",
};

/// Builds a [`CachedStore`]. Made by [`CachedStore::builder`].
#[must_use]
pub struct CachedStoreBuilder<S> {
    store: S,
    time_to_live: Duration,
    capacity: usize,
    first_seen_limit: usize,
    clocks: Clocks,
}

impl<S: KeyStore> CachedStoreBuilder<S> {
    pub(super) fn new(store: S) -> Self {
        let clocks = Clocks { monotonic: Box::new(Instant::now), wall: Box::new(SystemClock) };
        Self { store, time_to_live: Duration::from_secs(5), capacity: 100_000, first_seen_limit: 5, clocks }
    }

    /// Remembers a key for this long, 5 seconds by default. An unknown key is remembered for a second at most.
    ///
    /// This is the longest that the cache serves a key as it was before another process changed it, whether or not the key is
    /// [refreshed](CachedStore::refresh). A feed that is alive does not prolong it: to refresh hundreds of keys takes one
    /// statement, and a change that no notification reports still applies in time. Zero turns the cache off: every request reads the store.
    pub fn time_to_live(mut self, time_to_live: Duration) -> Self {
        self.time_to_live = time_to_live;
        self
    }

    /// Remembers at most this many keys, 100,000 by default, and a tenth as many unknown ones. A key takes about 400
    /// bytes, and up to 150 more while it is [refreshed](CachedStore::refresh). Of four times as many keys the cache remembers for 40 bytes each that they are not
    /// [first-seen](Self::first_seen_limit).
    pub fn capacity(mut self, keys: usize) -> Self {
        self.capacity = keys.max(1);
        self
    }

    /// Looks up first-seen keys on at most this many connections of the store, 5 by default: a key on each, or a batch if the
    /// store [takes batches](KeyStore::max_batch). Choose fewer than the store has connections, so that some are left for known
    /// keys.
    ///
    /// Other lookups wait for their turn, and the newest is next. Without batches the limit grows to four times as many while
    /// lookups wait and those before them find keys: then the keys are valid, and not invented. If more than 100,000 lookups
    /// wait, the one that has waited longest fails with [`CacheError::Crowded`](super::CacheError::Crowded).
    pub fn first_seen_limit(mut self, lookups: usize) -> Self {
        self.first_seen_limit = lookups.max(1);
        self
    }

    /// Reads the time from these clocks, in place of the system's. An entry expires as soon as it is too old by one of
    /// them.
    pub fn clocks(mut self, monotonic: impl Fn() -> Instant + Send + Sync + 'static, wall: impl Clock) -> Self {
        self.clocks = Clocks { monotonic: Box::new(monotonic), wall: Box::new(wall) };
        self
    }

    /// Returns the cache, subscribed to the changes that the store publishes.
    #[must_use]
    pub fn build(self) -> CachedStore<S> {
        let off = self.time_to_live.is_zero();
        let schedule = Schedule::new(self.time_to_live, self.capacity);
        let tick = schedule.tick();
        let (known_limit, factor) =
            if self.store.max_batch() > 1 { (KNOWN_AT_ONCE, 1) } else { (usize::MAX, VALID_FACTOR) };
        let shared = Arc::new_cyclic(|inner| {
            let subscriber = forgetting(Weak::clone(inner));
            if let Some(changes) = self.store.changes() {
                changes.subscribe(&subscriber);
            }
            Inner {
                store: self.store,
                entries: Entries::new(self.capacity, self.time_to_live, UNKNOWN_TIME_TO_LIVE, tick, self.clocks),
                flights: Flights::default(),
                known: Turns::new(known_limit, MOST_WAITING, None),
                first_seen: Turns::new(self.first_seen_limit, MOST_WAITING, Some(OVERLOAD))
                    .growing_by(self.first_seen_limit.saturating_mul(factor - 1)),
                schedule,
                changes: Changes::new(),
                _subscriber: subscriber,
            }
        });
        CachedStore { id: StoreId::new(), off, shared }
    }
}

/// The cache keeps its subscriber, so the subscriber must not keep the cache.
fn forgetting<S: KeyStore>(inner: Weak<Inner<S>>) -> Arc<Subscriber> {
    Arc::new(move |change: &Invalidation| {
        if let Some(inner) = inner.upgrade() {
            inner.forget(change);
        }
    })
}

impl<S> fmt::Debug for CachedStoreBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedStoreBuilder")
            .field("time_to_live", &self.time_to_live)
            .field("capacity", &self.capacity)
            .field("first_seen_limit", &self.first_seen_limit)
            .finish_non_exhaustive()
    }
}
