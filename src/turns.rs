//! Work that is bounded takes turns, the newest first, and one that has a turn may take others along.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::iter::from_fn;
use std::sync::{Arc, PoisonError};

use tokio::sync::oneshot;

use crate::episode::Episode;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// Bounds how many lookups, or other checks of a key, run at a time. Of those that wait, the newest one is next.
///
/// `K` is what a lookup that waits is about, and `S` what another one that takes it along gives it.
///
/// In an overload, not every lookup gets a turn before its request gives up. With the oldest first, each one would wait
/// until its request has no time left for the lookup.
pub(crate) struct Turns<K = (), S = Infallible>(Arc<Shared<K, S>>);

struct Shared<K, S> {
    state: Mutex<State<K, S>>,
    overload: Episode,
    lines: Option<OverloadLines>,
}

/// What the log has of an overload: when it begins, and when it has ended.
#[derive(Clone, Copy)]
pub(crate) struct OverloadLines {
    pub(crate) begin: &'static str,
    pub(crate) end: &'static str,
}

/// There was no turn: newer lookups took the place of this one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Displaced;

struct State<K, S> {
    free: usize,
    /// How many turns there are beyond the limit.
    extra: usize,
    most_extra: usize,
    /// The lookups that wait, the oldest first, by ticket.
    waiting: BTreeMap<u64, Waiter<K, S>>,
    latest_ticket: u64,
    most_waiting: usize,
}

/// A lookup that waits.
pub(crate) struct Waiter<K, S> {
    key: K,
    give: oneshot::Sender<Given<K, S>>,
}

/// What a lookup waits for.
pub(crate) enum Given<K, S> {
    Turn(Turn<K, S>),
    /// A share of what another one does.
    Share(S),
}

/// Leave for a lookup. Dropped, it passes to the next one.
pub(crate) struct Turn<K = (), S = Infallible> {
    shared: Arc<Shared<K, S>>,
    found: bool,
}

/// Where a lookup waits. A request that joins the lookup makes it the newest one.
pub(crate) struct Place<K = (), S = Infallible> {
    shared: Arc<Shared<K, S>>,
    ticket: Arc<AtomicU64>,
}

impl<K, S> Turns<K, S> {
    /// So many run at a time, and so many more wait. The lines are what the log has of those that fail.
    pub(crate) fn new(limit: usize, most_waiting: usize, lines: Option<OverloadLines>) -> Self {
        let state =
            State { free: limit, extra: 0, most_extra: 0, waiting: BTreeMap::new(), latest_ticket: 0, most_waiting };
        Self(Arc::new(Shared { state: Mutex::new(state), overload: Episode::default(), lines }))
    }

    /// Up to so many more run at a time while others wait and those before them [found](Turn::found_key) keys.
    pub(crate) fn growing_by(self, most_extra: usize) -> Self {
        self.0.lock().most_extra = most_extra;
        self
    }

    pub(crate) fn place(&self) -> Place<K, S> {
        Place { shared: Arc::clone(&self.0), ticket: Arc::default() }
    }
}

impl<K, S> Place<K, S> {
    /// Waits for a turn, or for a share in what another one does.
    pub(crate) async fn take(&self, key: K) -> Result<Given<K, S>, Displaced> {
        let shared = &self.shared;
        let given = {
            let mut state = shared.lock();
            if state.free > 0 {
                state.free -= 1;
                drop(state);
                shared.log_success();
                return Ok(Given::Turn(Turn::new(shared)));
            }
            let (give, given) = oneshot::channel();
            let displaced = state.wait(self, Waiter { key, give });
            drop(state);
            if displaced.is_some() {
                shared.log_failure();
            }
            given
        };
        Waiting { place: self, given }.given().await
    }

    /// Makes the lookup in this place the newest one, if it waits.
    pub(crate) fn renew(&self) {
        let mut state = self.shared.lock();
        if let Some(waiter) = state.waiting.remove(&self.ticket()) {
            state.wait(self, waiter);
        }
    }

    fn ticket(&self) -> u64 {
        self.ticket.load(Ordering::SeqCst)
    }
}

impl Place {
    /// Waits for a turn where none takes others along.
    pub(crate) async fn turn(&self) -> Result<Turn, Displaced> {
        match self.take(()).await? {
            Given::Turn(turn) => Ok(turn),
            Given::Share(never) => match never {},
        }
    }
}

impl<K, S> Clone for Place<K, S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), ticket: Arc::clone(&self.ticket) }
    }
}

impl<K, S> Shared<K, S> {
    fn lock(&self) -> MutexGuard<'_, State<K, S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_failure(&self) {
        if let Some(lines) = self.lines
            && self.overload.fail("")
        {
            tracing::warn!("{}", lines.begin);
        }
    }

    fn log_success(&self) {
        if let Some(lines) = self.lines
            && let Some(ended) = self.overload.succeed()
        {
            tracing::info!("{}: {} lookups failed in {:.1?}", lines.end, ended.failures, ended.length);
        }
    }
}

impl<K, S> State<K, S> {
    /// Adds the newest one. Returns the oldest one where there is no room for both.
    fn wait(&mut self, place: &Place<K, S>, waiter: Waiter<K, S>) -> Option<Waiter<K, S>> {
        self.latest_ticket += 1;
        place.ticket.store(self.latest_ticket, Ordering::SeqCst);
        self.waiting.insert(self.latest_ticket, waiter);
        let is_full = self.waiting.len() > self.most_waiting;
        is_full.then(|| self.waiting.pop_first()).flatten().map(|(_, displaced)| displaced)
    }

    /// Ends a turn. Returns those that have one now: the next one, and another one while each lookup finds a key.
    fn end_turn(&mut self, found: bool) -> Vec<Waiter<K, S>> {
        let turns = if found && self.extra < self.most_extra {
            self.extra += 1;
            2
        } else if !found && self.extra > 0 {
            self.extra -= 1;
            0
        } else {
            1
        };
        let next: Vec<_> = from_fn(|| self.waiting.pop_last()).map(|(_, waiter)| waiter).take(turns).collect();
        let unused = turns - next.len();
        let surplus = unused.min(self.extra);
        self.extra -= surplus;
        self.free += unused - surplus;
        next
    }
}

impl<K, S> Waiter<K, S> {
    pub(crate) const fn key(&self) -> &K {
        &self.key
    }

    pub(crate) fn share(self, share: S) {
        // A lookup that was dropped just now needs none.
        drop(self.give.send(Given::Share(share)));
    }
}

impl<K, S> Turn<K, S> {
    fn new(shared: &Arc<Shared<K, S>>) -> Self {
        Self { shared: Arc::clone(shared), found: false }
    }

    /// Takes up to so many of the lookups that wait along, the newest ones. Each must be given its share.
    pub(crate) fn take_along(&self, most: usize) -> Vec<Waiter<K, S>> {
        let mut state = self.shared.lock();
        from_fn(|| state.waiting.pop_last()).map(|(_, waiter)| waiter).take(most).collect()
    }

    /// Notes that the lookup found a key.
    pub(crate) const fn found_key(&mut self) {
        self.found = true;
    }
}

impl<K, S> Drop for Turn<K, S> {
    fn drop(&mut self) {
        let next = self.shared.lock().end_turn(self.found);
        for waiter in next {
            // A lookup that is dropped just now gives it back: then it passes to the one after.
            drop(waiter.give.send(Given::Turn(Self::new(&self.shared))));
        }
    }
}

/// A lookup that waits until this is dropped.
struct Waiting<'a, K, S> {
    place: &'a Place<K, S>,
    given: oneshot::Receiver<Given<K, S>>,
}

impl<K, S> Waiting<'_, K, S> {
    async fn given(mut self) -> Result<Given<K, S>, Displaced> {
        (&mut self.given).await.map_err(|_| Displaced)
    }
}

impl<K, S> Drop for Waiting<'_, K, S> {
    fn drop(&mut self) {
        let Place { shared, .. } = self.place;
        let gave_up = shared.lock().waiting.remove(&self.place.ticket());
        if gave_up.is_some() {
            shared.log_failure();
        }
    }
}
