use std::array;
use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::sync::{Arc, PoisonError};

use super::KeyUsage;
use super::digest_hash::DigestState;
use crate::key::KeyId;
use crate::padded::Padded;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::time::Timestamp;

/// Where a store lets its requests be counted, for the last use of each key.
///
/// A store that keeps usage has one, and its clones share it. A layer on the store counts into it, and
/// [`Background::of`](crate::background::Background::of) reports what was counted to the store. Until then at most 100,000
/// keys are counted in memory.
#[derive(Clone)]
pub struct UsageSink(Arc<Counters>);

impl UsageSink {
    /// Returns a sink of at most 100,000 keys between two reports.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(100_000)
    }

    pub(crate) fn with_capacity(keys: usize) -> Self {
        Self(Arc::new(Counters::new(keys)))
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0
    }
}

impl Default for UsageSink {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for UsageSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageSink").finish_non_exhaustive()
    }
}

/// loom tries every interleaving, so that it needs a small number.
pub(crate) const SHARDS: usize = if cfg!(loom_model) { 2 } else { 64 };

/// How often each key was used since the last report, for a bounded number of keys.
pub(crate) struct Counters {
    capacity: usize,
    /// How many keys all shards have together.
    keys: AtomicUsize,
    dropped: AtomicU64,
    shards: [Padded<Mutex<Shard>>; SHARDS],
}

pub(crate) type Shard = HashMap<KeyId, Counter, DigestState>;

#[derive(Clone, Copy)]
pub(crate) struct Counter {
    requests: u64,
    last: Timestamp,
}

impl Counters {
    pub(crate) fn new(capacity: usize) -> Self {
        let shards = array::from_fn(|_| Padded::default());
        Self { capacity, keys: AtomicUsize::new(0), dropped: AtomicU64::new(0), shards }
    }

    /// Adds requests to the counter of a key, or drops them when the capacity is exhausted.
    pub(crate) fn add(&self, id: KeyId, requests: u64, last: Timestamp) {
        let [.., last_byte] = *id.as_bytes();
        let mut shard = lock(&self.shards[usize::from(last_byte) % SHARDS]);
        if let Some(counter) = shard.get_mut(&id) {
            counter.requests += requests;
            counter.last = counter.last.max(last);
        } else if self.reserve() {
            shard.insert(id, Counter { requests, last });
        } else {
            self.drop_requests(requests);
        }
    }

    /// Takes the requests out of the counters, to report them: a part of the keys at a time, each when it is asked for.
    pub(crate) fn take(&self) -> impl Iterator<Item = impl Iterator<Item = KeyUsage>> {
        self.shards.iter().map(|shard| usage(self.empty(&mut lock(shard))))
    }

    /// Empties a shard and makes room for other keys. The caller holds the lock, so that no request sees only one of the
    /// two.
    pub(crate) fn empty(&self, shard: &mut Shard) -> Shard {
        self.keys.fetch_sub(shard.len(), Ordering::Relaxed);
        mem::take(shard)
    }

    /// Returns the requests of a failed report to the counters.
    pub(crate) fn keep(&self, usage: &[KeyUsage]) {
        usage.iter().for_each(|usage| self.add(usage.id, usage.request_count, Timestamp::floor(usage.last_used_at)));
    }

    pub(crate) fn drop_requests(&self, requests: u64) {
        self.dropped.fetch_add(requests, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Makes room for one more key, unless the capacity is exhausted.
    fn reserve(&self) -> bool {
        let one_more = |keys| (keys < self.capacity).then_some(keys + 1);
        self.keys.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    #[cfg(all(test, loom_model))]
    pub(crate) const fn shards(&self) -> &[Padded<Mutex<Shard>>; SHARDS] {
        &self.shards
    }
}

/// Returns what a shard counted.
pub(crate) fn usage(shard: Shard) -> impl Iterator<Item = KeyUsage> {
    shard.into_iter().map(|(id, Counter { requests, last })| KeyUsage::new(id, requests, last.system_time()))
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn id(number: u128) -> KeyId {
        KeyId::from_u128(number)
    }

    #[test]
    fn counters_add_up_requests_of_each_key() {
        let counters = Counters::new(100);
        for (key, requests, seconds) in [(1, 1, 7), (2, 1, 8), (1, 5, 6), (17, 1, 9), (1, 1, 8)] {
            counters.add(id(key), requests, at(seconds));
        }
        let mut taken: Vec<_> = counters.take().flatten().collect();
        taken.sort_by_key(|usage| usage.id);
        let usage = |key, requests, seconds| KeyUsage::new(id(key), requests, at(seconds).system_time());
        assert_eq!(taken, [usage(1, 7, 8), usage(2, 1, 8), usage(17, 1, 9)]);
        assert_eq!((counters.take().flatten().count(), counters.dropped()), (0, 0));
    }

    #[test]
    fn counters_beyond_capacity_drop_requests() {
        let counters = Counters::new(2);
        for key in 0..5 {
            (0..4).for_each(|_| counters.add(id(key), 1, at(0)));
        }
        assert_eq!(counters.dropped(), 12);
        assert_eq!(counters.take().flatten().map(|usage| usage.request_count).collect::<Vec<_>>(), [4, 4]);
        counters.add(id(9), 1, at(0));
        assert_eq!((counters.take().flatten().count(), counters.dropped()), (1, 12), "a report makes room");
    }

    /// Another key is used while the report is on its way.
    #[test]
    fn counters_of_failed_report_must_fit_too() {
        for (capacity, dropped) in [(1, 3), (2, 0)] {
            let counters = Counters::new(capacity);
            counters.add(id(1), 3, at(0));
            let failed: Vec<_> = counters.take().flatten().collect();
            counters.add(id(2), 1, at(0));
            counters.keep(&failed);
            assert_eq!(counters.dropped(), dropped);
            let kept: Vec<_> = counters.take().flatten().collect();
            assert_eq!(kept.iter().map(|usage| usage.request_count).sum::<u64>(), 4 - dropped);
            assert_eq!(kept.len(), capacity);
        }
    }
}
