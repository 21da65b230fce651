use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::auth::{Limit, LimitState, Limits};
use crate::rejection::reason::Rejection;

const WINDOW: u64 = 1000;

/// A store, and the hand that moves its clock, in milliseconds.
fn limits(capacity: usize) -> (MemoryLimits, Arc<AtomicU64>) {
    let (start, hand) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let millis = Arc::clone(&hand);
    let clock = move || start + Duration::from_millis(millis.load(Ordering::Relaxed));
    (MemoryLimits::new().with_capacity(capacity).with_clock(clock), hand)
}

fn of(requests: u32, window: u64) -> Limit {
    Limit::new(requests, Duration::from_millis(window))
}

/// A hit of this key.
fn hit(key: u32, limits: impl Into<Limits>) -> Hit {
    Hit::new(&*key.to_string(), limits)
}

fn allows(store: &MemoryLimits, key: u32, limit: Limit) -> bool {
    store.acquire(&hit(key, limit)).is_allowed()
}

/// The hits of one key that were allowed: when, and what they cost.
type Allowed = Vec<(u64, u32)>;

/// What of them counts in the span that ends now.
fn counting(allowed: &Allowed, now: u64, window: u64) -> u32 {
    allowed.iter().filter(|&&(at, _)| now - at < window).map(|&(_, cost)| cost).sum()
}

proptest! {
    /// Against the definition: of all hits of a key that were allowed, no span of a window has more than the limit, and a
    /// hit is rejected only where one more would break that. It is accepted after `reset_after`, and not before.
    /// Cases: 40, 246, 247.
    #[test]
    fn hits_in_any_window_stay_within_limit(
        limit in 1_u32..6,
        daily in 1_u32..12,
        hits in proptest::collection::vec((0_u64..400, 0_u32..3, 0_u32..4), 1..200),
    ) {
        let (store, hand) = limits(100);
        let both = [of(limit, WINDOW), of(daily, 4 * WINDOW)];
        let mut allowed = [const { Allowed::new() }; 3];
        let mut now = 0;
        for (step, key, cost) in hits {
            now += step;
            hand.store(now, Ordering::Relaxed);
            let counted = &mut allowed[key as usize];
            let fits = |counted: &Allowed, now: u64| {
                cost == 0 || both.iter().all(|limit| {
                    let window = limit.window().as_millis() as u64;
                    counting(counted, now, window) + cost <= limit.requests()
                })
            };
            let acquired = store.acquire(&hit(key, both).with_cost(cost));
            prop_assert_eq!(acquired.is_allowed(), fits(counted, now));
            let state = acquired.state();
            if acquired.is_allowed() {
                counted.push((now, cost));
                let left = both.map(|limit| limit.requests() - counting(counted, now, limit.window().as_millis() as u64));
                prop_assert_eq!(state.remaining(), left.into_iter().min().unwrap());
            } else if both.iter().all(|limit| cost <= limit.requests()) {
                // Honest to the millisecond.
                let free = now + state.reset_after().as_millis() as u64;
                prop_assert!(free > now && fits(counted, free) && !fits(counted, free - 1));
                prop_assert_eq!(acquired.rejection(), Some(Rejection::Throttled { retry_after: state.retry_after() }));
            }
        }
    }

    /// A large limit is never exceeded, and stricter by a 64th of the window at most.
    /// Cases: 248.
    #[test]
    fn large_limit_is_strict_within_a_64th(
        limit in 101_u32..2_000,
        hits in proptest::collection::vec((0_u64..1_000, 1_u32..400), 1..300),
    ) {
        let (store, hand) = limits(100);
        let window = 6_400;
        let mut allowed = Allowed::new();
        let mut now = 0;
        for (step, cost) in hits {
            now += step;
            hand.store(now, Ordering::Relaxed);
            let acquired = store.acquire(&hit(1, of(limit, window)).with_cost(cost));
            let fits = |now: u64, window: u64| counting(&allowed, now, window) + cost <= limit;
            if acquired.is_allowed() {
                prop_assert!(fits(now, window));
                allowed.push((now, cost));
            } else {
                prop_assert!(!fits(now, window + window / 64));
                if cost <= limit {
                    let free = now + acquired.state().reset_after().as_millis() as u64;
                    prop_assert!(fits(free, window) && free <= now + window + window / 64);
                    hand.store(free, Ordering::Relaxed);
                    prop_assert!(allows(&store, 1, of(limit, window)));
                    allowed.push((free, 1));
                    now = free;
                }
            }
        }
    }

    /// The upper bound holds for every key whatever the table has room for.
    /// Cases: 250.
    #[test]
    fn a_small_table_allows_no_more_hits(hits in proptest::collection::vec((0_u64..700, 0_u32..6), 1..200)) {
        let (store, hand) = limits(2);
        let mut allowed = [const { Allowed::new() }; 6];
        let mut now = 0;
        for (step, key) in hits {
            now += step;
            hand.store(now, Ordering::Relaxed);
            if allows(&store, key, of(2, WINDOW)) {
                prop_assert!(counting(&allowed[key as usize], now, WINDOW) < 2);
                allowed[key as usize].push((now, 1));
            }
        }
    }

    /// A hit that is taken back leaves no trace.
    #[test]
    fn released_hit_leaves_no_trace(
        limit in prop_oneof![1_u32..6, 101_u32..120],
        hits in proptest::collection::vec((0_u64..300, 1_u32..4, any::<bool>()), 1..100),
    ) {
        let ((store, hand), (other, other_hand)) = (limits(100), limits(100));
        let mut now = 0;
        for (step, cost, kept) in hits {
            now += step;
            hand.store(now, Ordering::Relaxed);
            other_hand.store(now, Ordering::Relaxed);
            let hit = hit(1, of(limit, WINDOW)).with_cost(cost);
            let (acquired, at) = store.reserve(&hit);
            if kept || !acquired.is_allowed() {
                prop_assert_eq!(acquired, other.acquire(&hit));
            } else {
                store.release(&hit, at);
            }
        }
    }
}

#[test]
fn hits_at_window_edge_leave_none_after_it() {
    let (store, hand) = limits(100);
    let five = of(5, WINDOW);
    hand.store(990, Ordering::Relaxed);
    assert!((0..5).all(|_| allows(&store, 1, five)));
    hand.store(1010, Ordering::Relaxed);
    let limited = store.acquire(&hit(1, five));
    assert_eq!(limited, Acquired::Limited(LimitState::new(five, 0, Duration::from_millis(980))));
    assert_eq!(limited.state().retry_after(), 1);
    hand.store(1989, Ordering::Relaxed);
    assert!(!allows(&store, 1, five));
    hand.store(1990, Ordering::Relaxed);
    assert!(allows(&store, 1, five));
}

/// Cases: 250.
#[test]
fn full_table_keeps_keys_and_size() {
    let (store, hand) = limits(64);
    let two = of(2, WINDOW);
    // Some are limited, the others are not.
    for key in 0..64 {
        assert!(allows(&store, key, two));
        assert!(key % 2 == 0 || allows(&store, key, two));
    }
    // Those that are new share eight counts, and are not locked out all at once.
    let accepted = (100..500).filter(|&key| allows(&store, key, two)).count();
    assert_eq!(accepted, 16);
    // Those in the table keep their own.
    assert!((0..64).all(|key| allows(&store, key, two) == (key % 2 == 0)));
    // When the requests have left, each of the others has a count of its own that nothing was taken from.
    hand.store(WINDOW, Ordering::Relaxed);
    for key in 100..164 {
        assert!(allows(&store, key, two) && allows(&store, key, two) && !allows(&store, key, two), "{key}");
    }
}

/// A flood of newcomers in each window, none of which the table has room for: each shared count starts anew.
/// Cases: 250.
#[test]
fn flooded_table_accepts_newcomers_in_each_window() {
    let (store, hand) = limits(250);
    let two = of(2, WINDOW);
    for round in 0..10 {
        hand.store(round * WINDOW, Ordering::Relaxed);
        let first = 10_000 * round as u32;
        let accepted = (first..first + 250).filter(|&key| allows(&store, key, two)).count();
        assert_eq!(accepted, 250, "round {round}");
        let accepted = (first + 250..first + 3_000).filter(|&key| allows(&store, key, two)).count();
        assert_eq!(accepted, 2 * 31, "round {round}");
    }
}

#[test]
fn clock_going_back_allows_no_more_hits() {
    for requests in [1, 101] {
        let (store, hand) = limits(100);
        let all = |key| store.acquire(&hit(key, of(requests, 64 * WINDOW)).with_cost(requests)).is_allowed();
        hand.store(500, Ordering::Relaxed);
        assert!(all(1));
        hand.store(0, Ordering::Relaxed);
        assert!(!all(1));
        hand.store(64 * WINDOW + 499, Ordering::Relaxed);
        assert!(!all(1));
        hand.store(65 * WINDOW + 500, Ordering::Relaxed);
        assert!(all(1));
    }
}

/// Cases: 247.
#[test]
fn hit_beyond_its_limit_is_never_allowed() {
    let (store, _) = limits(100);
    let limited = store.acquire(&hit(1, of(3, WINDOW)).with_cost(4));
    assert_eq!(limited, Acquired::Limited(LimitState::new(of(3, WINDOW), 3, Duration::from_millis(WINDOW))));
    assert!(!allows(&store, 1, of(0, WINDOW)));
    // What costs nothing is allowed, and takes no place.
    assert!(store.acquire(&hit(1, of(0, WINDOW)).with_cost(0)).is_allowed());
    assert!(store.acquire(&hit(1, Limits::NONE)).is_allowed());
    assert!(allows(&store, 1, of(3, WINDOW)));
}

/// The longest and the shortest window, and the times at both ends of each.
/// Cases: 249.
#[test]
fn extreme_windows_do_not_overflow() {
    let year = 365 * 86_400_000;
    for requests in [1, 100, 101, u32::MAX] {
        for window in [Duration::MAX, Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(year)] {
            let (store, hand) = limits(10);
            let limit = Limit::new(requests, window);
            let all = hit(1, limit).with_cost(requests);
            let first = store.acquire(&all);
            assert!(first.is_allowed(), "{limit:?}");
            let longest = limit.window() + limit.window() / 64 + Duration::from_secs(20);
            assert!(first.state().reset_after() <= longest, "{limit:?}: {first:?}");
            assert!(!store.acquire(&all).is_allowed(), "{limit:?}");
            hand.store(102 * year, Ordering::Relaxed);
            assert!(store.acquire(&all).is_allowed(), "{limit:?}");
            hand.store(500 * year, Ordering::Relaxed);
            assert!(store.acquire(&all).is_allowed(), "{limit:?}");
        }
    }
}

/// With time in steps of less than a unit, and so long after the last hit that its low bits come again.
#[test]
fn time_that_wraps_around_is_kept_apart() {
    let (store, hand) = limits(10);
    let one = of(1, WINDOW);
    // A unit of this window is a nanosecond, and its low bits come again after 4.3 seconds.
    let wrap = (1_u64 << 32).div_ceil(1_000_000);
    for at in [0, 500, WINDOW, wrap, wrap + 1, wrap + 999, 2 * wrap + 999, 100 * wrap] {
        hand.store(at, Ordering::Relaxed);
        let expected = ![500, wrap + 1].contains(&at) && at != wrap + 999;
        assert_eq!(allows(&store, 1, one), expected, "{at}");
    }
}
