use std::convert::Infallible;
use std::future::{Future, pending};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::UsageTracker;
use crate::background::Background;
use crate::error_chain::{error_chain, panic_text};
use crate::store::{BackendError, KeyBackend, KeyUsage};

/// How long a report may take, so that a store that hangs does not end reporting.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// A shorter interval counts as this one. Without it, an interval of zero would report without a pause.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// How many keys one call reports, so that the store encodes them in less than a millisecond.
const MOST_KEYS: usize = 1_000;
/// How often [`Background::of`] reports.
const INTERVAL: Duration = Duration::from_secs(10);

impl Background {
    /// Starts what this store needs in the background: usage is reported to it every 10 seconds, and a last time at
    /// [`shutdown`](Self::shutdown), if it has a [`usage_sink`](crate::KeyStore::usage_sink). A cache is
    /// [refreshed](crate::KeyStore::background_work), so that no request waits for a key in use.
    ///
    /// The layers on the store, or on a cache in front of it, count without a further setting.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_api_key::BoxError> {
    /// use tower_api_key::ApiKeyLayer;
    /// use tower_api_key::background::Background;
    /// use tower_api_key::store::SqliteStore;
    ///
    /// # let dir = std::env::temp_dir().join(format!("tower-api-key-doc-{}", std::process::id()));
    /// # std::fs::create_dir_all(&dir)?;
    /// # let url = format!("sqlite:{}", dir.join("keys.db").display());
    /// let store = SqliteStore::connect(&url).await?;
    /// store.migrate().await?;
    /// let background = Background::of(store.clone());
    /// let layer = ApiKeyLayer::new(store);
    /// // Serve with the layer. When the server has ended:
    /// background.shutdown().await;
    /// # std::fs::remove_dir_all(dir)?;
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "sqlite"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Panics
    /// When called outside a tokio runtime. The runtime needs its timer.
    #[track_caller]
    pub fn of(store: impl KeyBackend) -> Self {
        let background = Self::new();
        let work = store.background_work();
        if let Some(tracker) = store.usage_sink().map(UsageTracker::of) {
            background.report_usage(&tracker, store, INTERVAL);
        }
        if let Some(work) = work {
            background.run(work);
        }
        background
    }

    /// Reports what this tracker counted to this store at this interval, and a last time at shutdown.
    ///
    /// An interval of less than 100 milliseconds counts as 100. The shutdown completes a report that is on its way. Each
    /// report may take 10 seconds.
    ///
    /// # Panics
    /// When called outside a tokio runtime. The runtime needs its timer.
    #[track_caller]
    pub fn report_usage(&self, tracker: &UsageTracker, backend: impl KeyBackend, interval: Duration) {
        let tracker = tracker.clone();
        self.start(|mut stopped| async move { tracker.run_until(stopped.wait(), &backend, interval).await });
    }
}

impl UsageTracker {
    /// Reports to this store at this interval, forever. [`Background::report_usage`] also reports at shutdown.
    ///
    /// An interval of less than 100 milliseconds counts as 100. A report that takes longer than 10 seconds is dropped, as is
    /// one on which the store panics. The first of several failures in a row is logged.
    ///
    /// # Panics
    /// When polled outside a tokio runtime, or in one without its timer.
    pub async fn run(self, backend: impl KeyBackend, interval: Duration) -> Infallible {
        self.run_until(pending(), &backend, interval).await
    }

    /// Reports everything that was counted to this store, in calls of up to 1,000 keys. Requests that are handled by the
    /// same thread have their turn in between. With nothing to report, the store is not called.
    ///
    /// A call that is dropped may have reached the store. Its requests are [dropped](Self::dropped) too, since sending them
    /// again could count them twice. What was not sent yet is kept for the next report.
    ///
    /// # Errors
    /// [`BackendError`] when the store fails. What it did not take is kept for the next report.
    pub async fn flush(&self, backend: &impl KeyBackend) -> Result<(), BackendError> {
        let mut report = Report { tracker: self, usage: Vec::new(), sent: 0 };
        for part in self.sink.counters().take() {
            report.usage.extend(part);
            while report.usage.len() >= MOST_KEYS {
                report.send(backend).await?;
                yield_now().await;
            }
        }
        if report.usage.is_empty() { Ok(()) } else { report.send(backend).await }
    }

    /// Reports at this interval, and a last time when `stopped` completes.
    async fn run_until<T>(
        &self,
        stopped: impl Future<Output = T> + Send,
        backend: &impl KeyBackend,
        interval: Duration,
    ) -> T {
        let mut stopped = pin!(stopped);
        let mut failing = false;
        loop {
            let signal = timeout(interval.max(MIN_INTERVAL), stopped.as_mut()).await;
            let failure = self.report(backend).await.err();
            if let Some(failure) = failure.as_ref().filter(|_| !failing || signal.is_ok()) {
                tracing::warn!("{failure}");
            }
            failing = failure.is_some();
            if let Ok(output) = signal {
                return output;
            }
        }
    }

    /// Flushes, and returns the log line of a failure.
    async fn report(&self, backend: &impl KeyBackend) -> Result<(), String> {
        match timeout(REPORT_TIMEOUT, AssertUnwindSafe(self.flush(backend)).catch_unwind()).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => {
                Err(format!("cannot report key usage, keeping it for the next report: {}", error_chain(&error)))
            }
            Ok(Err(panic)) => {
                Err(format!("the store panicked on a usage report, dropping it: {}", panic_text(&*panic)))
            }
            Err(_) => Err(format!("the store did not take a usage report within {REPORT_TIMEOUT:?}, dropping it")),
        }
    }
}

/// A report on its way to the store.
struct Report<'a> {
    tracker: &'a UsageTracker,
    /// What the store has not taken, as far as is known.
    usage: Vec<KeyUsage>,
    /// How many of these, the last ones, are on their way.
    sent: usize,
}

impl Report<'_> {
    async fn send(&mut self, backend: &impl KeyBackend) -> Result<(), BackendError> {
        self.sent = self.usage.len().min(MOST_KEYS);
        let rest = self.usage.len() - self.sent;
        let stored = backend.record_usage(&self.usage[rest..]).await;
        self.sent = 0;
        stored.map(|()| self.usage.truncate(rest))
    }
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        let (kept, unknown) = self.usage.split_at(self.usage.len() - self.sent);
        let counters = self.tracker.sink.counters();
        counters.keep(kept);
        counters.drop_requests(unknown.iter().map(|usage| usage.request_count).sum());
    }
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::SystemTime;

    use futures::executor::block_on;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId, OrganizationPolicy};
    use crate::store::{
        InsertRules, Inserted, KeyCounts, KeyStore, KeyUpdate, ListKeys, NewRecord, Organizations, Page, Replacement,
    };

    const INTERVAL: Duration = Duration::from_secs(60);

    const WORKS: u8 = 0;
    const FAILS: u8 = 1;
    const PANICS: u8 = 2;
    const HANGS: u8 = 3;
    const TAKES_A_SECOND: u8 = 4;

    /// A store without keys, which takes reports as it is set to.
    #[derive(Default)]
    struct Reports {
        behavior: AtomicU8,
        /// How it behaves after one more report, unless it works.
        later: AtomicU8,
        taken: Mutex<Vec<Vec<u64>>>,
    }

    impl Reports {
        fn will(&self, behavior: u8) {
            self.behavior.store(behavior, Ordering::Relaxed);
        }

        /// How many requests of each key were in each report.
        fn taken(&self) -> Vec<Vec<u64>> {
            self.taken.lock().unwrap().clone()
        }
    }

    impl KeyStore for Reports {
        type Error = Infallible;

        async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
            Ok(None)
        }
    }

    impl KeyBackend for Reports {
        async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), BackendError> {
            match self.behavior.load(Ordering::Relaxed) {
                FAILS => return Err(BackendError::store("down")),
                PANICS => panic!("broken"),
                HANGS => pending().await,
                TAKES_A_SECOND => sleep(Duration::from_secs(1)).await,
                _ => {}
            }
            self.taken.lock().unwrap().push(usage.iter().map(|usage| usage.request_count).collect());
            match self.later.swap(WORKS, Ordering::Relaxed) {
                WORKS => {}
                later => self.will(later),
            }
            Ok(())
        }

        async fn get(&self, _: &OrganizationId, _: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
            Err(BackendError::NotFound)
        }

        async fn list(&self, _: Organizations<'_>, _: &ListKeys) -> Result<Page, BackendError> {
            Err(BackendError::NotFound)
        }

        async fn counts(&self, _: Organizations<'_>) -> Result<KeyCounts, BackendError> {
            Err(BackendError::NotFound)
        }

        async fn insert(&self, _: NewRecord, _: InsertRules) -> Result<Arc<KeyRecord>, BackendError> {
            Err(BackendError::NotFound)
        }

        async fn insert_many(&self, _: Vec<NewRecord>, _: InsertRules) -> Result<Vec<Inserted>, BackendError> {
            Err(BackendError::NotFound)
        }

        async fn purge(&self, _: Organizations<'_>, _: Duration, _: usize) -> Result<Vec<KeyId>, BackendError> {
            Err(BackendError::NotFound)
        }

        async fn erase_organization(&self, _: &OrganizationId, _: usize) -> Result<Vec<KeyId>, BackendError> {
            Err(BackendError::NotFound)
        }

        async fn update(&self, _: &OrganizationId, _: KeyId, _: KeyUpdate) -> Result<Arc<KeyRecord>, BackendError> {
            Err(BackendError::NotFound)
        }

        async fn revoke(&self, _: &OrganizationId, _: KeyId) -> Result<Arc<KeyRecord>, BackendError> {
            Err(BackendError::NotFound)
        }

        async fn replace(
            &self,
            _: &OrganizationId,
            _: KeyId,
            _: Replacement,
            _: InsertRules,
        ) -> Result<Arc<KeyRecord>, BackendError> {
            Err(BackendError::NotFound)
        }

        async fn organization_policy(&self, _: &OrganizationId) -> Result<OrganizationPolicy, BackendError> {
            Err(BackendError::NotFound)
        }

        async fn set_organization_policy(&self, _: &OrganizationId, _: OrganizationPolicy) -> Result<(), BackendError> {
            Err(BackendError::NotFound)
        }
    }

    /// A tracker that has counted so many requests, and a store.
    fn counted(requests: usize) -> (UsageTracker, Arc<Reports>) {
        let usage = UsageTracker::new();
        count(&usage, requests);
        (usage, Arc::default())
    }

    fn count(usage: &UsageTracker, requests: usize) {
        (0..requests).for_each(|_| usage.count(KeyId::from_u128(1), SystemTime::UNIX_EPOCH));
    }

    /// Collects the log lines of this thread until it is dropped.
    fn log() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
        struct Writer(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Writer {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&lines);
        let subscriber = tracing_subscriber::fmt().with_writer(move || Writer(Arc::clone(&written))).finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    #[test]
    fn flush_reports_once() {
        let (usage, store) = counted(3);
        block_on(usage.flush(&store)).unwrap();
        block_on(usage.flush(&store)).unwrap();
        assert_eq!(store.taken(), [[3]]);
    }

    /// Cases: 118.
    #[test]
    fn flush_that_fails_is_kept() {
        let (usage, store) = counted(3);
        store.will(FAILS);
        assert!(block_on(usage.flush(&store)).is_err());
        count(&usage, 1);
        store.will(WORKS);
        block_on(usage.flush(&store)).unwrap();
        assert_eq!((store.taken(), usage.dropped()), (vec![vec![4]], 0));
    }

    #[test]
    fn flush_that_is_dropped_counts_as_dropped() {
        let (usage, store) = counted(3);
        store.will(HANGS);
        assert!(usage.flush(&store).now_or_never().is_none());
        assert_eq!(usage.dropped(), 3);
        count(&usage, 1);
        store.will(WORKS);
        block_on(usage.flush(&store)).unwrap();
        assert_eq!(store.taken(), [[1]]);
    }

    /// Cases: 271.
    ///
    /// What the store took is not sent again, and what was not sent is kept.
    #[test]
    fn flush_of_many_keys_is_sent_in_parts() {
        const KEYS: u128 = 2_500;
        let (usage, store) = (UsageTracker::new(), Arc::new(Reports::default()));
        let count_all = || (0..KEYS).for_each(|key| usage.count(KeyId::from_u128(key), SystemTime::UNIX_EPOCH));
        let sizes = || store.taken().iter().map(Vec::len).collect::<Vec<_>>();
        count_all();
        block_on(usage.flush(&store)).unwrap();
        assert_eq!(sizes(), [1_000, 1_000, 500]);

        for (behavior, dropped) in [(FAILS, 0), (HANGS, 1_000)] {
            let before = (sizes().iter().sum::<usize>(), usage.dropped());
            count_all();
            store.later.store(behavior, Ordering::Relaxed);
            {
                // To the second part.
                let mut flush = pin!(usage.flush(&store));
                let flushed = (0..10).find_map(|_| flush.as_mut().now_or_never());
                assert_eq!(flushed.map(|flushed| flushed.is_err()), (behavior == FAILS).then_some(true));
            }
            store.will(WORKS);
            block_on(usage.flush(&store)).unwrap();
            let taken = sizes().iter().sum::<usize>() - before.0;
            assert_eq!((taken, usage.dropped() - before.1), (2_500 - usize::try_from(dropped).unwrap(), dropped));
        }
    }

    /// Cases: 142.
    #[tokio::test(start_paused = true)]
    async fn run_survives_store_that_fails_panics_or_hangs() {
        let (lines, _guard) = log();
        let (usage, store) = counted(0);
        let run = tokio::spawn(usage.clone().run(Arc::clone(&store), INTERVAL));
        yield_now().await;
        for behavior in [FAILS, PANICS, HANGS, WORKS, PANICS, WORKS] {
            store.will(behavior);
            count(&usage, 1);
            sleep(INTERVAL + REPORT_TIMEOUT).await;
        }
        run.abort();
        // The panic also drops the request of the failed report before it.
        assert_eq!((store.taken(), usage.dropped()), (vec![vec![1], vec![1]], 4));
        let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = lines.lines().collect();
        assert_eq!(lines.len(), 2, "one line for several failures in a row: {lines:?}");
        assert!(lines[0].contains("cannot report key usage, keeping it for the next report: "), "{lines:?}");
        assert!(lines[1].contains("the store panicked on a usage report, dropping it: broken"), "{lines:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn report_usage_reports_at_interval_and_shutdown() {
        let (usage, store) = counted(2);
        let background = Background::new();
        background.report_usage(&usage, Arc::clone(&store), INTERVAL);
        sleep(INTERVAL + Duration::from_secs(1)).await;
        assert_eq!(store.taken(), [[2]]);
        count(&usage, 1);
        background.shutdown().await;
        assert_eq!(store.taken(), [[2], [1]]);
    }

    /// Cases: 142.
    #[tokio::test(start_paused = true)]
    async fn report_usage_without_interval_pauses() {
        for interval in [Duration::ZERO, Duration::from_nanos(1)] {
            let (usage, store) = counted(0);
            let background = Background::new();
            background.report_usage(&usage, Arc::clone(&store), interval);
            sleep(MIN_INTERVAL / 2).await;
            for _ in 0..10 {
                count(&usage, 1);
                sleep(MIN_INTERVAL / 5).await;
            }
            assert_eq!(store.taken(), [[3], [5]], "{interval:?}");
            background.shutdown().await;
        }
    }

    /// A request that is counted while the report is on its way is in the last one.
    #[tokio::test(start_paused = true)]
    async fn report_usage_on_its_way_is_completed() {
        let (usage, store) = counted(2);
        store.will(TAKES_A_SECOND);
        let background = Background::new();
        background.report_usage(&usage, Arc::clone(&store), INTERVAL);
        sleep(INTERVAL + Duration::from_millis(500)).await;
        count(&usage, 1);
        background.shutdown().await;
        assert_eq!((store.taken(), usage.dropped()), (vec![vec![2], vec![1]], 0));
    }

    #[tokio::test(start_paused = true)]
    async fn report_usage_to_store_that_hangs_ends() {
        let (usage, store) = counted(2);
        store.will(HANGS);
        let background = Background::new();
        background.report_usage(&usage, store, INTERVAL);
        let began = Instant::now();
        background.shutdown().await;
        assert_eq!((began.elapsed(), usage.dropped()), (REPORT_TIMEOUT, 2));
    }
}
