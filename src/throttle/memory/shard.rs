use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::Duration;

use super::window::{Scale, Window};
use crate::auth::{Limit, LimitState, Limits};
use crate::throttle::Acquired;

/// A part of the table, behind a lock of its own.
#[derive(Default)]
pub(super) struct Shard {
    windows: HashMap<Id, Entry, BuildHasherDefault<IdHasher>>,
    /// The latest time that a hit came with, in nanoseconds. A hit that lost the race for the lock gets this time.
    latest: u64,
    swept: u64,
}

struct Entry {
    window: Window,
    /// When the entry can be forgotten, in nanoseconds.
    end: u64,
}

/// A keyed hash of whom and what is counted, of 128 bits: no two subjects share one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Id([u64; 2]);

/// What is to be counted.
pub(super) struct Request<'a> {
    /// Of the subject, without a limit.
    pub(super) id: Id,
    pub(super) limits: &'a Limits,
    pub(super) cost: u32,
    /// How many subjects are counted one by one.
    pub(super) room: usize,
}

/// A full shard looks for entries to forget no more often, in nanoseconds.
const SWEEP_PAUSE: u64 = 10_000_000;

impl Shard {
    /// Counts a request. Returns the time that it was counted at.
    pub(super) fn acquire(&mut self, now: u64, request: &Request<'_>) -> (Acquired, u64) {
        self.latest = self.latest.max(now);
        let now = self.latest;
        let limits = request.limits.as_slice();
        // One lookup for one limit of a known subject.
        if let [limit] = limits
            && let Some(entry) = self.windows.get_mut(&request.id.of(limit))
        {
            return (entry.acquire(*limit, request.cost, now), now);
        }
        let mut ids = [request.id; Limits::MAX];
        let mut limited: Option<LimitState> = None;
        for (limit, id) in limits.iter().zip(&mut ids) {
            *id = self.place(request, limit, now);
            let state = self.limited(*id, *limit, request, now);
            limited = [limited, state].into_iter().flatten().reduce(LimitState::later);
        }
        if let Some(state) = limited {
            return (Acquired::Limited(state), now);
        }
        let states = limits.iter().zip(ids).map(|(limit, id)| self.count(id, *limit, request.cost, now));
        let closest = states.reduce(LimitState::closer);
        (closest.map_or_else(Acquired::unlimited, Acquired::Allowed), now)
    }

    /// Takes back a request that was counted at this time.
    pub(super) fn release(&mut self, at: u64, request: &Request<'_>) {
        for limit in request.limits.as_slice() {
            let own = request.id.of(limit);
            let id = if self.windows.contains_key(&own) { own } else { request.shared(limit) };
            if let Some(entry) = self.windows.get_mut(&id) {
                entry.window.remove(at, request.cost, Scale::of(*limit));
            }
        }
    }

    /// Forgets all entries whose requests have left, and gives back their memory.
    pub(super) fn sweep(&mut self, now: u64) {
        self.swept = now;
        self.windows.retain(|_, entry| entry.end > now);
        if self.windows.len() < self.windows.capacity() / 4 {
            self.windows.shrink_to(self.windows.len() * 2);
        }
    }

    /// Returns where a request is counted. While the shard is full, newcomers share an entry with some of the others.
    ///
    /// A subject leaves the shared entry only when that holds no request, so that no subject ever gets more than its limit.
    fn place(&mut self, request: &Request<'_>, limit: &Limit, now: u64) -> Id {
        let own = request.id.of(limit);
        if self.windows.contains_key(&own) {
            return own;
        }
        let shared = request.shared(limit);
        if self.windows.get(&shared).is_some_and(|entry| entry.end > now) {
            return shared;
        }
        if self.windows.len() >= request.room && now >= self.swept.saturating_add(SWEEP_PAUSE) {
            self.sweep(now);
        }
        if self.windows.len() < request.room { own } else { shared }
    }

    /// Returns the state of a limit that does not allow the request.
    fn limited(&mut self, id: Id, limit: Limit, request: &Request<'_>, now: u64) -> Option<LimitState> {
        let scale = Scale::of(limit);
        let Some(entry) = self.windows.get_mut(&id) else {
            // Beyond twice the room, not even shared entries are made. It takes many different limits to get there.
            let remaining = if self.windows.len() < 2 * request.room.max(1) { limit.requests() } else { 0 };
            return (request.cost > remaining).then(|| LimitState::new(limit, remaining, limit.window()));
        };
        entry.limited(limit, scale, request.cost, now)
    }

    fn count(&mut self, id: Id, limit: Limit, cost: u32, now: u64) -> LimitState {
        let scale = Scale::of(limit);
        if cost == 0 && !self.windows.contains_key(&id) {
            return LimitState::new(limit, limit.requests(), Duration::ZERO);
        }
        let entry = self.windows.entry(id).or_insert_with(|| {
            let mut window = Window::new(scale);
            window.turn(now, scale);
            Entry { window, end: 0 }
        });
        entry.count(limit, scale, cost, now)
    }
}

impl Entry {
    /// Counts a request, if the limit allows it.
    fn acquire(&mut self, limit: Limit, cost: u32, now: u64) -> Acquired {
        let scale = Scale::of(limit);
        match self.limited(limit, scale, cost, now) {
            Some(state) => Acquired::Limited(state),
            None => Acquired::Allowed(self.count(limit, scale, cost, now)),
        }
    }

    /// Returns the state of the limit, if that does not allow a request of this cost.
    #[inline]
    fn limited(&mut self, limit: Limit, scale: Scale, cost: u32, now: u64) -> Option<LimitState> {
        self.window.turn(now, scale);
        let remaining = limit.requests().saturating_sub(self.window.used());
        (cost > remaining).then(|| self.state_of_limited(limit, scale, cost, now))
    }

    #[cold]
    fn state_of_limited(&self, limit: Limit, scale: Scale, cost: u32, now: u64) -> LimitState {
        let remaining = limit.requests().saturating_sub(self.window.used());
        let wait = if cost > limit.requests() {
            limit.window()
        } else {
            Duration::from_nanos(self.window.free_at(cost - remaining, scale).saturating_sub(now))
        };
        LimitState::new(limit, remaining, wait)
    }

    /// Counts a request that the limit allows.
    #[inline]
    fn count(&mut self, limit: Limit, scale: Scale, cost: u32, now: u64) -> LimitState {
        if cost > 0 {
            self.window.add(now, cost, scale);
            self.end = self.window.end(scale);
        }
        let remaining = limit.requests().saturating_sub(self.window.used());
        LimitState::new(limit, remaining, Duration::from_nanos(self.window.first_free_at(scale).saturating_sub(now)))
    }
}

impl Request<'_> {
    /// The id that a subject shares with some of the others while the shard is full.
    fn shared(&self, limit: &Limit) -> Id {
        let slots = (self.room as u64 / 8).max(1);
        Id::new((self.id.low() >> 32) % slots, u64::MAX).of(limit)
    }
}

impl Id {
    pub(super) const fn new(high: u64, low: u64) -> Self {
        Self([high, low])
    }

    /// A number to choose the shard by.
    pub(super) const fn low(self) -> u64 {
        self.0[1]
    }

    /// The id of one limit of a subject.
    fn of(self, limit: &Limit) -> Self {
        // The multiplier of the generator of Knuth's MMIX, and that of the hash FNV-1a.
        let window = u128::from(limit.nanos() ^ 6_364_136_223_846_793_005);
        let mixed = window.wrapping_mul(u128::from(limit.requests()) ^ 0x0100_0000_01b3);
        Self([self.0[0] ^ (mixed as u64) ^ (mixed >> 64) as u64, self.0[1]])
    }
}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// An [`Id`] is a hash already.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
