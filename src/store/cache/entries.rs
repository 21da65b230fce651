use std::hash::{BuildHasherDefault, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::ledger::{Generation, Ledger, Subject};
use crate::key::{KeyDigest, KeyRecord};
use crate::store::Lookup;
use crate::store::digest_hash::DigestHasher;
use crate::time::Clock;

/// What the store said lately, each answer with when it was asked.
pub(super) struct Entries {
    /// Their digests belong to keys that the server knows, so that nobody chooses where they fall.
    known: Cache<KeyDigest, Known, UnitWeighter, BuildHasherDefault<DigestHasher>>,
    /// Their digests are whatever clients send, so that the hash is seeded.
    unknown: Cache<KeyDigest, Asked, UnitWeighter, RandomState>,
    ledger: Ledger,
    known_life: Duration,
    unknown_life: Duration,
    clocks: Clocks,
}

#[derive(Clone)]
struct Known {
    record: Arc<KeyRecord>,
    asked: Asked,
}

/// When the store was asked: neither what was invalidated since nor what is too old may be served.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    generation: Generation,
    monotonic: Instant,
    wall: SystemTime,
}

/// Two clocks, since each can stand still: the monotonic one while a host sleeps, the other when it is set back.
pub(super) struct Clocks {
    pub(super) monotonic: Box<dyn Fn() -> Instant + Send + Sync>,
    pub(super) wall: Box<dyn Clock>,
}

impl Entries {
    pub(super) fn new(capacity: usize, known_life: Duration, unknown_life: Duration, clocks: Clocks) -> Self {
        let unknown_capacity = (capacity / 10).max(1);
        let unknown_life = unknown_life.min(known_life);
        Self {
            known: cache(capacity, BuildHasherDefault::default()),
            unknown: cache(unknown_capacity, RandomState::new()),
            ledger: Ledger::new(known_life),
            known_life,
            unknown_life,
            clocks,
        }
    }

    /// What can be said without asking the store.
    pub(super) fn find(&self, digest: &KeyDigest) -> Lookup {
        if let Some(Known { record, asked }) = self.known.get(digest) {
            return match self.serves(asked, self.known_life, || subjects(digest, Some(&record))) {
                true => Lookup::Found(record),
                false => Lookup::Later,
            };
        }
        match self.unknown.get(digest) {
            Some(asked) if self.serves(asked, self.unknown_life, || subjects(digest, None)) => Lookup::NotFound,
            _ => Lookup::Later,
        }
    }

    /// Whether this key is or was remembered: then it is no invented one.
    pub(super) fn knows(&self, digest: &KeyDigest) -> bool {
        self.known.contains_key(digest)
    }

    /// To be called before the store is asked.
    pub(super) fn ask(&self) -> Asked {
        let generation = self.ledger.generation();
        Asked { generation, monotonic: (self.clocks.monotonic)(), wall: self.clocks.wall.now() }
    }

    /// Remembers what the store answered, unless that is stale by now.
    pub(super) fn remember(&self, digest: KeyDigest, found: Option<Arc<KeyRecord>>, asked: Asked) {
        self.ledger.tidy((self.clocks.monotonic)());
        if self.ledger.is_stale(asked.generation, || subjects(&digest, found.as_deref())) {
            return;
        }
        match found {
            Some(record) => {
                self.unknown.remove(&digest);
                self.known.insert(digest, Known { record, asked });
            }
            None => {
                self.known.remove(&digest);
                self.unknown.insert(digest, asked);
            }
        }
    }

    pub(super) fn generation(&self) -> Generation {
        self.ledger.generation()
    }

    pub(super) fn invalidate(&self, subject: Subject) {
        self.ledger.invalidate(subject, (self.clocks.monotonic)());
    }

    pub(super) fn flush(&self) {
        self.ledger.flush();
    }

    fn serves(&self, asked: Asked, life: Duration, subjects: impl FnOnce() -> [Option<Subject>; 3]) -> bool {
        let by_monotonic = (self.clocks.monotonic)().saturating_duration_since(asked.monotonic);
        let by_wall = self.clocks.wall.now().duration_since(asked.wall).unwrap_or_default();
        by_monotonic.max(by_wall) < life && !self.ledger.is_stale(asked.generation, subjects)
    }
}

fn subjects(digest: &KeyDigest, record: Option<&KeyRecord>) -> [Option<Subject>; 3] {
    [
        Some(Subject::Digest(*digest)),
        record.map(|record| Subject::Key(record.id())),
        record.map(|record| Subject::Organization(record.organization().clone())),
    ]
}

fn cache<V: Clone, H: std::hash::BuildHasher + Clone>(
    capacity: usize,
    hasher: H,
) -> Cache<KeyDigest, V, UnitWeighter, H> {
    Cache::with(capacity, capacity as u64, UnitWeighter, hasher, DefaultLifecycle::default())
}
