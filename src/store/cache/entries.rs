use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::ledger::{Generation, Ledger};
use super::uses::Uses;
use crate::key::{KeyDigest, KeyRecord};
use crate::store::digest_hash::DigestState;
use crate::store::{Invalidation, Lookup};
use crate::time::Clock;

/// How many keys are seen for each that fits into the cache: an evicted key is no first-seen key.
const SEEN_PER_KNOWN: usize = 4;

/// The latest answers of the store, each with the time at which the store was asked.
pub(super) struct Entries {
    known: Cache<KeyDigest, Known, UnitWeighter, DigestState>,
    unknown: Cache<KeyDigest, Life, UnitWeighter, DigestState>,
    /// Hashes of the keys that are or were known. Two keys with one hash cost nothing but a turn.
    seen: Cache<u64, (), UnitWeighter, RandomState>,
    uses: Uses,
    hasher: DigestState,
    ledger: Ledger,
    known_life: Duration,
    unknown_life: Duration,
    clocks: Clocks,
}

#[derive(Clone)]
struct Known {
    record: Arc<KeyRecord>,
    life: Life,
}

/// An answer is not served if it was invalidated since the store was asked, or when its time has come by either clock.
#[derive(Clone, Copy)]
struct Life {
    asked: Asked,
    end: Instant,
    wall_end: SystemTime,
}

/// When the store was asked.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    generation: Generation,
    monotonic: Instant,
    wall: SystemTime,
}

/// A longer time to live is this one.
const LONGEST_LIFE: Duration = Duration::from_secs(200 * 365 * 24 * 60 * 60);

/// Two clocks, since each can miss time: the monotonic one while a host sleeps, the other when it is set back.
pub(super) struct Clocks {
    pub(super) monotonic: Box<dyn Fn() -> Instant + Send + Sync>,
    pub(super) wall: Box<dyn Clock>,
}

impl Entries {
    /// Counts in which `tick` each known key was last used.
    pub(super) fn new(
        capacity: usize,
        known_life: Duration,
        unknown_life: Duration,
        tick: Duration,
        clocks: Clocks,
    ) -> Self {
        let unknown_capacity = (capacity / 10).max(1);
        let known_life = known_life.min(LONGEST_LIFE);
        let unknown_life = unknown_life.min(known_life);
        let hasher = DigestState::new();
        Self {
            known: cache(capacity, hasher),
            unknown: cache(unknown_capacity, hasher),
            seen: cache(capacity.saturating_mul(SEEN_PER_KNOWN), RandomState::new()),
            uses: Uses::new(capacity, tick, (clocks.monotonic)()),
            hasher,
            ledger: Ledger::new(known_life, Ledger::CAPACITY),
            known_life,
            unknown_life,
            clocks,
        }
    }

    /// Returns what is known without asking the store.
    pub(super) fn find(&self, digest: &KeyDigest) -> Lookup {
        if let Some(Known { record, life }) = self.known.get(digest) {
            self.uses.mark(digest);
            return match self.serves(life, || subjects(digest, Some(&record))) {
                true => Lookup::Found(record),
                false => Lookup::Pending,
            };
        }
        match self.unknown.get(digest) {
            Some(life) if self.serves(life, || subjects(digest, None)) => Lookup::NotFound,
            _ => Lookup::Pending,
        }
    }

    /// Returns whether this key is or was remembered as a known one.
    pub(super) fn knows(&self, digest: &KeyDigest) -> bool {
        self.seen.contains_key(&self.hasher.hash_one(digest))
    }

    /// Returns whether the entry that was asked for then is there, and may be served.
    pub(super) fn holds(&self, digest: &KeyDigest, asked: Instant) -> bool {
        self.known.peek(digest).is_some_and(|known| {
            known.life.asked.monotonic == asked && self.serves(known.life, || subjects(digest, Some(&known.record)))
        })
    }

    /// Calls this with each known key, and when the store was asked for it.
    pub(super) fn for_each_known(&self, mut call: impl FnMut(&KeyDigest, Asked)) {
        for (digest, known) in self.known.iter() {
            call(&digest, known.life.asked);
        }
    }

    /// Returns which keys are in use.
    pub(super) const fn uses(&self) -> &Uses {
        &self.uses
    }

    /// To be called before the store is asked.
    pub(super) fn ask(&self) -> Asked {
        let generation = self.ledger.generation();
        Asked { generation, monotonic: self.now(), wall: self.clocks.wall.now() }
    }

    /// Remembers this answer of the store, unless it is stale by now. Returns whether there is a new entry of a known key.
    pub(super) fn remember(&self, digest: KeyDigest, found: Option<Arc<KeyRecord>>, asked: Asked) -> bool {
        self.ledger.tidy(self.now());
        if self.ledger.is_stale(asked.generation, || subjects(&digest, found.as_deref())) {
            return false;
        }
        if self.knows_better(&digest, asked) {
            return false;
        }
        match found {
            Some(record) => {
                self.unknown.remove(&digest);
                self.seen.insert(self.hasher.hash_one(digest), ());
                self.known.insert(digest, Known { record, life: asked.living(self.known_life) });
                true
            }
            None => {
                self.known.remove(&digest);
                self.seen.remove(&self.hasher.hash_one(digest));
                self.unknown.insert(digest, asked.living(self.unknown_life));
                false
            }
        }
    }

    /// Returns whether a lookup that began later has already answered: its answer is newer.
    fn knows_better(&self, digest: &KeyDigest, asked: Asked) -> bool {
        let known = self.known.peek(digest).map(|known| known.life).or_else(|| self.unknown.peek(digest));
        known
            .map(|life| life.asked)
            .is_some_and(|known| known.generation > asked.generation || known.monotonic > asked.monotonic)
    }

    /// Forgets what this change made obsolete.
    pub(super) fn forget(&self, change: Invalidation) {
        self.ledger.invalidate(change, self.now());
    }

    fn now(&self) -> Instant {
        (self.clocks.monotonic)()
    }

    /// Returns whether a request that asks `now` may share a lookup that began then.
    ///
    /// A lookup from before an invalidation may return what was true before it. A lookup that takes long may have a dead
    /// connection, and while requests keep coming, one of them would always wait for it.
    pub(super) fn may_share(&self, began: Asked, now: Asked) -> bool {
        began.generation == now.generation && began.age(now) < self.unknown_life
    }

    fn serves(&self, life: Life, subjects: impl FnOnce() -> [Option<Invalidation>; 3]) -> bool {
        let is_young = || self.now() < life.end && self.clocks.wall.now() < life.wall_end;
        self.ledger.serves(life.asked.generation, subjects, is_young)
    }
}

impl Asked {
    /// Returns when that was by the monotonic clock.
    pub(super) const fn monotonic(self) -> Instant {
        self.monotonic
    }

    fn living(self, life: Duration) -> Life {
        // A clock at the end of its time remembers nothing.
        let end = self.monotonic.checked_add(life).unwrap_or(self.monotonic);
        let wall_end = self.wall.checked_add(life).unwrap_or(self.wall);
        Life { asked: self, end, wall_end }
    }

    /// Returns the time since then, by the clock on which more has passed.
    fn age(self, now: Self) -> Duration {
        let by_monotonic = now.monotonic.saturating_duration_since(self.monotonic);
        let by_wall = now.wall.duration_since(self.wall).unwrap_or_default();
        by_monotonic.max(by_wall)
    }
}

fn subjects(digest: &KeyDigest, record: Option<&KeyRecord>) -> [Option<Invalidation>; 3] {
    [
        Some(Invalidation::Digest(*digest)),
        record.map(|record| Invalidation::Key(record.id())),
        record.map(|record| Invalidation::Organization(record.organization().clone())),
    ]
}

fn cache<K, V, H>(capacity: usize, hasher: H) -> Cache<K, V, UnitWeighter, H>
where
    K: Hash + Eq + Clone,
    V: Clone,
    H: BuildHasher + Clone,
{
    Cache::with(capacity, capacity as u64, UnitWeighter, hasher, DefaultLifecycle::default())
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::key::KeyId;
    use crate::scope::Access;

    const LIFE: Duration = Duration::from_secs(5);

    type Step = Box<dyn FnOnce() + Send>;

    /// A monotonic clock in milliseconds. One reader of it is interrupted by `meanwhile`, after the reading and before its
    /// use.
    #[derive(Clone, Default)]
    struct Hand {
        millis: Arc<AtomicU64>,
        meanwhile: Arc<Mutex<Option<Step>>>,
    }

    impl Hand {
        fn entries(&self) -> Arc<Entries> {
            let (start, hand) = (Instant::now(), self.clone());
            let monotonic = move || {
                let now = start + Duration::from_millis(hand.millis.load(Ordering::SeqCst));
                let step = hand.meanwhile.lock().unwrap().take();
                if let Some(step) = step {
                    step();
                }
                now
            };
            let wall = || SystemTime::UNIX_EPOCH;
            let clocks = Clocks { monotonic: Box::new(monotonic), wall: Box::new(wall) };
            Arc::new(Entries::new(100, LIFE, LIFE, LIFE, clocks))
        }

        fn advance(&self, millis: u64) {
            self.millis.fetch_add(millis, Ordering::SeqCst);
        }

        fn interrupt(&self, step: impl FnOnce() + Send + 'static) {
            *self.meanwhile.lock().unwrap() = Some(Box::new(step));
        }
    }

    impl Entries {
        /// As `find` for a known key, with the two checks in the other order.
        pub(crate) fn find_age_first(&self, digest: &KeyDigest) -> Lookup {
            let Some(Known { record, life }) = self.known.get(digest) else { return Lookup::Pending };
            let is_young = life.asked.age(self.ask()) < self.known_life;
            match is_young && !self.ledger.is_stale(life.asked.generation, || subjects(digest, Some(&record))) {
                true => Lookup::Found(record),
                false => Lookup::Pending,
            }
        }
    }

    fn record(id: u128) -> Arc<KeyRecord> {
        let digest = KeyDigest::hash(&id.to_be_bytes());
        Arc::new(KeyRecord::new(KeyId::from_u128(id), digest, "acme".parse().unwrap(), Access::Full))
    }

    fn is_served(entries: &Entries, record: &KeyRecord) -> bool {
        matches!(entries.find(record.digest()), Lookup::Found(_))
    }

    /// Cases: 121.
    ///
    /// Another thread forgets the mark while this one reads the clock.
    #[test]
    fn revoked_key_mark_forgotten_meanwhile_is_not_served() {
        let hand = Hand::default();
        let (entries, revoked, other) = (hand.entries(), record(1), record(2));
        entries.remember(*revoked.digest(), Some(Arc::clone(&revoked)), entries.ask());
        hand.advance(1);
        entries.forget(Invalidation::Key(revoked.id()));
        // The entry has a millisecond left.
        hand.advance(4998);
        let (busy, later) = (Arc::clone(&entries), hand.clone());
        hand.interrupt(move || {
            later.advance(10);
            busy.remember(*other.digest(), Some(Arc::clone(&other)), busy.ask());
        });
        assert!(!is_served(&entries, &revoked));
    }
}
