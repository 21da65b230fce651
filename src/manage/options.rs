use std::time::Duration;

use crate::store::Expiry;

/// How a key is regenerated. By default the old key is revoked at once, and the new one lives as long as the old one did.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::manage::RegenerateOptions;
/// use tower_api_key::store::Expiry;
///
/// let day = Duration::from_secs(24 * 60 * 60);
/// let options = RegenerateOptions::new().with_expiry(Expiry::Never).with_overlap(day);
/// assert_eq!(options.overlap(), day);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegenerateOptions {
    expiry: Expiry,
    overlap: Duration,
}

impl RegenerateOptions {
    /// Returns the default options.
    #[must_use]
    pub const fn new() -> Self {
        Self { expiry: Expiry::SameLifetime, overlap: Duration::ZERO }
    }

    /// Sets when the new key expires.
    #[must_use]
    pub const fn with_expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = expiry;
        self
    }

    /// Lets the old key work for this long, and never past its own expiry. It is listed as expired afterwards, and cannot
    /// be regenerated again.
    #[must_use]
    pub const fn with_overlap(mut self, overlap: Duration) -> Self {
        self.overlap = overlap;
        self
    }

    /// Returns when the new key expires.
    #[must_use]
    pub const fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// Returns for how long the old key still works.
    #[must_use]
    pub const fn overlap(&self) -> Duration {
        self.overlap
    }
}

impl From<Expiry> for RegenerateOptions {
    fn from(expiry: Expiry) -> Self {
        Self::new().with_expiry(expiry)
    }
}
