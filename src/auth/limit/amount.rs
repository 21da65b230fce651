use std::fmt;
use std::time::Duration;

/// At most so many requests in any span of time.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::auth::Limit;
///
/// assert_eq!(Limit::per_minute(100), Limit::new(100, Duration::from_secs(60)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    requests: u32,
    /// The window, in nanoseconds.
    nanos: u64,
}

impl Limit {
    /// Allows this many requests in any span of `window`. With 0, no request is accepted. A window is at least a
    /// microsecond, and one of more than 100 years counts as 100 years.
    #[must_use]
    pub const fn new(requests: u32, window: Duration) -> Self {
        const SHORTEST: u64 = 1_000;
        const LONGEST: u64 = 100 * 365 * 86_400 * 1_000_000_000;
        let nanos = if window.as_nanos() >= LONGEST as u128 {
            LONGEST
        } else if window.as_nanos() < SHORTEST as u128 {
            SHORTEST
        } else {
            window.as_nanos() as u64
        };
        Self { requests, nanos }
    }

    /// Allows this many requests in any second.
    #[must_use]
    pub const fn per_second(requests: u32) -> Self {
        Self::new(requests, Duration::from_secs(1))
    }

    /// Allows this many requests in any minute.
    #[must_use]
    pub const fn per_minute(requests: u32) -> Self {
        Self::new(requests, Duration::from_secs(60))
    }

    /// Allows this many requests in any hour.
    #[must_use]
    pub const fn per_hour(requests: u32) -> Self {
        Self::new(requests, Duration::from_secs(3_600))
    }

    /// Allows this many requests in any 24 hours.
    #[must_use]
    pub const fn per_day(requests: u32) -> Self {
        Self::new(requests, Duration::from_secs(86_400))
    }

    /// Returns the number of requests.
    #[must_use]
    pub const fn requests(&self) -> u32 {
        self.requests
    }

    /// Returns the length of the span.
    #[must_use]
    pub const fn window(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    #[cfg(feature = "throttle")]
    pub(crate) const fn nanos(&self) -> u64 {
        self.nanos
    }
}

/// Limits that apply at once, four at most: 100 a minute and 5,000 a day. A request must be within each of them. Without
/// any, requests are not limited and not counted.
///
/// ```
/// use tower_api_key::auth::{Limit, Limits};
///
/// let plan = Limits::from([Limit::per_minute(100), Limit::per_day(5_000)]);
/// assert_eq!(plan.as_slice().len(), 2);
/// assert_eq!(Limits::from(Limit::per_minute(100)).as_slice(), [Limit::per_minute(100)]);
/// assert!(Limits::NONE.as_slice().is_empty());
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    limits: [Limit; Self::MAX],
    len: u8,
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self { limits: [Limit::new(0, Duration::ZERO); Self::MAX], len: 0 };

    /// How many limits there may be.
    pub const MAX: usize = 4;

    /// Returns the limits.
    #[must_use]
    pub fn as_slice(&self) -> &[Limit] {
        &self.limits[..usize::from(self.len)]
    }
}

impl From<Limit> for Limits {
    fn from(limit: Limit) -> Self {
        [limit].into()
    }
}

/// More than [`Limits::MAX`] limits do not compile.
impl<const N: usize> From<[Limit; N]> for Limits {
    fn from(from: [Limit; N]) -> Self {
        const { assert!(N <= Limits::MAX, "more limits than Limits::MAX") };
        let mut limits = Self::NONE;
        limits.limits[..N].copy_from_slice(&from);
        limits.len = N as u8;
        limits
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}
