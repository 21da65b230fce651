//! Work that is bounded takes turns, the newest first.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use tokio::sync::oneshot;

use crate::episode::Episode;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// Bounds how many lookups, or other checks of a key, run at a time. Of those that wait, the newest one is next.
///
/// In an overload, not every lookup gets a turn before its request gives up. With the oldest first, each one would wait
/// until its request has no time left for the lookup.
pub(crate) struct Turns {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    overload: Episode,
    lines: OverloadLines,
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

struct State {
    free: usize,
    /// The lookups that wait, the oldest first, by ticket.
    waiting: BTreeMap<u64, oneshot::Sender<Turn>>,
    latest_ticket: u64,
    most_waiting: usize,
}

/// Leave for a lookup. Dropped, it passes to the next one.
pub(crate) struct Turn(Arc<Shared>);

/// Where a lookup waits. A request that joins the lookup makes it the newest one.
#[derive(Clone, Default)]
pub(crate) struct Place(Arc<AtomicU64>);

impl Turns {
    pub(crate) fn new(limit: usize, most_waiting: usize, lines: OverloadLines) -> Self {
        let state = State { free: limit, waiting: BTreeMap::new(), latest_ticket: 0, most_waiting };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), overload: Episode::default(), lines }) }
    }

    /// Waits for a turn.
    pub(crate) async fn take(&self, place: &Place) -> Result<Turn, Displaced> {
        let shared = &self.shared;
        let given = {
            let mut state = shared.lock();
            if state.free > 0 {
                state.free -= 1;
                drop(state);
                shared.log_success();
                return Ok(Turn(Arc::clone(shared)));
            }
            let (give, given) = oneshot::channel();
            let displaced = state.wait(place, give);
            drop(state);
            if displaced.is_some() {
                shared.log_failure();
            }
            given
        };
        Waiting { shared, place, given }.turn().await
    }

    /// Makes the lookup in this place the newest one, if it waits.
    pub(crate) fn renew(&self, place: &Place) {
        let mut state = self.shared.lock();
        if let Some(give) = state.waiting.remove(&place.ticket()) {
            state.wait(place, give);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_failure(&self) {
        if self.overload.fail("") {
            tracing::warn!("{}", self.lines.begin);
        }
    }

    fn log_success(&self) {
        if let Some(ended) = self.overload.succeed() {
            tracing::info!("{}: {} lookups failed in {:.1?}", self.lines.end, ended.failures, ended.length);
        }
    }
}

impl State {
    /// Adds the newest one. Returns the oldest one where there is no room for both.
    fn wait(&mut self, place: &Place, give: oneshot::Sender<Turn>) -> Option<oneshot::Sender<Turn>> {
        self.latest_ticket += 1;
        place.0.store(self.latest_ticket, Ordering::SeqCst);
        self.waiting.insert(self.latest_ticket, give);
        let is_full = self.waiting.len() > self.most_waiting;
        is_full.then(|| self.waiting.pop_first()).flatten().map(|(_, displaced)| displaced)
    }
}

impl Place {
    fn ticket(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.lock();
            let next = state.waiting.pop_last();
            state.free += usize::from(next.is_none());
            next
        };
        if let Some((_, next)) = next {
            // A lookup that is dropped just now gives it back: then it passes to the one after.
            drop(next.send(Self(Arc::clone(&self.0))));
        }
    }
}

/// A lookup that waits until this is dropped.
struct Waiting<'a> {
    shared: &'a Shared,
    place: &'a Place,
    given: oneshot::Receiver<Turn>,
}

impl Waiting<'_> {
    async fn turn(mut self) -> Result<Turn, Displaced> {
        (&mut self.given).await.map_err(|_| Displaced)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let gave_up = self.shared.lock().waiting.remove(&self.place.ticket());
        if gave_up.is_some() {
            self.shared.log_failure();
        }
    }
}
