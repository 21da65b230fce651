//! Where the time comes from: [`Clock`], and [`SystemClock`] by default.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of wall-clock time.
///
/// Any `Fn() -> SystemTime` is a clock, so a test moves the time without sleeping:
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use std::time::{Duration, SystemTime};
/// use tower_api_key::time::Clock;
///
/// let now = Arc::new(Mutex::new(SystemTime::UNIX_EPOCH));
/// let shown = Arc::clone(&now);
/// let clock = move || *shown.lock().unwrap();
/// *now.lock().unwrap() += Duration::from_secs(60);
/// assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(60));
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time. A panic propagates to the caller; a request is never accepted because of one.
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

/// A time in whole seconds since the Unix epoch, as key records and databases keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timestamp(i64);

impl Timestamp {
    pub(crate) const EPOCH: Self = Self(0);

    pub(crate) const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Rounds down, so that an expiry never comes later than the one that was asked for.
    pub(crate) fn floor(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(0_i64.saturating_add_unsigned(after.as_secs())),
            Err(before) => {
                let before = before.duration();
                let fraction = i64::from(before.subsec_nanos() > 0);
                Self(0_i64.saturating_sub_unsigned(before.as_secs()).saturating_sub(fraction))
            }
        }
    }

    pub(crate) const fn seconds(self) -> i64 {
        self.0
    }

    pub(crate) fn is_reached(self, now: SystemTime) -> bool {
        self.system_time() <= now
    }

    pub(crate) const fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add_unsigned(duration.as_secs()))
    }

    /// A time that the platform cannot represent becomes the Unix epoch if it is before, else the latest it can.
    pub(crate) fn system_time(self) -> SystemTime {
        let distance = Duration::from_secs(self.0.unsigned_abs());
        if self.0 < 0 {
            UNIX_EPOCH.checked_sub(distance).unwrap_or(UNIX_EPOCH)
        } else {
            UNIX_EPOCH.checked_add(distance).unwrap_or_else(latest)
        }
    }
}

/// The latest whole second that the platform can represent, found by halving.
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
    fn timestamp_rounds_down_around_epoch() {
        let half = Duration::from_millis(500);
        assert_eq!(Timestamp::floor(UNIX_EPOCH + half).seconds(), 0);
        assert_eq!(Timestamp::floor(UNIX_EPOCH - half).seconds(), -1);
        assert_eq!(Timestamp::floor(UNIX_EPOCH - half - half).seconds(), -1);
        assert_eq!(Timestamp::floor(UNIX_EPOCH - half - half - half).seconds(), -2);
    }

    /// Cases: 75.
    #[test]
    fn timestamp_at_range_ends_does_not_panic_or_wrap() {
        for seconds in [i64::MIN, i64::MIN + 1, -62_167_219_200, 0, 253_402_300_799, i64::MAX - 1, i64::MAX] {
            let stamp = Timestamp::from_seconds(seconds);
            assert_eq!(Timestamp::floor(stamp.system_time()), stamp, "{seconds}");
            assert_eq!(stamp.seconds(), seconds);
        }
        let latest = Timestamp::from_seconds(i64::MAX);
        assert_eq!(latest.saturating_add(Duration::MAX), latest);
        assert_eq!(Timestamp::EPOCH.saturating_add(Duration::MAX), latest);
        assert_eq!(Timestamp::from_seconds(i64::MIN).saturating_add(Duration::MAX), latest);
    }

    #[test]
    fn latest_time_is_last_representable_second() {
        assert_eq!(latest().checked_add(Duration::from_secs(1)), None);
    }
}
