#[cfg(all(test, loom_model))]
mod loom;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::mem;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::rejection::reason::Rejection;
use crate::sync::Mutex;

/// Counts hits per key, and allows never more than `limit` of them in any span of `window`: at the edge of a
/// minute too, where counters that start anew every minute allow twice as many.
///
/// Hits that were refused do not count. Memory is bounded: a key that was not hit for two windows is forgotten,
/// and while the table is full, keys that are not in it share one window among them, so that nobody gets more
/// than their limit. Time is monotonic; setting the system's clock changes nothing. One process by design. A
/// clone shares the counts.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// use tower_api_key::throttle::SlidingWindow;
///
/// let signups = SlidingWindow::new(NonZeroU32::new(5).unwrap(), Duration::from_secs(60));
/// for _ in 0..5 {
///     assert!(signups.hit("192.0.2.1").is_allowed());
/// }
/// let sixth = signups.hit("192.0.2.1");
/// assert!(!sixth.is_allowed());
/// assert_eq!(sixth.retry_after(), 60);
/// assert!(signups.hit("192.0.2.2").is_allowed());
/// ```
pub struct SlidingWindow<K> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    limit: usize,
    window: Duration,
    capacity: usize,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    start: Instant,
    table: Mutex<Table<K>>,
}

/// Keys move to `young` when they are hit. Once per window `old` is forgotten and `young` takes its place, so
/// that what is forgotten was last hit more than a window ago.
struct Table<K> {
    young: HashMap<K, Hits>,
    old: HashMap<K, Hits>,
    turned: Duration,
    /// The one window of all keys that found the table full.
    overflow: Hits,
}

/// When each hit that still counts came, the oldest first, as time since the start.
#[derive(Clone, Default)]
struct Hits(VecDeque<Duration>);

impl<K: Hash + Eq> SlidingWindow<K> {
    /// At most how many keys are counted one by one, unless [`with_capacity`](Self::with_capacity) says
    /// otherwise. About 100 bytes each, and 16 more for each hit beyond four.
    pub const DEFAULT_CAPACITY: usize = 100_000;

    /// Allows `limit` hits of each key in any span of `window`.
    #[must_use]
    pub fn new(limit: NonZeroU32, window: Duration) -> Self {
        Self::with_clock(limit, window, Self::DEFAULT_CAPACITY, Instant::now)
    }

    /// The same with another bound on memory.
    #[must_use]
    pub fn with_capacity(limit: NonZeroU32, window: Duration, capacity: usize) -> Self {
        Self::with_clock(limit, window, capacity, Instant::now)
    }

    /// The same with another source of time, for tests.
    #[must_use]
    pub fn with_clock(
        limit: NonZeroU32,
        window: Duration,
        capacity: usize,
        clock: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Self {
        let table =
            Table { young: HashMap::new(), old: HashMap::new(), turned: Duration::ZERO, overflow: Hits::default() };
        let shared = Shared {
            limit: usize::try_from(limit.get()).unwrap_or(usize::MAX),
            window,
            capacity,
            start: clock(),
            clock: Box::new(clock),
            table: Mutex::new(table),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Counts a hit of this key, if it is allowed.
    pub fn hit(&self, key: K) -> Hit {
        let Shared { limit, window, capacity, .. } = *self.shared;
        // Asked before the lock is taken, and it may be somebody's own: a hit that lost the race for the lock to
        // a later one keeps that one's time, so that hits stay in order.
        let now = (self.shared.clock)().saturating_duration_since(self.shared.start);
        let mut table = self.shared.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.turn(now, window);
        table.hits_of(key, capacity).hit(now, window, limit)
    }
}

impl<K: Hash + Eq> Table<K> {
    fn turn(&mut self, now: Duration, window: Duration) {
        let since = now.saturating_sub(self.turned);
        if since >= window {
            self.old = mem::take(&mut self.young);
            if since >= window.saturating_mul(2) {
                // Its memory too, which `clear` would keep.
                self.old = HashMap::new();
            }
            self.turned = now;
        }
    }

    fn hits_of(&mut self, key: K, capacity: usize) -> &mut Hits {
        let known = self.young.contains_key(&key);
        let moved = if known { None } else { self.old.remove(&key) };
        if known || moved.is_some() || self.young.len() + self.old.len() < capacity {
            // A key that is new to the table may be behind any of the shared hits.
            self.young.entry(key).or_insert_with(|| moved.unwrap_or_else(|| self.overflow.clone()))
        } else {
            &mut self.overflow
        }
    }
}

impl Hits {
    fn hit(&mut self, now: Duration, window: Duration, limit: usize) -> Hit {
        let now = self.0.back().map_or(now, |&latest| latest.max(now));
        while self.0.front().is_some_and(|&oldest| now - oldest >= window) {
            self.0.pop_front();
        }
        let allowed = self.0.len() < limit;
        if allowed {
            self.0.push_back(now);
        }
        let oldest = self.0.front().copied().unwrap_or(now);
        Hit { allowed, limit, counted: self.0.len(), reset_after: window.saturating_sub(now - oldest) }
    }
}

impl<K> Clone for SlidingWindow<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K> fmt::Debug for SlidingWindow<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlidingWindow")
            .field("limit", &self.shared.limit)
            .field("window", &self.shared.window)
            .finish_non_exhaustive()
    }
}

/// What a hit met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    allowed: bool,
    limit: usize,
    counted: usize,
    reset_after: Duration,
}

impl Hit {
    /// Whether the hit is within the limit, and therefore counted.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// How many hits a window may have.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// How many more would be allowed now.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.limit - self.counted
    }

    /// When the oldest hit that counts leaves the window, and one more is allowed.
    #[must_use]
    pub const fn reset_after(&self) -> Duration {
        self.reset_after
    }

    /// For a refused hit, after how many whole seconds the next one is allowed: at least 1. Otherwise 0.
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        if self.allowed { 0 } else { whole_seconds(self.reset_after).max(1) }
    }

    /// The documented refusal of a hit that was not allowed.
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        (!self.allowed).then(|| Rejection::Throttled { retry_after: self.retry_after() })
    }
}

/// Rounded up: a client that waits this long is not early.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    const WINDOW: u64 = 1000;

    /// A window of 1000 ms, and the hand that moves its clock.
    fn window(limit: u32, capacity: usize) -> (SlidingWindow<u32>, Arc<AtomicU64>) {
        let (start, hand) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let millis = Arc::clone(&hand);
        let clock = move || start + Duration::from_millis(millis.load(Ordering::Relaxed));
        let limit = NonZeroU32::new(limit).unwrap();
        (SlidingWindow::with_clock(limit, Duration::from_millis(WINDOW), capacity, clock), hand)
    }

    proptest! {
        /// Against the definition: of all hits of a key that were allowed, no span of a window has more than the
        /// limit, and a hit is refused only where one more would break that.
        /// Cases: 40.
        #[test]
        fn hits_in_any_window_stay_within_limit(
            limit in 1_u32..6,
            hits in proptest::collection::vec((0_u64..400, 0_u32..3), 1..200),
        ) {
            let (window, hand) = window(limit, 100);
            let mut allowed: Vec<(u64, u32)> = Vec::new();
            let mut now = 0;
            for (step, key) in hits {
                now += step;
                hand.store(now, Ordering::Relaxed);
                let counting = allowed.iter().filter(|&&(at, who)| who == key && now - at < WINDOW).count();
                let hit = window.hit(key);
                prop_assert_eq!(hit.is_allowed(), counting < limit as usize);
                if hit.is_allowed() {
                    allowed.push((now, key));
                    prop_assert_eq!(hit.remaining(), limit as usize - counting - 1);
                } else {
                    prop_assert_eq!(hit.remaining(), 0);
                    prop_assert!(hit.reset_after() > Duration::ZERO);
                }
            }
        }
    }

    proptest! {
        /// The upper bound holds for every key whatever the table has room for.
        #[test]
        fn a_small_table_allows_nobody_more(hits in proptest::collection::vec((0_u64..700, 0_u32..6), 1..200)) {
            let (window, hand) = window(2, 2);
            let mut allowed: Vec<(u64, u32)> = Vec::new();
            let mut now = 0;
            for (step, key) in hits {
                now += step;
                hand.store(now, Ordering::Relaxed);
                if window.hit(key).is_allowed() {
                    let counting = allowed.iter().filter(|&&(at, who)| who == key && now - at < WINDOW).count();
                    prop_assert!(counting < 2);
                    allowed.push((now, key));
                }
            }
        }
    }

    /// Cases: 143.
    #[test]
    fn window_of_extreme_length_saturates() {
        for length in [Duration::MAX, Duration::MAX - Duration::from_nanos(1), Duration::from_secs(u64::MAX)] {
            let (start, hand) = (Instant::now(), Arc::new(AtomicU64::new(0)));
            let seconds = Arc::clone(&hand);
            let clock = move || start + Duration::from_secs(seconds.load(Ordering::Relaxed));
            let window = SlidingWindow::with_clock(NonZeroU32::MIN, length, 1, clock);
            assert_eq!(window.hit(1).retry_after(), 0);
            assert_eq!(window.hit(1).retry_after(), u64::MAX, "{length:?}");
            hand.store(1_000_000_000, Ordering::Relaxed);
            assert!(!window.hit(1).is_allowed());
            assert_eq!([2, 3].map(|key| window.hit(key).is_allowed()), [true, false], "the table is full");
        }
        for length in [Duration::ZERO, Duration::from_nanos(1)] {
            let (start, hand) = (Instant::now(), Arc::new(AtomicU64::new(0)));
            let nanos = Arc::clone(&hand);
            let clock = move || start + Duration::from_nanos(nanos.fetch_add(1, Ordering::Relaxed));
            let window = SlidingWindow::with_clock(NonZeroU32::MIN, length, 1, clock);
            assert!((0..10).all(|_| window.hit(1).is_allowed() && window.hit(1).retry_after() == 0));
        }
    }

    #[test]
    fn hits_at_window_edge_leave_none_after_it() {
        let (window, hand) = window(5, 100);
        hand.store(990, Ordering::Relaxed);
        assert!((0..5).all(|_| window.hit(1).is_allowed()));
        hand.store(1010, Ordering::Relaxed);
        let refused = window.hit(1);
        assert!(!refused.is_allowed());
        assert_eq!(refused.reset_after(), Duration::from_millis(980));
        assert_eq!(refused.retry_after(), 1);
        assert_eq!(refused.rejection(), Some(Rejection::Throttled { retry_after: 1 }));
        hand.store(1989, Ordering::Relaxed);
        assert!(!window.hit(1).is_allowed());
        hand.store(1990, Ordering::Relaxed);
        assert!(window.hit(1).is_allowed());
    }

    #[test]
    fn full_table_keeps_keys_and_size() {
        let (window, hand) = window(2, 3);
        for key in 0..3 {
            assert!(window.hit(key).is_allowed());
        }
        // Strangers share one window.
        assert!(window.hit(10).is_allowed());
        assert!(window.hit(11).is_allowed());
        assert!(!window.hit(12).is_allowed());
        // Those in the table keep their own.
        assert!(window.hit(0).is_allowed());
        assert!(!window.hit(0).is_allowed());
        // When the table has room again, strangers are counted one by one again.
        hand.store(2 * WINDOW, Ordering::Relaxed);
        for key in 10..13 {
            assert!(window.hit(key).is_allowed());
            assert!(window.hit(key).is_allowed());
        }
    }

    #[test]
    fn clock_going_back_allows_no_more_hits() {
        let (window, hand) = window(1, 100);
        hand.store(500, Ordering::Relaxed);
        assert!(window.hit(1).is_allowed());
        hand.store(0, Ordering::Relaxed);
        assert!(!window.hit(1).is_allowed());
        hand.store(1499, Ordering::Relaxed);
        assert!(!window.hit(1).is_allowed());
        hand.store(1500, Ordering::Relaxed);
        assert!(window.hit(1).is_allowed());
    }
}
