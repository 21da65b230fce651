//! loom tries every order in which requests can meet that share the lookup of a key.

use std::sync::{Arc, Weak};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::{Flights, Landing};
use crate::key::KeyDigest;

type Generation = u32;

/// What those who share a lookup wait for: its answer, or `None` where it was given up.
#[derive(Default)]
struct Answer {
    told: Mutex<Option<Option<u32>>>,
    there: Condvar,
}

impl Answer {
    fn tell(&self, answer: Option<u32>) {
        *self.told.lock().unwrap() = Some(answer);
        self.there.notify_all();
    }

    fn wait(&self) -> Option<u32> {
        let mut told = self.told.lock().unwrap();
        loop {
            match *told {
                Some(answer) => return answer,
                None => told = self.there.wait(told).unwrap(),
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

    /// As `CachedStore::flight` and `Inner::fly`, for a store that says which generation it was asked at.
    fn look_up(&self, now: Generation) -> u32 {
        let (landing, answer) = self.join_or_start(now);
        if let Some(landing) = landing {
            assert_eq!(self.under_way.fetch_add(1, Ordering::SeqCst), 0, "two lookups of a key at a time");
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            drop(landing);
            answer.tell(Some(now));
        }
        answer.wait().expect("nobody gave up")
    }

    /// The naive version: looks whether there is a lookup, and then starts one.
    fn look_up_in_two_steps(&self, lookups: &Mutex<Option<Arc<Answer>>>) -> u32 {
        let found = lookups.lock().unwrap().clone();
        let answer = found.unwrap_or_else(|| {
            let answer = Arc::new(Answer::default());
            *lookups.lock().unwrap() = Some(Arc::clone(&answer));
            assert_eq!(self.under_way.fetch_add(1, Ordering::SeqCst), 0, "two lookups of a key at a time");
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            *lookups.lock().unwrap() = None;
            answer.tell(Some(0));
            answer
        });
        answer.wait().expect("nobody gave up")
    }

    fn rest(&self) -> usize {
        self.flights.table.lock().unwrap().flights.len()
    }
}

/// Three requests for one key at a time.
#[test]
fn case_086_one_lookup_of_a_key_at_a_time_answers_all_who_ask() {
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
        assert_eq!(world.rest(), 0, "a lookup that has ended is joined by nobody");
    });
}

#[test]
#[should_panic(expected = "two lookups of a key at a time")]
fn case_086_in_two_steps_there_are_two() {
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
fn the_end_of_an_older_lookup_leaves_the_newer_one() {
    newer_flight(true);
}

#[test]
#[should_panic(expected = "the newer lookup was not found")]
fn without_the_ticket_it_does_not() {
    newer_flight(false);
}

/// The one request that drives a lookup is dropped; another one comes.
fn given_up(landing: bool) {
    loom::model(move || {
        let world = Arc::new(World::default());
        let (started, answer) = world.join_or_start(0);
        let dropped = thread::spawn(move || {
            answer.tell(None);
            if landing {
                drop(started);
            } else {
                std::mem::forget((started, answer));
            }
        });
        // One that joins in time is told, and asks again, as the next request would.
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
        assert!(own.is_some(), "a request joined a lookup that was given up");
        assert_eq!(world.started.load(Ordering::SeqCst), 2);
        drop(own);
        assert_eq!(world.rest(), 0);
    });
}

#[test]
fn case_087_nobody_joins_a_lookup_that_was_given_up() {
    given_up(true);
}

#[test]
#[should_panic(expected = "joined a lookup that was given up")]
fn case_087_without_the_landing_somebody_does() {
    given_up(false);
}
