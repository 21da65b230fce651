//! loom tries every order in which a lookup and a revoke can meet, and finds the naive versions wrong.
//!
//! CONTRIBUTING.md says how to run it.

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::flights::Flights;
use super::ledger::{Generation, Ledger, Subject};
use crate::key::{KeyDigest, KeyId};

const LIFE: std::time::Duration = std::time::Duration::from_secs(5);

fn key() -> [Option<Subject>; 3] {
    [Some(Subject::Key(KeyId::from_u128(1))), None, None]
}

/// A database, a cache in front of it, and what they say of the one key: whether it is live.
struct World {
    revoked: AtomicBool,
    ledger: Ledger,
    entry: Mutex<Option<(bool, Generation)>>,
    flights: Flights<Generation, Arc<Shared>>,
}

/// The answer that those who share a lookup wait for.
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
            ledger: Ledger::new(LIFE),
            entry: Mutex::new(None),
            flights: Flights::default(),
        })
    }

    fn read_database(&self) -> bool {
        !self.revoked.load(Ordering::SeqCst)
    }

    fn revoke(&self) {
        self.revoked.store(true, Ordering::SeqCst);
        self.ledger.invalidate(Subject::Key(KeyId::from_u128(1)), std::time::Instant::now());
    }

    /// As `Inner::fly` and `Entries::remember`.
    fn look_up(&self, guarded: bool) -> bool {
        let asked = self.ledger.generation();
        let live = self.read_database();
        if !guarded || !self.ledger.is_stale(asked, key) {
            *self.entry.lock().unwrap() = Some((live, asked));
        }
        live
    }

    /// As `Entries::find`.
    fn cached(&self, guarded: bool) -> Option<bool> {
        let entry = *self.entry.lock().unwrap();
        entry.filter(|(_, asked)| !guarded || !self.ledger.is_stale(*asked, key)).map(|(live, _)| live)
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

/// The same where lookups are shared.
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

#[test]
fn case_079_a_lookup_under_way_cannot_put_a_revoked_key_back() {
    resurrection(true);
}

#[test]
#[should_panic]
fn case_079_without_the_generation_it_can() {
    resurrection(false);
}

#[test]
fn a_request_after_a_revoke_joins_no_older_lookup() {
    older_flight(true);
}

#[test]
#[should_panic(expected = "joined a lookup from before it")]
fn without_the_generation_it_does() {
    older_flight(false);
}

/// A flush while a lookup is under way.
#[test]
fn a_flush_makes_every_earlier_answer_stale() {
    loom::model(|| {
        let world = World::new();
        let lookup = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.look_up(true))
        };
        world.revoked.store(true, Ordering::SeqCst);
        world.ledger.flush();
        assert_ne!(world.cached(true), Some(true));
        lookup.join().unwrap();
        assert_ne!(world.cached(true), Some(true));
    });
}
