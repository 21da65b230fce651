//! The counts of a run.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) requests: Counter,
    pub(crate) accepted: Counter,
    pub(crate) rejected: Counter,
    pub(crate) unavailable: Counter,
    /// The connection ended instead.
    pub(crate) unanswered: Counter,
    pub(crate) issued: Counter,
    pub(crate) revoked: Counter,
    pub(crate) regenerated: Counter,

    /// Requests that began after their key was acknowledged as revoked or replaced, and were accepted.
    pub(crate) wrong_accepts: Counter,
    /// Keys that were acknowledged as revoked or replaced, and are live in the database.
    pub(crate) lost_revokes: Counter,
    /// Valid keys that got a 401, or whose acknowledged record is gone.
    pub(crate) valid_rejected: Counter,

    kills: Counter,
    last_kill: Mutex<Option<Kill>>,
    /// From the kill until the victim accepted connections again.
    away: Mutex<Vec<Duration>>,
    /// From then on until a request was accepted.
    until_serving: Mutex<Vec<Duration>>,
}

impl Figures {
    /// A request that began then was accepted.
    pub(crate) fn accept(&self, began: Instant) {
        self.accepted.one();
        if let Some(kill) = &mut *self.last_kill.lock().unwrap() {
            kill.accepted_since |= began > kill.at;
        }
    }

    /// The victim is gone.
    pub(crate) fn killed(&self) {
        self.kills.one();
        *self.last_kill.lock().unwrap() = Some(Kill { at: Instant::now(), accepted_since: false });
    }

    pub(crate) fn accepted_since_kill(&self) -> bool {
        self.last_kill.lock().unwrap().as_ref().is_some_and(|kill| kill.accepted_since)
    }

    pub(crate) fn recovered(&self, away: Duration, until_serving: Duration) {
        self.away.lock().unwrap().push(away);
        self.until_serving.lock().unwrap().push(until_serving);
    }

    pub(crate) fn longest_until_serving(&self) -> Duration {
        self.until_serving.lock().unwrap().iter().copied().max().unwrap()
    }
}

struct Kill {
    at: Instant,
    accepted_since: bool,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("kills", &self.kills),
            ("requests", &self.requests),
            ("  accepted", &self.accepted),
            ("  rejected (401)", &self.rejected),
            ("  unavailable (503)", &self.unavailable),
            ("  without an answer", &self.unanswered),
            ("keys issued", &self.issued),
            ("keys revoked", &self.revoked),
            ("keys regenerated", &self.regenerated),
            ("wrong accepts", &self.wrong_accepts),
            ("acknowledged revokes lost", &self.lost_revokes),
            ("valid keys rejected or lost", &self.valid_rejected),
        ];
        for (name, count) in counts {
            writeln!(f, "  {name:<42}{:>12}", count.get())?;
        }
        for (name, times) in
            [("until it accepts connections", &self.away), ("from then until the first 200", &self.until_serving)]
        {
            let mut times = times.lock().unwrap().clone();
            times.sort();
            let (median, last) = (times[times.len() / 2].as_millis(), times[times.len() - 1].as_millis());
            writeln!(f, "  {name:<42}{:>12}", format!("{median} ms"))?;
            writeln!(f, "  {:<42}{:>12}", "  at most", format!("{last} ms"))?;
        }
        Ok(())
    }
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
