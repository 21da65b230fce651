//! When each key was last used, and how often.
//!
//! A layer on an SQL store counts by itself. For another store, [`UsageTracker`] counts the requests of each key in memory
//! and reports them to the store, where [`KeyRecord::last_used_at`](crate::key::KeyRecord::last_used_at) and
//! [`request_count`](crate::key::KeyRecord::request_count) show them.
//!
//! ```
//! use tower_api_key::usage::UsageTracker;
//! use tower_api_key::{ApiKeyLayer, MemoryStore};
//!
//! let usage = UsageTracker::new();
//! let layer = ApiKeyLayer::new(MemoryStore::new()).track_usage(&usage);
//! ```

#[cfg(all(test, loom_model))]
mod loom;
mod report;

use std::fmt;
use std::time::SystemTime;

use crate::key::KeyId;
use crate::store::UsageSink;
use crate::time::Timestamp;

/// Counts the requests of each key, and reports them to the store from time to time.
///
/// A request is a use of its key when an [`ApiKeyLayer`](crate::ApiKeyLayer) with this tracker has authenticated the key.
/// What becomes of the request afterwards does not matter, so that the last use shows whether anyone still has the key:
///
/// | request | a use |
/// |---|---|
/// | valid key, any response of the handler | yes |
/// | valid key, 403 by the layer, a route table, a [`RequireScopesLayer`](crate::auth::RequireScopesLayer) or the handler | yes |
/// | valid key, 404 by a route table | yes |
/// | valid key, 429 by a limit inside the layer; the client goes away | yes |
/// | unknown, expired or revoked key | no |
/// | without a key; public route; CORS preflight | no |
/// | rejected before the layer: 429 by a limit outside it, plain HTTP | no |
/// | store outage (503) | no |
///
/// Nested layers count one use in each tracker. Several trackers, also of several processes, add up in the store.
///
/// A request only adds to a counter in memory, so that a slow or failed store affects no request. A report that failed is
/// kept for the next one. Memory is bounded: requests of keys beyond the [capacity](UsageTrackerBuilder::capacity) are
/// [dropped](Self::dropped). A killed process loses the requests since its last report. A process that ends with
/// [`Background::shutdown`](crate::background::Background::shutdown) or [`flush`](Self::flush) loses none.
///
/// A clone counts into the same tracker. A layer on an [`SqliteStore`](crate::store::SqliteStore) or
/// [`PostgresStore`](crate::store::PostgresStore) counts by itself, and
/// [`Background::of`](crate::background::Background::of) reports; a tracker is for other stores and settings.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::time::Duration;
/// use tower_api_key::background::Background;
/// use tower_api_key::usage::UsageTracker;
/// use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// let store = MemoryStore::new();
/// let usage = UsageTracker::new();
/// let layer = ApiKeyLayer::new(store.clone()).track_usage(&usage);
///
/// let background = Background::new();
/// background.report_usage(&usage, store, Duration::from_secs(10));
/// // Serve. When the server has ended:
/// background.shutdown().await;
/// # }
/// ```
#[derive(Clone)]
pub struct UsageTracker {
    sink: UsageSink,
}

impl UsageTracker {
    /// Returns a tracker of at most 100,000 keys between two reports.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns the tracker of a store that keeps usage: what its layers count.
    ///
    /// ```
    /// use tower_api_key::usage::UsageTracker;
    /// use tower_api_key::{KeyStore, MemoryStore};
    ///
    /// // A MemoryStore forgets its keys, and counts only for a tracker that is named.
    /// assert!(MemoryStore::new().usage_sink().map(UsageTracker::of).is_none());
    /// ```
    #[must_use]
    pub fn of(sink: &UsageSink) -> Self {
        Self { sink: sink.clone() }
    }

    /// Configures a tracker.
    ///
    /// ```
    /// use tower_api_key::usage::UsageTracker;
    ///
    /// let usage = UsageTracker::builder().capacity(1_000_000).build();
    /// assert_eq!(usage.dropped(), 0);
    /// ```
    pub const fn builder() -> UsageTrackerBuilder {
        UsageTrackerBuilder { capacity: 100_000 }
    }

    /// Returns how many requests were not counted, because the capacity was exhausted or the outcome of a report is
    /// unknown.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.sink.counters().dropped()
    }

    /// Returns whether the other tracker counts in the same place.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.sink.is_same(&other.sink)
    }

    /// Counts a request with this key.
    pub(crate) fn count(&self, id: KeyId, now: SystemTime) {
        self.sink.counters().add(id, 1, Timestamp::floor(now));
    }
}

impl Default for UsageTracker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for UsageTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageTracker").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

/// Configures a [`UsageTracker`]. Made by [`UsageTracker::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct UsageTrackerBuilder {
    capacity: usize,
}

impl UsageTrackerBuilder {
    /// Sets how many keys are counted at most between two reports: 100,000 by default.
    pub const fn capacity(mut self, keys: usize) -> Self {
        self.capacity = keys;
        self
    }

    /// Builds the tracker.
    #[must_use]
    pub fn build(self) -> UsageTracker {
        UsageTracker { sink: UsageSink::with_capacity(self.capacity) }
    }
}
