//! Counts in this process: [`MemoryLimits`].

#[cfg(all(test, loom_model))]
mod loom;
mod shard;
#[cfg(test)]
#[cfg(not(loom_model))]
mod tests;
mod window;

use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use self::shard::{Id, Request, Shard};
use super::{Acquired, Hit, LimitStore};
use crate::folded::folded_product;
use crate::key::KeyId;
use crate::padded::Padded;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// Counts hits in the memory of this process. A clone shares the counts.
///
/// It never allows more than the limit in any span of the window, at the edge of a minute either, where counters that start
/// anew every minute allow twice as many. A limit of more than 100 requests may count a request for up to a 64th of the
/// window longer. Time is monotonic; setting the system's clock changes nothing. A subject whose limit changes counts from
/// zero.
///
/// A subject takes at most 600 bytes for each limit, whatever the limit. While the table is full, new subjects share counts,
/// and leave a shared count when that is empty. Subjects in the table keep theirs. Memory of past requests is given back
/// little by little, as requests come.
///
/// ```
/// use tower_api_key::throttle::{Hit, Limit, MemoryLimits};
///
/// let limits = MemoryLimits::new();
/// let sign_up = |address| limits.acquire(&Hit::new(address, Limit::per_minute(5)));
/// for _ in 0..5 {
///     assert!(sign_up("192.0.2.1").is_allowed());
/// }
/// let sixth = sign_up("192.0.2.1");
/// assert!(!sixth.is_allowed());
/// assert_eq!(sixth.state().retry_after(), 60);
/// assert!(sign_up("192.0.2.2").is_allowed());
/// ```
#[derive(Clone)]
pub struct MemoryLimits {
    table: Arc<Table>,
}

struct Table {
    shards: Box<[Padded<Mutex<Shard>>]>,
    /// How many subjects are counted one by one, by all shards and by each.
    capacity: usize,
    room: usize,
    hash: RandomState,
    seeds: [u64; 4],
    clock: Timer,
    start: Instant,
    /// How long after one shard the next one is swept, in nanoseconds.
    sweep_pause: u64,
    /// When the next shard is swept, in nanoseconds, and which one.
    next_sweep: AtomicU64,
    next_shard: AtomicUsize,
}

type Timer = Arc<dyn Fn() -> Instant + Send + Sync>;

/// How many subjects a shard has about, so that it is swept in a fraction of a millisecond.
const SHARD: usize = 256;
/// How often each shard is swept, if requests come.
const SWEEP: Duration = Duration::from_secs(10);

impl MemoryLimits {
    /// How many subjects are counted one by one by default.
    pub const DEFAULT_CAPACITY: usize = 100_000;

    /// Returns a store for about [`DEFAULT_CAPACITY`](Self::DEFAULT_CAPACITY) subjects. A subject with two limits counts twice.
    #[must_use]
    pub fn new() -> Self {
        Self { table: Arc::new(Table::new(Self::DEFAULT_CAPACITY, Arc::new(Instant::now))) }
    }

    /// Counts about this many subjects one by one. The counts start anew.
    #[must_use]
    pub fn with_capacity(self, capacity: usize) -> Self {
        Self { table: Arc::new(Table::new(capacity, Arc::clone(&self.table.clock))) }
    }

    /// Takes the time from this function, for tests. The counts start anew.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self { table: Arc::new(Table::new(self.table.capacity, Arc::new(clock))) }
    }

    /// Counts a hit in all of its limits, if each of them allows it.
    #[must_use]
    pub fn acquire(&self, hit: &Hit) -> Acquired {
        self.reserve(hit).0
    }

    /// The same, with the time to [release](Self::release) it by.
    pub(super) fn reserve(&self, hit: &Hit) -> (Acquired, u64) {
        let table = &*self.table;
        // The clock may be anything: it is asked before the lock is taken.
        let now = nanos((table.clock)().saturating_duration_since(table.start));
        let request = table.request(hit);
        let counted = table.shard(request.id).acquire(now, &request);
        table.sweep_one(now);
        counted
    }

    /// Takes back a hit that was counted at this time.
    pub(super) fn release(&self, hit: &Hit, at: u64) {
        let request = self.table.request(hit);
        self.table.shard(request.id).release(at, &request);
    }
}

impl Table {
    fn new(capacity: usize, clock: Timer) -> Self {
        let shards = (capacity / SHARD).next_power_of_two();
        let hash = RandomState::new();
        Self {
            shards: (0..shards).map(|_| Padded(Mutex::new(Shard::default()))).collect(),
            capacity,
            room: capacity.div_ceil(shards),
            seeds: [0, 1, 2, 3].map(|number: u64| hash.hash_one(number)),
            hash,
            sweep_pause: nanos(SWEEP) / shards as u64,
            start: clock(),
            clock,
            next_sweep: AtomicU64::new(0),
            next_shard: AtomicUsize::new(0),
        }
    }

    #[inline]
    fn request<'a>(&self, hit: &'a Hit) -> Request<'a> {
        Request { id: self.id(hit), limits: hit.limits(), cost: hit.cost(), room: self.room }
    }

    #[inline]
    fn id(&self, hit: &Hit) -> Id {
        match (hit.subject().key_id(), hit.name()) {
            (Some(key), "") => self.id_of_key(key),
            _ => self.id_of_other(hit),
        }
    }

    fn id_of_other(&self, hit: &Hit) -> Id {
        let mut hasher = self.hash.build_hasher();
        hit.subject().hash(&mut hasher);
        if !hit.name().is_empty() {
            hit.name().hash(&mut hasher);
        }
        let high = hasher.finish();
        hasher.write_u8(0);
        Id::new(high, hasher.finish())
    }

    /// Most requests are counted by their key, whose id has 128 bits already: two rounds of a Feistel network mix them with the
    /// seeds, for a fraction of a hash, and no two keys share a result.
    fn id_of_key(&self, key: KeyId) -> Id {
        let [s, t, u, v] = self.seeds;
        let (high, low) = ((key.as_u128() >> 64) as u64, key.as_u128() as u64);
        let low = low ^ folded_product(high ^ s, t);
        let high = high ^ folded_product(low ^ u, v);
        Id::new(high, low)
    }

    fn shard(&self, id: Id) -> MutexGuard<'_, Shard> {
        self.lock(id.low() as usize % self.shards.len())
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sweeps the next shard, if it is time to.
    fn sweep_one(&self, now: u64) {
        let due = self.next_sweep.load(Ordering::Relaxed);
        let won = now >= due
            && self
                .next_sweep
                .compare_exchange(due, now + self.sweep_pause, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if won {
            self.lock(self.next_shard.fetch_add(1, Ordering::Relaxed) % self.shards.len()).sweep(now);
        }
    }
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self::new()
    }
}

impl LimitStore for MemoryLimits {
    type Error = Infallible;

    fn try_acquire(&self, hit: &Hit) -> Option<Acquired> {
        Some(self.acquire(hit))
    }

    async fn acquire(&self, hit: &Hit) -> Result<Acquired, Infallible> {
        Ok(self.acquire(hit))
    }
}

impl fmt::Debug for MemoryLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLimits").field("shards", &self.table.shards.len()).finish_non_exhaustive()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
