use std::collections::VecDeque;

use crate::auth::Limit;

/// The most requests that are kept one by one.
const EXACT: u32 = 100;
/// Into how many parts the window of a larger limit is divided.
const PARTS: u64 = 64;
/// How many parts a request counts: those of the window, and the rest of its own.
const SPAN: u64 = PARTS + 1;

/// What is counted of one subject for one limit.
///
/// Small limits keep the time of each request. Larger ones count in parts of the window, and a request counts as if it came
/// at the end of its part: up to a 64th of the window too long, and never too short.
pub(super) struct Window {
    /// The last time of a request, in units.
    newest: u64,
    /// No request counts that is older, in units. Of parts alone.
    oldest: u64,
    used: u32,
    hits: Hits,
}

enum Hits {
    /// The low bits of the time of each request, the oldest first.
    Times(VecDeque<u32>),
    /// The number of requests in each part, by its number modulo the length.
    Parts(Box<[u32; SPAN as usize]>),
}

/// How time is counted for a limit: a request of unit `u` leaves when unit `u + span` begins.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    limit: u32,
    /// In nanoseconds.
    unit: u64,
    span: u64,
}

impl Scale {
    pub(super) fn of(limit: Limit) -> Self {
        let window = limit.nanos();
        let requests = limit.requests();
        if requests > EXACT {
            return Self { limit: requests, unit: window.div_ceil(PARTS), span: SPAN };
        }
        // So that no two times that are kept have the same low bits. A power of ten, so that whole milliseconds stay exact.
        let mut unit = 1;
        while window / unit > 1 << 31 {
            unit *= 10;
        }
        Self { limit: requests, unit, span: window.div_ceil(unit) }
    }

    /// The time when a request of this unit leaves, in nanoseconds.
    const fn end(self, unit: u64) -> u64 {
        (unit + self.span).saturating_mul(self.unit)
    }

    const fn is_exact(self) -> bool {
        self.limit <= EXACT
    }
}

impl Window {
    pub(super) fn new(scale: Scale) -> Self {
        let hits =
            if scale.is_exact() { Hits::Times(VecDeque::new()) } else { Hits::Parts(Box::new([0; SPAN as usize])) };
        Self { newest: 0, oldest: 0, used: 0, hits }
    }

    /// Forgets the requests that have left. Time must not go back.
    pub(super) fn turn(&mut self, now: u64, scale: Scale) {
        let current = now / scale.unit;
        if self.used > 0 && self.newest + scale.span <= current {
            self.used = 0;
            match &mut self.hits {
                Hits::Times(times) => times.clear(),
                Hits::Parts(parts) => parts.fill(0),
            }
        }
        match &mut self.hits {
            Hits::Times(times) => {
                while times.front().is_some_and(|&time| full(time, self.newest) + scale.span <= current) {
                    times.pop_front();
                    self.used -= 1;
                }
            }
            Hits::Parts(parts) => {
                while self.used > 0 && (self.oldest + scale.span <= current || parts[index(self.oldest)] == 0) {
                    self.used -= std::mem::take(&mut parts[index(self.oldest)]);
                    self.oldest += 1;
                }
                if self.used == 0 {
                    self.oldest = current;
                }
                self.newest = current;
            }
        }
    }

    pub(super) const fn used(&self) -> u32 {
        self.used
    }

    /// Counts requests now.
    pub(super) fn add(&mut self, now: u64, cost: u32, scale: Scale) {
        self.used += cost;
        match &mut self.hits {
            Hits::Times(times) => {
                self.newest = now.div_ceil(scale.unit);
                reserve(times, cost, scale.limit);
                times.extend(std::iter::repeat_n(self.newest as u32, cost as usize));
            }
            Hits::Parts(parts) => parts[index(self.newest)] += cost,
        }
    }

    /// Takes back requests that were counted at this time.
    pub(super) fn remove(&mut self, at: u64, cost: u32, scale: Scale) {
        match &mut self.hits {
            Hits::Times(times) => {
                let time = at.div_ceil(scale.unit) as u32;
                for _ in 0..cost {
                    let Some(found) = times.iter().rposition(|&other| other == time) else { return };
                    times.remove(found);
                    self.used -= 1;
                }
            }
            Hits::Parts(parts) => {
                let part = at / scale.unit;
                if part + SPAN > self.newest {
                    let left = &mut parts[index(part)];
                    let taken = cost.min(*left);
                    *left -= taken;
                    self.used -= taken;
                }
            }
        }
    }

    /// Returns when the oldest request has left, in nanoseconds. 0: there is none. The window must have been turned.
    pub(super) fn first_free_at(&self, scale: Scale) -> u64 {
        match &self.hits {
            Hits::Times(times) => times.front().map_or(0, |&time| scale.end(full(time, self.newest))),
            Hits::Parts(_) if self.used == 0 => 0,
            Hits::Parts(_) => scale.end(self.oldest),
        }
    }

    /// Returns when this many of the oldest requests have left, in nanoseconds. With fewer requests, when all have.
    pub(super) fn free_at(&self, number: u32, scale: Scale) -> u64 {
        match &self.hits {
            Hits::Times(times) => {
                let last = (number as usize).min(times.len()).checked_sub(1);
                last.and_then(|last| times.get(last)).map_or(0, |&time| scale.end(full(time, self.newest)))
            }
            Hits::Parts(parts) => {
                let mut left = number.min(self.used);
                if left == 0 {
                    return 0;
                }
                let last = (self.oldest..=self.newest).find(|&part| {
                    left = left.saturating_sub(parts[index(part)]);
                    left == 0
                });
                scale.end(last.unwrap_or(self.newest))
            }
        }
    }

    /// Returns when all requests have left, in nanoseconds.
    pub(super) const fn end(&self, scale: Scale) -> u64 {
        scale.end(self.newest)
    }
}

/// The time with these low bits at or before the newest one.
const fn full(low: u32, newest: u64) -> u64 {
    newest.saturating_sub((newest as u32).wrapping_sub(low) as u64)
}

const fn index(part: u64) -> usize {
    (part % SPAN) as usize
}

/// Grows to no more than the limit.
fn reserve(times: &mut VecDeque<u32>, more: u32, limit: u32) {
    let needed = times.len() + more as usize;
    if needed > times.capacity() {
        let capacity = (needed * 2).next_multiple_of(4).min(limit as usize).max(needed);
        times.reserve_exact(capacity - times.len());
    }
}
