//! Who used what, and when: gathered in memory, told to the store now and then.

#[cfg(all(test, loom_model))]
mod model;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::fmt;
use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use crate::error_chain::error_chain;
use crate::key::{KeyId, KeyRecord};
use crate::store::{KeyManager, ManageError};
use crate::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::time::Timestamp;

/// Counts the requests of each key, and tells the store in one statement now and then.
///
/// A request only adds to a counter. A store that is slow, stalled or down slows or fails no request: what it
/// cannot take is kept for the next time, in bounded memory, and what does not fit is dropped and
/// [counted](Self::dropped). A process that is killed loses what it gathered since the last time; one that ends
/// in order calls [`flush`](Self::flush) and loses nothing.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::{ApiKeyLayer, MemoryStore, UsageTracker};
///
/// # futures::executor::block_on(async {
/// let keys = MemoryStore::new();
/// let usage = UsageTracker::new();
/// let layer = ApiKeyLayer::new(keys.clone()).track_usage(&usage);
/// # if false {
/// tokio::spawn(usage.clone().run(keys.clone(), Duration::from_secs(10)));
/// # }
/// // Serve, and when the server has ended:
/// usage.flush(&keys).await?;
/// # Ok::<(), tower_api_key::ManageError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct UsageTracker {
    shared: Arc<Shared>,
}

struct Shared {
    capacity: usize,
    dropped: AtomicU64,
    pending: Mutex<HashMap<KeyId, Pending>>,
}

/// How often a key was used since the store was told last.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUsage {
    /// The key.
    pub id: KeyId,
    /// How many requests it let in.
    pub requests: u64,
    /// When the last of them came.
    pub last_used_at: SystemTime,
}

impl KeyUsage {
    /// So many requests with this key, the last of them at this time.
    #[must_use]
    pub const fn new(id: KeyId, requests: u64, last_used_at: SystemTime) -> Self {
        Self { id, requests, last_used_at }
    }
}

/// What a record has seen of its key. It hangs on the record, so that a request that finds the record in a cache
/// adds to a counter of its own and looks nothing up.
#[derive(Debug, Default)]
pub(crate) struct Unreported {
    requests: AtomicU32,
    last: AtomicI64,
}

/// A key that has something to report: in its record, and from other records of it or from reports that failed.
struct Pending {
    record: Option<Arc<KeyRecord>>,
    requests: u64,
    last: Timestamp,
}

impl UsageTracker {
    /// A tracker of up to 100,000 keys between two reports.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(100_000)
    }

    /// A tracker of up to this many keys between two reports.
    #[must_use]
    pub fn with_capacity(keys: usize) -> Self {
        let shared = Shared { capacity: keys, dropped: AtomicU64::new(0), pending: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// How many requests were not counted, because more keys were in use than there is room for, or because it
    /// is not known what became of a report.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Reports to this store at this interval, for as long as it runs: spawn it beside the server. A failure is
    /// logged once, until it works again.
    ///
    /// # Panics
    /// On a runtime other than tokio's, or one without its timer.
    pub async fn run(self, store: impl KeyManager, interval: Duration) -> Infallible {
        let mut failing = false;
        loop {
            tokio::time::sleep(interval).await;
            let report = tokio::time::timeout(REPORT_TIMEOUT, self.flush(&store)).await;
            let failure = match &report {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error_chain(error)),
                Err(elapsed) => Some(error_chain(elapsed)),
            };
            if let Some(failure) = failure.as_ref().filter(|_| !failing) {
                log::warn!("the usage of keys could not be stored: {failure}");
            }
            failing = failure.is_some();
        }
    }

    /// Tells the store everything that was gathered, in one call.
    ///
    /// # Errors
    /// When the store fails: then everything is kept for the next time.
    pub async fn flush(&self, store: &impl KeyManager) -> Result<(), ManageError> {
        let mut report = Report { tracker: self, usage: self.take(), told: false };
        if report.usage.is_empty() {
            return Ok(());
        }
        let stored = store.record_usage(&report.usage).await;
        report.told = true;
        if stored.is_err() {
            self.keep(&report.usage);
        }
        stored
    }

    /// Counts a request.
    #[inline]
    pub(crate) fn count(&self, record: &Arc<KeyRecord>, now: SystemTime) {
        // The first one since the last report puts the record on the list.
        if record.unreported().add(now) == 0 {
            self.enlist(record);
        }
    }

    #[cold]
    fn enlist(&self, record: &Arc<KeyRecord>) {
        let mut pending = self.pending();
        let room = pending.len() < self.shared.capacity;
        match pending.entry(record.id()) {
            Entry::Occupied(mut entry) => {
                let pending = entry.get_mut();
                pending.absorb();
                pending.record = Some(Arc::clone(record));
            }
            Entry::Vacant(entry) if room => {
                let last = Timestamp::EARLIEST;
                entry.insert(Pending { record: Some(Arc::clone(record)), requests: 0, last });
            }
            Entry::Vacant(_) => self.drop_requests(record.unreported().take().0),
        }
    }

    fn take(&self) -> Vec<KeyUsage> {
        let pending = mem::take(&mut *self.pending());
        let usage = pending.into_iter().map(|(id, mut pending)| {
            pending.absorb();
            KeyUsage::new(id, pending.requests, pending.last.system_time())
        });
        usage.collect()
    }

    /// Takes back what could not be reported.
    fn keep(&self, usage: &[KeyUsage]) {
        let mut pending = self.pending();
        for usage in usage {
            let room = pending.len() < self.shared.capacity;
            let last = Timestamp::floor(usage.last_used_at);
            match pending.entry(usage.id) {
                Entry::Occupied(mut entry) => entry.get_mut().add(usage.requests, last),
                Entry::Vacant(entry) if room => {
                    entry.insert(Pending { record: None, requests: usage.requests, last });
                }
                Entry::Vacant(_) => self.drop_requests(usage.requests),
            }
        }
    }

    fn drop_requests(&self, requests: u64) {
        self.shared.dropped.fetch_add(requests, Ordering::Relaxed);
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<KeyId, Pending>> {
        self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner)
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

/// How long a report may take, so that a store that hangs does not end reporting for good.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// A report on its way. When it is given up, nobody knows whether the store has taken it: it is not sent again,
/// since to count twice is worse than to count what was dropped.
struct Report<'a> {
    tracker: &'a UsageTracker,
    usage: Vec<KeyUsage>,
    told: bool,
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tracker.drop_requests(self.usage.iter().map(|usage| usage.requests).sum());
        }
    }
}

impl Unreported {
    /// Adds a request, and says how many there were before it since they were taken last.
    #[inline]
    fn add(&self, now: SystemTime) -> u32 {
        // Most come in the second of the one before. Then its time need not be turned into seconds.
        let next_second = self.last.load(Ordering::Relaxed).saturating_add(1);
        if Timestamp::from_seconds(next_second).is_reached(now) {
            self.advance_to(Timestamp::floor(now));
        }
        // Whoever takes this request must see its time.
        self.requests.fetch_add(1, Ordering::Release)
    }

    #[cold]
    fn advance_to(&self, time: Timestamp) {
        // Of two requests at once the later one is the last.
        self.last.fetch_max(time.seconds(), Ordering::Relaxed);
    }

    /// How many requests there were since this was called last, and when the last one came.
    fn take(&self) -> (u64, Timestamp) {
        let requests = self.requests.swap(0, Ordering::Acquire);
        (requests.into(), Timestamp::from_seconds(self.last.load(Ordering::Relaxed)))
    }
}

impl Pending {
    fn absorb(&mut self) {
        if let Some(record) = self.record.take() {
            let (requests, last) = record.unreported().take();
            self.add(requests, last);
        }
    }

    fn add(&mut self, requests: u64, last: Timestamp) {
        self.requests += requests;
        self.last = self.last.max(last);
    }
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use super::*;
    use crate::key::KeyDigest;
    use crate::scope::Access;

    fn record(id: u128) -> Arc<KeyRecord> {
        let digest = KeyDigest::of(&id.to_le_bytes());
        Arc::new(KeyRecord::new(KeyId::from_u128(id), digest, "acme".parse().unwrap(), Access::Full))
    }

    /// Another key was used while the report was on its way.
    #[test]
    fn what_a_failed_report_brings_back_has_to_fit_too() {
        for (capacity, dropped) in [(1, 3), (2, 0)] {
            let usage = UsageTracker::with_capacity(capacity);
            let (one, other) = (record(1), record(2));
            (0..3).for_each(|_| usage.count(&one, SystemTime::UNIX_EPOCH));
            let failed = usage.take();
            usage.count(&other, SystemTime::UNIX_EPOCH);
            usage.keep(&failed);
            assert_eq!(usage.dropped(), dropped);
            let kept = usage.take();
            assert_eq!(kept.iter().map(|usage| usage.requests).sum::<u64>(), 4 - dropped);
            assert_eq!(kept.len(), capacity);
        }
    }
}
