//! loom tries every order in which a lookup and a revoke can meet, and finds the naive versions wrong.
//!
//! CONTRIBUTING.md has the command that runs it.

use std::time::{Duration, Instant};

use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::ledger::{Generation, Ledger};
use crate::flights::Flights;
use crate::key::{KeyDigest, KeyId};
use crate::store::Invalidation;

const LIFE: Duration = Duration::from_secs(5);

fn key() -> Invalidation {
    Invalidation::Key(KeyId::from_u128(1))
}

fn subjects() -> [Option<Invalidation>; 3] {
    [Some(key()), None, None]
}

/// A database and a cache in front of it. All that they know is whether the one key is live.
struct World {
    revoked: AtomicBool,
    ledger: Ledger,
    entry: Mutex<Option<(bool, Generation)>>,
    flights: Flights<Generation, Arc<Shared>>,
}

/// The answer that all requests of one lookup wait for.
#[derive(Default)]
struct Shared {
    answer: Mutex<Option<bool>>,
    there: Condvar,
}

impl Shared {
    fn wait(&self) -> bool {
        let mut answer = self.answer.lock().unwrap();
        loop {
            match *answer {
                Some(live) => return live,
                None => answer = self.there.wait(answer).unwrap(),
            }
        }
    }
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            revoked: AtomicBool::new(false),
            ledger: Ledger::new(LIFE, 1),
            entry: Mutex::new(None),
            flights: Flights::default(),
        })
    }

    fn read_database(&self) -> bool {
        !self.revoked.load(Ordering::SeqCst)
    }

    fn revoke(&self) {
        self.revoked.store(true, Ordering::SeqCst);
        self.ledger.invalidate(key(), Instant::now());
    }

    /// As `Inner::fly` and `Entries::remember`.
    fn look_up(&self, guarded: bool) -> bool {
        let asked = self.ledger.generation();
        let live = self.read_database();
        if !guarded || !self.ledger.is_stale(asked, subjects) {
            *self.entry.lock().unwrap() = Some((live, asked));
        }
        live
    }

    /// As `Entries::find`.
    fn cached(&self, guarded: bool) -> Option<bool> {
        let entry = *self.entry.lock().unwrap();
        entry.filter(|(_, asked)| !guarded || !self.ledger.is_stale(*asked, subjects)).map(|(live, _)| live)
    }

    /// As `CachedStore::flight`.
    fn share_lookup(&self, now: Generation) -> bool {
        let (mut landing, digest) = (None, KeyDigest::from_bytes([0; 32]));
        let shared = self.flights.join_or_start(
            digest,
            now,
            |&began| began == now,
            |shared| Some(Arc::clone(shared)),
            |started| {
                landing = Some(started);
                let shared = Arc::new(Shared::default());
                (Arc::clone(&shared), shared)
            },
        );
        if landing.is_some() {
            let live = self.read_database();
            *shared.answer.lock().unwrap() = Some(live);
            shared.there.notify_all();
        }
        drop(landing);
        shared.wait()
    }
}

/// A lookup is under way while the key is revoked; then a request comes.
fn resurrection(guarded: bool) {
    loom::model(move || {
        let world = World::new();
        let lookup = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.look_up(guarded))
        };
        world.revoke();
        if !guarded {
            // The naive cache removes what it finds.
            *world.entry.lock().unwrap() = None;
        }
        let live = world.cached(guarded).unwrap_or_else(|| world.look_up(guarded));
        assert!(!live, "a request after the revoke was answered from before it");
        lookup.join().unwrap();
        assert_ne!(world.cached(guarded), Some(true), "the lookup put the key back");
    });
}

/// The same when lookups are shared.
fn older_flight(guarded: bool) {
    loom::model(move || {
        let world = World::new();
        let first = world.ledger.generation();
        let lookup = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.share_lookup(first))
        };
        world.revoke();
        let now = if guarded { world.ledger.generation() } else { first };
        assert!(!world.share_lookup(now), "a request after the revoke joined a lookup from before it");
        lookup.join().unwrap();
    });
}

/// Cases: 79.
#[test]
fn revoked_key_looked_up_meanwhile_is_not_served() {
    resurrection(true);
}

/// Cases: 79.
#[test]
#[should_panic]
fn revoked_key_without_generations_is_served() {
    resurrection(false);
}

#[test]
fn request_after_a_revoke_joins_no_older_lookup() {
    older_flight(true);
}

#[test]
#[should_panic(expected = "joined a lookup from before it")]
fn request_without_generations_joins_older_lookup() {
    older_flight(false);
}

/// A flush while a lookup is under way.
#[test]
fn answer_asked_for_before_a_flush_is_stale() {
    loom::model(|| {
        let world = World::new();
        let lookup = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.look_up(true))
        };
        world.revoked.store(true, Ordering::SeqCst);
        world.ledger.invalidate(Invalidation::All, Instant::now());
        assert_ne!(world.cached(true), Some(true));
        lookup.join().unwrap();
        assert_ne!(world.cached(true), Some(true));
    });
}

/// An entry and the mark of a revoke, both about to expire, while the clock moves and another thread forgets the mark.
fn expiry_during_a_revoke(in_order: bool) {
    loom::model(move || {
        let start = Instant::now();
        let now = Arc::new(AtomicU64::new(0));
        let clock = {
            let now = Arc::clone(&now);
            move || start + Duration::from_secs(now.load(Ordering::SeqCst))
        };
        let ledger = Arc::new(Ledger::new(LIFE, 10));
        let asked = (ledger.generation(), clock());
        ledger.invalidate(key(), clock());
        let busy = {
            let (ledger, now, clock) = (Arc::clone(&ledger), Arc::clone(&now), clock.clone());
            thread::spawn(move || {
                now.fetch_add(LIFE.as_secs() + 1, Ordering::SeqCst);
                ledger.tidy(clock());
            })
        };
        let is_young = || clock().duration_since(asked.1) < LIFE;
        let served = if in_order {
            ledger.serves(asked.0, subjects, is_young)
        } else {
            is_young() && !ledger.is_stale(asked.0, subjects)
        };
        assert!(!served, "served after the revoke returned");
        busy.join().unwrap();
    });
}

#[test]
fn revoked_entry_clock_moving_is_not_served() {
    expiry_during_a_revoke(true);
}

#[test]
#[should_panic(expected = "served after the revoke returned")]
fn revoked_entry_age_checked_first_is_served() {
    expiry_during_a_revoke(false);
}

/// One mark too many replaces all marks by a flush.
#[test]
fn revoked_entry_marks_overflowing_is_not_served() {
    loom::model(|| {
        let ledger = Arc::new(Ledger::new(LIFE, 1));
        let asked = ledger.generation();
        ledger.invalidate(key(), Instant::now());
        let other = {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || ledger.invalidate(Invalidation::Key(KeyId::from_u128(2)), Instant::now()))
        };
        assert!(ledger.is_stale(asked, subjects), "the overflow hid the mark");
        other.join().unwrap();
    });
}

/// An entry is refreshed while the key is revoked, the clock moves and another thread forgets the mark.
///
/// Before any step, an entry may expire, or its mark be forgotten. With `guarded` false, the refresh renews the age of an
/// entry that it read before the revoke.
fn refresh_during_a_revoke(guarded: bool) {
    let mut model = loom::model::Builder::new();
    // Every order of three threads takes minutes; those with up to two interruptions take seconds.
    model.preemption_bound = Some(2);
    model.check(move || {
        let start = Instant::now();
        let world = Arc::new(Refreshed::new());
        let clock = move |world: &Refreshed| start + Duration::from_secs(world.seconds());
        *world.entry.lock().unwrap() = (true, world.ledger.generation(), clock(&world));

        let refresh = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let asked = (world.ledger.generation(), clock(&world));
                let live = world.is_live();
                // As `Entries::remember`, and as it must not be.
                let asked = if guarded { asked } else { (world.ledger.generation(), clock(&world)) };
                if !world.ledger.is_stale(asked.0, subjects) {
                    *world.entry.lock().unwrap() = (live, asked.0, asked.1);
                }
            })
        };
        let time = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                for _ in 0..2 {
                    world.now.fetch_add(LIFE.as_secs() - 1, Ordering::SeqCst);
                    world.ledger.tidy(clock(&world));
                }
            })
        };
        world.revoked.store(true, Ordering::SeqCst);
        world.ledger.invalidate(key(), clock(&world));

        let serves = |world: &Refreshed| {
            let (live, asked, at) = *world.entry.lock().unwrap();
            live && world.ledger.serves(asked, subjects, || clock(world).duration_since(at) < LIFE)
        };
        assert!(!serves(&world), "served after the revoke returned");
        refresh.join().unwrap();
        assert!(!serves(&world), "served after the revoke returned");
        time.join().unwrap();
        assert!(!serves(&world), "served after the revoke returned");
    });
}

/// A database and an entry: whether the key was live, and when the store was asked.
struct Refreshed {
    now: AtomicU64,
    revoked: AtomicBool,
    ledger: Ledger,
    entry: Mutex<(bool, Generation, Instant)>,
}

impl Refreshed {
    fn new() -> Self {
        let ledger = Ledger::new(LIFE, 10);
        let entry = Mutex::new((false, ledger.generation(), Instant::now()));
        Self { now: AtomicU64::new(0), revoked: AtomicBool::new(false), ledger, entry }
    }

    /// A load may be stale for loom, which neither a clock nor a database is.
    fn seconds(&self) -> u64 {
        self.now.fetch_add(0, Ordering::SeqCst)
    }

    fn is_live(&self) -> bool {
        !self.revoked.fetch_or(false, Ordering::SeqCst)
    }
}

/// Cases: 267.
#[test]
fn revoke_beats_a_refresh() {
    refresh_during_a_revoke(true);
}

/// Cases: 267.
#[test]
#[should_panic(expected = "served after the revoke returned")]
fn refresh_dated_by_its_answer_beats_a_revoke() {
    refresh_during_a_revoke(false);
}
