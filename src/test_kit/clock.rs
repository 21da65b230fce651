use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::time::Clock;

/// A clock that only a test moves. A clone is a handle to the same clock.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_api_key::key::KeyStatus;
/// use tower_api_key::test_kit::ManualClock;
/// use tower_api_key::{Access, ApiKeyLayer, KeyManager, MemoryStore, NewKey};
///
/// # futures::executor::block_on(async {
/// let clock = ManualClock::new(SystemTime::now());
/// let store = MemoryStore::builder().clock(clock.clone()).build();
/// let layer = ApiKeyLayer::new(store.clone()).clock(clock.clone());
///
/// let hour = Duration::from_secs(3600);
/// let new = NewKey::new("for an hour", Access::Full)?.with_expires_at(clock.now() + hour);
/// let issued = KeyManager::new(store).issue(&"acme".parse()?, new).await?;
/// assert_eq!(issued.record.status(clock.now()), KeyStatus::Active);
/// clock.advance(hour);
/// assert_eq!(issued.record.status(clock.now()), KeyStatus::Expired);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<SystemTime>>);

impl ManualClock {
    /// Returns a clock that shows this time.
    #[must_use]
    pub fn new(time: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(time)))
    }

    /// Returns the time it shows.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        *self.time()
    }

    /// Moves the clock forward.
    ///
    /// # Panics
    /// When the platform cannot represent the new time. The clock then shows the old one.
    pub fn advance(&self, duration: Duration) {
        *self.time() += duration;
    }

    /// Moves the clock to this time, back or forward.
    pub fn set(&self, time: SystemTime) {
        *self.time() = time;
    }

    fn time(&self) -> MutexGuard<'_, SystemTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        Self::now(self)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn clock_moved_shows_the_time_in_every_clone() {
        let clock = ManualClock::new(UNIX_EPOCH);
        let other = clock.clone();
        clock.advance(Duration::from_millis(1500));
        assert_eq!(Clock::now(&other), UNIX_EPOCH + Duration::from_millis(1500));
        other.set(UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(clock.now(), UNIX_EPOCH - Duration::from_secs(1));
    }

    #[test]
    fn clock_moved_out_of_range_shows_the_old_time() {
        let clock = ManualClock::new(UNIX_EPOCH);
        assert!(catch_unwind(|| clock.advance(Duration::MAX)).is_err());
        assert_eq!(clock.now(), UNIX_EPOCH);
    }
}
