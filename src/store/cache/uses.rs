use std::time::{Duration, Instant};

use crate::key::KeyDigest;
use crate::sync::atomic::{AtomicU32, Ordering};

/// In which tick each key was last used, by a part of its digest. Of two keys in one place, both count as used.
///
/// A tick begins when [`advance`](Self::advance) is called, so that a hit need not compute it, and writes once in a tick.
pub(super) struct Uses {
    start: Instant,
    tick: Duration,
    latest: AtomicU32,
    last: Box<[AtomicU32]>,
}

impl Uses {
    const MOST_PLACES: usize = 1 << 20;
    /// Tick 0 is that of places which were never used, so the first one is long after it. Ticks wrap around after months.
    const FIRST: u32 = u32::MAX / 2;

    pub(super) fn new(keys: usize, tick: Duration, start: Instant) -> Self {
        let places = keys.min(Self::MOST_PLACES).next_power_of_two();
        let last = (0..places).map(|_| AtomicU32::new(0)).collect();
        Self { start, tick, latest: AtomicU32::new(Self::FIRST), last }
    }

    #[inline]
    pub(super) fn mark(&self, digest: &KeyDigest) {
        let (last, latest) = (self.place(digest), self.latest.load(Ordering::Relaxed));
        if last.load(Ordering::Relaxed) != latest {
            last.store(latest, Ordering::Relaxed);
        }
    }

    pub(super) fn advance(&self, now: Instant) {
        let ticks = self.ticks(now.saturating_duration_since(self.start));
        self.latest.store(Self::FIRST.wrapping_add(ticks as u32), Ordering::Relaxed);
    }

    /// Returns whether the key was used less than this time ago, as of the last tick.
    pub(super) fn is_within(&self, digest: &KeyDigest, time: Duration) -> bool {
        let since = self.latest.load(Ordering::Relaxed).wrapping_sub(self.place(digest).load(Ordering::Relaxed));
        u64::from(since) < self.ticks(time)
    }

    fn ticks(&self, time: Duration) -> u64 {
        u64::try_from(time.as_nanos() / self.tick.as_nanos()).unwrap_or(u64::MAX)
    }

    #[inline]
    fn place(&self, digest: &KeyDigest) -> &AtomicU32 {
        let [.., a, b, c, d] = *digest.as_bytes();
        &self.last[u32::from_le_bytes([a, b, c, d]) as usize & (self.last.len() - 1)]
    }
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use super::*;

    #[test]
    fn key_is_in_use_until_idle() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let uses = Uses::new(100, second, start);
        let [used, unused] = [1_u8, 2].map(|number| KeyDigest::from_bytes([number; 32]));
        uses.mark(&used);
        for (seconds, is_used) in [(0, true), (59, true), (60, false), (1 << 20, false)] {
            uses.advance(start + seconds * second);
            assert_eq!(uses.is_within(&used, 60 * second), is_used, "after {seconds} s");
        }
        uses.advance(start + 90 * second);
        assert!(!uses.is_within(&unused, 60 * second));
        uses.mark(&used);
        uses.advance(start + 100 * second);
        assert!(uses.is_within(&used, 60 * second));
    }
}
