//! loom tries every order in which requests for one key can meet.

use std::sync::{Arc, Weak};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::{Flights, Landing};
use crate::key::KeyDigest;

type Generation = u32;

/// What all requests of one lookup wait for: its answer, or `None` if it was dropped.
#[derive(Default)]
struct Answer {
    given: Mutex<Option<Option<u32>>>,
    there: Condvar,
}

impl Answer {
    fn give(&self, answer: Option<u32>) {
        *self.given.lock().unwrap() = Some(answer);
        self.there.notify_all();
    }

    fn wait(&self) -> Option<u32> {
        let mut given = self.given.lock().unwrap();
        loop {
            match *given {
                Some(answer) => return answer,
                None => given = self.there.wait(given).unwrap(),
            }
        }
    }
}

/// Lookups of one key, and how many of them there were and are.
#[derive(Default)]
struct World {
    flights: Flights<Generation, Weak<Answer>>,
    started: AtomicUsize,
    under_way: AtomicUsize,
}

impl World {
    fn join_or_start(&self, now: Generation) -> (Option<Landing<Generation, Weak<Answer>>>, Arc<Answer>) {
        let mut landing = None;
        let answer = self.flights.join_or_start(
            KeyDigest::from_bytes([0; 32]),
            now,
            |&began| began == now,
            Weak::upgrade,
            |started| {
                self.started.fetch_add(1, Ordering::SeqCst);
                landing = Some(started);
                let answer = Arc::new(Answer::default());
                (Arc::downgrade(&answer), answer)
            },
        );
        (landing, answer)
    }

    /// As `CachedStore::flight` and `Inner::fly`, for a store that answers with the generation it was asked at.
    fn look_up(&self, now: Generation) -> u32 {
        let (landing, answer) = self.join_or_start(now);
        if let Some(landing) = landing {
            assert_eq!(self.under_way.fetch_add(1, Ordering::SeqCst), 0, "two lookups of a key at a time");
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            drop(landing);
            answer.give(Some(now));
        }
        answer.wait().expect("no lookup was dropped")
    }

    /// The naive version: checks whether there is a lookup, and starts one in a second step.
    fn look_up_in_two_steps(&self, lookups: &Mutex<Option<Arc<Answer>>>) -> u32 {
        let found = lookups.lock().unwrap().clone();
        let answer = found.unwrap_or_else(|| {
            let answer = Arc::new(Answer::default());
            *lookups.lock().unwrap() = Some(Arc::clone(&answer));
            assert_eq!(self.under_way.fetch_add(1, Ordering::SeqCst), 0, "two lookups of a key at a time");
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            *lookups.lock().unwrap() = None;
            answer.give(Some(0));
            answer
        });
        answer.wait().expect("no lookup was dropped")
    }

    fn rest(&self) -> usize {
        self.flights.table.lock().unwrap().flights.len()
    }
}

/// Three requests for one key at a time.
///
/// Cases: 86.
#[test]
fn requests_for_one_key_share_one_lookup() {
    // Every order of three takes a minute on a busy machine; those with up to three interruptions take a second.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let world = Arc::new(World::default());
        let others = [(); 2].map(|()| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.look_up(0))
        });
        assert_eq!(world.look_up(0), 0);
        for other in others {
            assert_eq!(other.join().unwrap(), 0);
        }
        assert_eq!(world.rest(), 0, "a lookup that has ended can still be joined");
    });
}

/// Cases: 86.
#[test]
#[should_panic(expected = "two lookups of a key at a time")]
fn requests_joining_in_two_steps_start_two_lookups() {
    loom::model(|| {
        let (world, lookups) = (Arc::new(World::default()), Arc::new(Mutex::new(None)));
        let other = {
            let (world, lookups) = (Arc::clone(&world), Arc::clone(&lookups));
            thread::spawn(move || world.look_up_in_two_steps(&lookups))
        };
        world.look_up_in_two_steps(&lookups);
        other.join().unwrap();
    });
}

/// A lookup from before an invalidation ends while one from after it is under way.
fn newer_flight(by_ticket: bool) {
    loom::model(move || {
        let world = Arc::new(World::default());
        let (older, _) = world.join_or_start(0);
        let ending = {
            let (world, older) = (Arc::clone(&world), older.unwrap());
            thread::spawn(move || {
                if !by_ticket {
                    // The naive version removes whatever lookup of the key there is.
                    world.flights.table.lock().unwrap().flights.remove(&KeyDigest::from_bytes([0; 32]));
                }
                drop(older);
            })
        };
        let (newer, _answer) = world.join_or_start(1);
        let newer = newer.expect("the older one is not joined");
        assert!(world.join_or_start(1).0.is_none(), "the newer lookup was not found");
        ending.join().unwrap();
        assert!(world.join_or_start(1).0.is_none(), "the newer lookup was not found");
        drop(newer);
        assert_eq!(world.rest(), 0);
    });
}

#[test]
fn older_lookup_ending_leaves_the_newer_one() {
    newer_flight(true);
}

#[test]
#[should_panic(expected = "the newer lookup was not found")]
fn older_lookup_without_ticket_ends_the_newer_one() {
    newer_flight(false);
}

/// The one request that drives a lookup is dropped, and another one comes.
fn dropped_lookup(landing: bool) {
    loom::model(move || {
        let world = Arc::new(World::default());
        let (started, answer) = world.join_or_start(0);
        let dropped = thread::spawn(move || {
            answer.give(None);
            if landing {
                drop(started);
            } else {
                std::mem::forget((started, answer));
            }
        });
        // One that joins in time learns it, and asks again, as the next request would.
        let (own, joined) = world.join_or_start(0);
        let own = if own.is_none() {
            assert_eq!(joined.wait(), None);
            dropped.join().unwrap();
            drop(joined);
            world.join_or_start(0).0
        } else {
            dropped.join().unwrap();
            own
        };
        assert!(own.is_some(), "a request joined a lookup that was dropped");
        assert_eq!(world.started.load(Ordering::SeqCst), 2);
        drop(own);
        assert_eq!(world.rest(), 0);
    });
}

/// Cases: 87.
#[test]
fn dropped_lookup_is_not_joined() {
    dropped_lookup(true);
}

/// Cases: 87.
#[test]
#[should_panic(expected = "joined a lookup that was dropped")]
fn dropped_lookup_without_landing_is_joined() {
    dropped_lookup(false);
}
