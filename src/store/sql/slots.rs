use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::places::Place;

/// How many connections are kept for lookups.
pub(super) const SLOTS: usize = 4;

/// How long a connection is kept.
const LIFETIME: Duration = Duration::from_secs(30 * 60);

/// How long it may stay unused.
const IDLE_TIME: Duration = Duration::from_secs(10 * 60);

/// Connections for lookups alone, apart from the pool: it would test each of them before and after a lookup, and hand it from
/// one task to another.
pub(super) struct Slots {
    pub(super) options: PgConnectOptions,
    idle: Mutex<Vec<Own>>,
    /// A place for each connection that is used, opened or waited for. Another one is opened only while none is idle.
    free: Arc<Semaphore>,
}

/// A connection for lookups.
pub(super) struct Own {
    pub(super) connection: PgConnection,
    since: Instant,
    pub(super) used: Instant,
}

/// A place that was free.
pub(super) enum Free {
    /// With the connection that was used last.
    Kept(Own, Place),
    /// Without a connection.
    Empty(Place),
}

impl Slots {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        Self { options, idle: Mutex::new(vec![]), free: Arc::new(Semaphore::new(SLOTS)) }
    }

    /// Returns a free place, if there is one. Connections that are too old are closed.
    pub(super) fn take(&self) -> Option<Free> {
        let place = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let mut idle = self.idle();
        idle.retain(|own| own.since.elapsed() < LIFETIME && own.used.elapsed() < IDLE_TIME);
        Some(match idle.pop() {
            Some(own) => Free::Kept(own, place),
            None => Free::Empty(place),
        })
    }

    /// Keeps a connection that works for the next lookup.
    pub(super) fn keep(&self, own: Own) {
        self.idle().push(Own { used: Instant::now(), ..own });
    }

    /// Closes the connections that are idle.
    pub(super) fn clear(&self) {
        let closed = std::mem::take(&mut *self.idle());
        drop(closed);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Own>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Own {
    pub(super) fn new(connection: PgConnection) -> Self {
        let now = Instant::now();
        Self { connection, since: now, used: now }
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").finish_non_exhaustive()
    }
}
