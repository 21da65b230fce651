use std::collections::HashMap;
use std::sync::PoisonError;

use super::ledger::Generation;
use super::sync::{Arc, Mutex};
use crate::key::KeyDigest;

/// The lookups that are under way, so that requests for the same key share one.
///
/// A request joins only a lookup that began at the request's own generation: one that began before an
/// invalidation may bring what was true before it.
pub(super) struct Flights<H> {
    table: Arc<Mutex<Table<H>>>,
}

struct Table<H> {
    flights: HashMap<KeyDigest, Flight<H>>,
    next_ticket: u64,
}

struct Flight<H> {
    began: Generation,
    ticket: u64,
    handle: H,
}

/// Ends a lookup when it is dropped: nobody joins it any more. Owned by the lookup itself, so that one which
/// nobody waits for leaves nothing behind.
pub(super) struct Landing<H> {
    table: Arc<Mutex<Table<H>>>,
    digest: KeyDigest,
    ticket: u64,
}

impl<H> Default for Flights<H> {
    fn default() -> Self {
        Self { table: Arc::new(Mutex::new(Table { flights: HashMap::new(), next_ticket: 0 })) }
    }
}

impl<H> Flights<H> {
    /// Joins the lookup of this key, if one is under way that began at the generation `now` and that `join` can
    /// still get hold of. Otherwise starts one.
    pub(super) fn join_or_start<T>(
        &self,
        digest: KeyDigest,
        now: Generation,
        join: impl FnOnce(&H) -> Option<T>,
        start: impl FnOnce(Landing<H>) -> (H, T),
    ) -> T {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = table.flights.get(&digest).filter(|flight| flight.began == now);
        if let Some(joined) = under_way.and_then(|flight| join(&flight.handle)) {
            return joined;
        }
        let ticket = table.next_ticket;
        table.next_ticket += 1;
        let (handle, started) = start(Landing { table: Arc::clone(&self.table), digest, ticket });
        table.flights.insert(digest, Flight { began: now, ticket, handle });
        started
    }
}

impl<H> Drop for Landing<H> {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        // A newer lookup of the same key may have taken the place.
        if table.flights.get(&self.digest).is_some_and(|flight| flight.ticket == self.ticket) {
            table.flights.remove(&self.digest);
        }
    }
}
