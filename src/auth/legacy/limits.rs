use std::thread::available_parallelism;
use std::time::Duration;

/// What the verification of legacy keys may take, so that invented keys slow no known one.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::auth::LegacyLimits;
///
/// // The old table is asked by one fast query for each key.
/// let limits = LegacyLimits::new().with_concurrency(10).with_remembered(50_000, Duration::from_secs(30));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegacyLimits {
    pub(super) concurrency: usize,
    pub(super) waiting: usize,
    pub(super) remembered: usize,
    pub(super) remembered_for: Duration,
}

impl LegacyLimits {
    /// Returns the defaults: half as many verifications at once as there are processors, 64 that wait, and 10,000 keys
    /// that are remembered as not found for 10 seconds.
    #[must_use]
    pub fn new() -> Self {
        let processors = available_parallelism().map_or(2, usize::from);
        Self {
            concurrency: (processors / 2).max(1),
            waiting: 64,
            remembered: 10_000,
            remembered_for: Duration::from_secs(10),
        }
    }

    /// Verifies at most this many keys at once, one at least. A slow hash such as bcrypt takes a processor for each of them.
    #[must_use]
    pub fn with_concurrency(mut self, verifications: usize) -> Self {
        self.concurrency = verifications.max(1);
        self
    }

    /// Lets at most this many verifications wait for their turn. The newest is next; a request whose verification is
    /// displaced gets a 503.
    #[must_use]
    pub const fn with_waiting(mut self, verifications: usize) -> Self {
        self.waiting = verifications;
        self
    }

    /// Remembers at most this many keys as not found, for this long. A key that is added to the old table later is accepted
    /// when that time is over.
    #[must_use]
    pub const fn with_remembered(mut self, keys: usize, time: Duration) -> Self {
        self.remembered = keys;
        self.remembered_for = time;
        self
    }
}

impl Default for LegacyLimits {
    fn default() -> Self {
        Self::new()
    }
}
