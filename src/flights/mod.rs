#[cfg(all(test, loom_model))]
mod loom;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use crate::key::KeyDigest;
use crate::sync::Mutex;

/// The lookups that are under way, so that requests for one key share one lookup. `B` is how a lookup began.
pub(crate) struct Flights<B, H> {
    table: Arc<Mutex<Table<B, H>>>,
}

struct Table<B, H> {
    flights: HashMap<KeyDigest, Flight<B, H>>,
    next_ticket: u64,
}

struct Flight<B, H> {
    began: B,
    ticket: u64,
    handle: H,
}

/// Removes a lookup when it is dropped, so that no request joins it any more. The lookup itself owns it, so a lookup that
/// no request waits for leaves nothing behind.
pub(crate) struct Landing<B, H> {
    table: Arc<Mutex<Table<B, H>>>,
    digest: KeyDigest,
    ticket: u64,
}

impl<B, H> Default for Flights<B, H> {
    fn default() -> Self {
        Self { table: Arc::new(Mutex::new(Table { flights: HashMap::new(), next_ticket: 0 })) }
    }
}

impl<B, H> Flights<B, H> {
    /// Joins the lookup of this key, if one is under way, its beginning `fits`, and `join` can still get hold of it.
    /// Otherwise starts one that begins `now`.
    pub(crate) fn join_or_start<T>(
        &self,
        digest: KeyDigest,
        now: B,
        fits: impl FnOnce(&B) -> bool,
        join: impl FnOnce(&H) -> Option<T>,
        start: impl FnOnce(Landing<B, H>) -> (H, T),
    ) -> T {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = table.flights.get(&digest).filter(|flight| fits(&flight.began));
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

impl<B, H> Drop for Landing<B, H> {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        // A newer lookup of the key may have replaced this one.
        if table.flights.get(&self.digest).is_some_and(|flight| flight.ticket == self.ticket) {
            table.flights.remove(&self.digest);
        }
    }
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use super::*;

    /// Returns the landing of a new lookup, or `None` if it joined one.
    fn ask(flights: &Flights<u32, ()>, now: u32, fits: fn(&u32) -> bool) -> Option<Landing<u32, ()>> {
        flights.join_or_start(KeyDigest::hash(b"key"), now, fits, |()| Some(None), |landing| ((), Some(landing)))
    }

    #[test]
    fn older_lookup_ending_does_not_end_the_newer_one() {
        let flights = Flights::default();
        let older = ask(&flights, 1, |_| true).expect("there is none to join");
        let newer = ask(&flights, 2, |&began| began == 2).expect("the older one does not fit");
        drop(older);
        assert!(ask(&flights, 3, |&began| began == 2).is_none());
        drop(newer);
        assert!(ask(&flights, 4, |_| true).is_some());
    }
}
