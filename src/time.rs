//! Where the time comes from, and how a key record keeps it.

use std::fmt;
use std::num::NonZeroU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of wall-clock time.
///
/// The layer asks it only for keys that expire. Any `Fn() -> SystemTime` is a clock, so a test moves time
/// without sleeping:
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use std::time::{Duration, SystemTime};
/// use tower_api_key::Clock;
///
/// let now = Arc::new(Mutex::new(SystemTime::UNIX_EPOCH));
/// let hand = Arc::clone(&now);
/// let clock = move || *hand.lock().unwrap();
/// *now.lock().unwrap() += Duration::from_secs(60);
/// assert_eq!(Clock::now(&clock), SystemTime::UNIX_EPOCH + Duration::from_secs(60));
/// ```
pub trait Clock: Send + Sync + 'static {
    /// The present time. A panic here propagates to the caller; it never lets a request through.
    fn now(&self) -> SystemTime;
}

impl<F> Clock for F
where
    F: Fn() -> SystemTime + Send + Sync + 'static,
{
    fn now(&self) -> SystemTime {
        self()
    }
}

/// The clock of the operating system: the default everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A point in time in whole Unix seconds, which is all that a key record keeps of one.
///
/// Kept as the distance from the one before the earliest. So none is 0, an `Option` takes no more room, and the order is
/// that of the numbers. The latest second of all is kept as the one before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timestamp(NonZeroU64);

impl Timestamp {
    pub(crate) const EPOCH: Self = Self::from_seconds(0);
    pub(crate) const EARLIEST: Self = Self::from_seconds(i64::MIN);

    /// Rounds down, so that an expiry kept in seconds never comes later than the one that was asked for.
    pub(crate) fn floor(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::from_seconds(i64::try_from(after.as_secs()).unwrap_or(i64::MAX)),
            Err(before) => {
                let before = before.duration();
                let fraction = i64::from(before.subsec_nanos() > 0);
                Self::from_seconds(0_i64.saturating_sub_unsigned(before.as_secs()).saturating_sub(fraction))
            }
        }
    }

    /// Whether this point in time has come.
    #[inline]
    pub(crate) fn is_reached(self, now: SystemTime) -> bool {
        self.system_time() <= now
    }

    pub(crate) const fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    pub(crate) const fn seconds(self) -> i64 {
        (self.0.get() - 1).cast_signed() ^ i64::MIN
    }

    pub(crate) const fn from_seconds(seconds: i64) -> Self {
        Self(NonZeroU64::MIN.saturating_add((seconds ^ i64::MIN).cast_unsigned()))
    }

    /// Times that this platform cannot represent become the nearest end of what it can.
    #[inline]
    pub(crate) fn system_time(self) -> SystemTime {
        let seconds = self.seconds();
        let distance = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 {
            UNIX_EPOCH.checked_sub(distance).unwrap_or(UNIX_EPOCH)
        } else {
            UNIX_EPOCH.checked_add(distance).unwrap_or_else(latest)
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timestamp").field(&self.seconds()).finish()
    }
}

/// The latest whole second this platform can represent, found by halving.
fn latest() -> SystemTime {
    let (mut time, mut step) = (UNIX_EPOCH, u64::MAX);
    while step > 0 {
        time = time.checked_add(Duration::from_secs(step)).unwrap_or(time);
        step /= 2;
    }
    time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_down_on_both_sides_of_the_epoch() {
        let half = Duration::from_millis(500);
        assert_eq!(Timestamp::floor(UNIX_EPOCH + half).seconds(), 0);
        assert_eq!(Timestamp::floor(UNIX_EPOCH - half).seconds(), -1);
        assert_eq!(Timestamp::floor(UNIX_EPOCH - half - half).seconds(), -1);
        assert_eq!(Timestamp::floor(UNIX_EPOCH - half - half - half).seconds(), -2);
    }

    #[test]
    fn case_075_the_ends_of_the_range_neither_panic_nor_wrap() {
        for seconds in [i64::MIN, i64::MIN + 1, -62_167_219_200, 0, 253_402_300_799, i64::MAX - 1] {
            let stamp = Timestamp::from_seconds(seconds);
            assert_eq!(Timestamp::floor(stamp.system_time()), stamp, "{seconds}");
            assert_eq!(stamp.seconds(), seconds);
        }
        let latest = Timestamp::from_seconds(i64::MAX);
        assert_eq!(latest.saturating_add(Duration::MAX), latest);
        assert_eq!(Timestamp::EPOCH.saturating_add(Duration::MAX), latest);
        assert_eq!(latest, Timestamp::from_seconds(i64::MAX - 1), "never later than it was asked for");
    }

    #[test]
    fn the_latest_time_is_in_the_last_second_that_can_be_represented() {
        assert_eq!(latest().checked_add(Duration::from_secs(1)), None);
    }

    #[test]
    fn debug_shows_the_seconds() {
        assert_eq!(format!("{:?}", Timestamp::from_seconds(-5)), "Timestamp(-5)");
    }
}
