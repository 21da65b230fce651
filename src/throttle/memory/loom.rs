//! loom tries every order in which hits of one key can meet.
//!
//! A hit checks and counts under one lock, so that nothing can come between the two. What comes between is what is done
//! before it: the clock is asked outside of the lock, and a hit may get there after one that asked later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loom::thread;

use super::{Hit, MemoryLimits};
use crate::auth::Limit;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

const WINDOW: Duration = Duration::from_secs(1);

/// A store, and the hand that moves its clock.
fn limits() -> (MemoryLimits, Arc<AtomicU64>) {
    let (start, hand) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let millis = Arc::clone(&hand);
    let clock = move || start + Duration::from_millis(millis.load(Ordering::SeqCst));
    (MemoryLimits::new().with_capacity(1).with_clock(clock), hand)
}

fn allows(store: &MemoryLimits, requests: u32) -> bool {
    store.acquire(&Hit::new("a", Limit::new(requests, WINDOW))).is_allowed()
}

/// Three callers hit at the same time, two of them twice, where two hits are allowed.
fn five_hits(hit: impl Fn() -> bool + Send + Sync + 'static) {
    let hit = Arc::new(hit);
    let others = [(); 2].map(|()| {
        let hit = Arc::clone(&hit);
        thread::spawn(move || usize::from(hit()) + usize::from(hit()))
    });
    let own = usize::from(hit());
    let allowed = own + others.into_iter().map(|other| other.join().unwrap()).sum::<usize>();
    assert!(allowed <= 2, "{allowed} hits were allowed");
    assert_eq!(allowed, 2, "a hit was rejected for nothing");
}

/// Cases: 40.
#[test]
fn hits_in_any_order_stay_within_limit() {
    loom::model(|| {
        let (store, _) = limits();
        five_hits(move || allows(&store, 2));
    });
}

/// The naive window looks under one lock and counts under the next.
/// Cases: 40.
#[test]
#[should_panic(expected = "hits were allowed")]
fn hits_counted_in_two_steps_exceed_limit() {
    loom::model(|| {
        let hits = Mutex::new(0);
        five_hits(move || {
            let allowed = *hits.lock().unwrap() < 2;
            if allowed {
                *hits.lock().unwrap() += 1;
            }
            allowed
        });
    });
}

/// One hit comes just before the edge of the window, one at it, and the one that asked the clock first may count last.
#[test]
fn late_hit_counts_at_the_later_time() {
    loom::model(|| {
        let (store, hand) = limits();
        let other = {
            let store = store.clone();
            thread::spawn(move || allows(&store, 1))
        };
        hand.store(1000, Ordering::SeqCst);
        let own = allows(&store, 1);
        let other = other.join().unwrap();
        assert!(own || other);
        assert!(!allows(&store, 1), "two in one window: {own} {other}");
    });
}

/// With its own time instead, a hit that is late finds hits from the time after it.
#[test]
#[should_panic(expected = "overflow when subtracting durations")]
fn late_hit_with_own_time_is_out_of_order() {
    loom::model(|| {
        let (start, hand, hits) = (Duration::ZERO, AtomicU64::new(0), Mutex::new(VecDeque::new()));
        let world = Arc::new((start, hand, hits));
        let hit = |world: &(Duration, AtomicU64, Mutex<VecDeque<Duration>>)| {
            let now = world.0 + Duration::from_millis(world.1.load(Ordering::SeqCst));
            let mut hits = world.2.lock().unwrap();
            hits.retain(|hit| now - *hit < WINDOW);
            hits.push_back(now);
        };
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || hit(&world))
        };
        world.1.store(1000, Ordering::SeqCst);
        hit(&world);
        other.join().unwrap();
    });
}
