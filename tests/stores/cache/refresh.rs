//! Keys that are in use are looked up again before their time to live ends, so that no request waits for a store that
//! answers. Time is tokio's and paused.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use tower_api_key::background::Background;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::store::{CachedStore, CachedStoreBuilder, FindResult, KeyUpdate, Lookup};
use tower_api_key::{Access, BoxError, KeyStore, MemoryStore};

use super::world::{TIME_TO_LIVE, acme};
use crate::support::manage::Manage;

const MILLISECOND: Duration = Duration::from_millis(1);
const STATEMENT: Duration = Duration::from_millis(3);

const WORKS: u8 = 0;
const FAILS: u8 = 1;
const HANGS: u8 = 2;

/// Keys in memory behind statements that take a while. The name of each record it returns is the time at which it was read.
#[derive(Clone)]
struct Database(Arc<Shared>);

struct Shared {
    keys: MemoryStore,
    max_batch: usize,
    began: Instant,
    behavior: AtomicU8,
    /// When each statement was made, and for how many keys.
    statements: Mutex<Vec<(Duration, usize)>>,
}

impl Database {
    fn new(max_batch: usize) -> Self {
        let (behavior, statements) = (AtomicU8::new(WORKS), Mutex::default());
        Self(Arc::new(Shared { keys: MemoryStore::new(), max_batch, began: Instant::now(), behavior, statements }))
    }

    fn add(&self, number: usize) -> Vec<KeyDigest> {
        let numbers = (0..number).map(|number| {
            let digest = KeyDigest::hash(&number.to_be_bytes());
            let id = KeyId::from_u128(number as u128);
            self.0.keys.add(KeyRecord::new(id, digest, acme(), Access::Full)).unwrap();
            digest
        });
        numbers.collect()
    }

    fn cached(&self) -> CachedStore<Self> {
        self.with(|cache| cache)
    }

    fn with(&self, configure: impl FnOnce(CachedStoreBuilder<Self>) -> CachedStoreBuilder<Self>) -> CachedStore<Self> {
        let (wall, began) = (SystemTime::now(), self.0.began);
        let cache =
            CachedStore::builder(self.clone()).clocks(|| Instant::now().into_std(), move || wall + began.elapsed());
        configure(cache).build()
    }

    fn will(&self, behavior: u8) {
        self.0.behavior.store(behavior, Ordering::SeqCst);
    }

    fn statements(&self) -> Vec<(Duration, usize)> {
        self.0.statements.lock().unwrap().clone()
    }

    async fn statement(&self, digests: &[KeyDigest]) -> Result<Vec<Option<Arc<KeyRecord>>>, BoxError> {
        let now = self.0.began.elapsed();
        self.0.statements.lock().unwrap().push((now, digests.len()));
        let found = |digest| match self.0.keys.try_find(digest) {
            Lookup::Found(record) => Some(Arc::new((*record).clone().with_name(now.as_micros().to_string()))),
            _ => None,
        };
        let found = digests.iter().map(found).collect();
        sleep(STATEMENT).await;
        match self.0.behavior.load(Ordering::SeqCst) {
            FAILS => Err("down".into()),
            HANGS => pending().await,
            _ => Ok(found),
        }
    }
}

impl KeyStore for Database {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        Ok(self.statement(&[*digest]).await?.remove(0))
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<FindResult<BoxError>>, BoxError> {
        assert!((2..=self.0.max_batch).contains(&digests.len()), "{}", digests.len());
        Ok(self.statement(digests).await?.into_iter().map(Ok).collect())
    }

    fn max_batch(&self) -> usize {
        self.0.max_batch
    }
}

/// What became of the requests with known keys.
#[derive(Debug, Default)]
struct Figures {
    served: usize,
    waited: usize,
    failed: usize,
    oldest: Duration,
}

/// Uses each of these keys at this interval, one after the other.
async fn use_keys(cache: &CachedStore<Database>, digests: &[KeyDigest], interval: Duration, time: Duration) -> Figures {
    let (began, mut figures) = (cache.get_ref().0.began, Figures::default());
    let end = Instant::now() + time;
    while Instant::now() < end {
        for digest in digests {
            let found = match cache.try_find(digest) {
                Lookup::Found(record) => record,
                Lookup::NotFound => unreachable!("it is a key"),
                Lookup::Pending => {
                    figures.waited += 1;
                    match tokio::time::timeout(Duration::from_secs(1), cache.find(digest)).await {
                        Ok(Ok(record)) => record.unwrap(),
                        _ => {
                            figures.failed += 1;
                            continue;
                        }
                    }
                }
            };
            figures.served += 1;
            let read_at = Duration::from_micros(found.name().parse().unwrap());
            figures.oldest = figures.oldest.max(began.elapsed() - read_at);
        }
        sleep(interval).await;
    }
    figures
}

/// Cases: 266.
///
/// And without the refresh, requests wait.
#[tokio::test(start_paused = true)]
async fn keys_in_use_are_always_in_memory() {
    for (max_batch, refreshes) in [(64, true), (1, true), (64, false)] {
        let database = Database::new(max_batch);
        let (cache, digests) = (database.cached(), database.add(200));
        let background = Background::new();
        if refreshes {
            background.run(cache.refresh());
        }
        tokio::task::yield_now().await;
        use_keys(&cache, &digests, MILLISECOND, MILLISECOND).await;
        let before = database.statements().len();
        let figures = use_keys(&cache, &digests, Duration::from_millis(10), Duration::from_secs(60)).await;
        let statements = database.statements().len() - before;
        assert_eq!(figures.waited == 0, refreshes, "{figures:?}");
        assert!(figures.oldest < TIME_TO_LIVE + STATEMENT, "{figures:?}");
        // About 20 times in a minute each, of which many share a statement.
        let each = statements as f64 / digests.len() as f64;
        let range = if refreshes && max_batch > 1 { 3.0..6.0 } else { 11.0..25.0 };
        assert!(range.contains(&each), "{each}, {max_batch}");
        background.shutdown().await;
    }
}

/// Cases: 266.
///
/// 10,000 keys at 5 seconds in at most 100 statements a second.
#[tokio::test(start_paused = true)]
async fn ten_thousand_keys_take_few_statements() {
    let database = Database::new(256);
    let (cache, digests) = (database.cached(), database.add(10_000));
    let background = Background::new();
    background.run(cache.refresh());
    tokio::task::yield_now().await;
    futures::future::join_all(digests.iter().map(|digest| cache.find(digest))).await;
    let figures = use_keys(&cache, &digests, Duration::from_secs(1), Duration::from_secs(20)).await;
    assert_eq!(figures.waited, 0);
    let mut seconds = BTreeMap::<u64, usize>::new();
    for (at, _) in database.statements().iter().filter(|(at, _)| at.as_secs() >= 4) {
        *seconds.entry(at.as_secs()).or_default() += 1;
    }
    assert!(seconds.len() > 10 && seconds.values().all(|&statements| statements <= 100), "{seconds:?}");
    background.shutdown().await;
}

/// Cases: 269.
#[tokio::test(start_paused = true)]
async fn keys_first_used_together_are_refreshed_apart() {
    let database = Database::new(1_000);
    let (cache, digests) = (database.cached(), database.add(1_000));
    let background = Background::new();
    background.run(cache.refresh());
    tokio::task::yield_now().await;
    futures::future::join_all(digests.iter().map(|digest| cache.find(digest))).await;
    use_keys(&cache, &digests, Duration::from_millis(100), Duration::from_secs(30)).await;
    let mut parts = BTreeMap::<u128, usize>::new();
    for (at, keys) in database.statements().iter().filter(|(at, _)| (15..30).contains(&at.as_secs())) {
        *parts.entry(at.as_millis() / 500).or_default() += keys;
    }
    // Each key about every 3.1 seconds: 160 in half a second.
    assert!(parts.len() == 30 && parts.values().all(|keys| (40..=400).contains(keys)), "{parts:?}");
    background.shutdown().await;
}

/// Cases: 267.
///
/// The store fails, hangs and works again. An entry serves to the end of its time to live, and no longer.
#[tokio::test(start_paused = true)]
async fn outage_serves_no_entry_past_its_time_to_live() {
    for behavior in [FAILS, HANGS] {
        let database = Database::new(64);
        let (cache, digests) = (database.cached(), database.add(20));
        let background = Background::new();
        background.run(cache.refresh());
        tokio::task::yield_now().await;
        let (interval, second) = (Duration::from_millis(10), Duration::from_secs(1));
        use_keys(&cache, &digests, interval, 10 * second).await;

        database.will(behavior);
        let figures = use_keys(&cache, &digests, interval, second).await;
        assert_eq!((figures.waited, figures.failed), (0, 0), "{behavior}: {figures:?}");
        let figures = use_keys(&cache, &digests, interval, 10 * second).await;
        assert!(figures.served > 0 && figures.failed > 0, "{behavior}: {figures:?}");
        assert!(figures.oldest < TIME_TO_LIVE && figures.oldest > TIME_TO_LIVE / 2, "{behavior}: {figures:?}");

        database.will(WORKS);
        use_keys(&cache, &digests, interval, second).await;
        let figures = use_keys(&cache, &digests, interval, 10 * second).await;
        assert_eq!((figures.waited, figures.failed), (0, 0), "{behavior}: {figures:?}");
        background.shutdown().await;
    }
}

/// Cases: 267.
///
/// The connection of one refresh is dead.
#[tokio::test(start_paused = true)]
async fn refresh_that_hangs_is_repeated_in_time() {
    let database = Database::new(64);
    let (cache, digests) = (database.cached(), database.add(500));
    let background = Background::new();
    background.run(cache.refresh());
    tokio::task::yield_now().await;
    use_keys(&cache, &digests, MILLISECOND, MILLISECOND).await;
    for _ in 0..10 {
        let before = database.statements().len();
        database.will(HANGS);
        let mut figures = Figures::default();
        while database.statements().len() == before {
            figures.waited += use_keys(&cache, &digests, MILLISECOND, MILLISECOND).await.waited;
        }
        sleep(STATEMENT).await;
        database.will(WORKS);
        figures.waited += use_keys(&cache, &digests, Duration::from_millis(10), Duration::from_secs(6)).await.waited;
        assert_eq!(figures.waited, 0);
    }
    background.shutdown().await;
}

/// Cases: 268.
#[tokio::test(start_paused = true)]
async fn unused_key_is_refreshed_for_a_while() {
    for (max_batch, at_least, at_most) in [(64, 55, 70), (1, 0, 4)] {
        let database = Database::new(max_batch);
        let (cache, digests) = (database.cached(), database.add(3));
        let background = Background::new();
        background.run(cache.refresh());
        tokio::task::yield_now().await;
        use_keys(&cache, &digests, MILLISECOND, MILLISECOND).await;
        sleep(Duration::from_secs(600)).await;
        let last = database.statements().last().unwrap().0.as_secs();
        assert!((at_least..=at_most).contains(&last), "a batch of {max_batch}: {last} s");
        background.shutdown().await;
    }
}

/// Cases: 268.
///
/// With and without a cache that is large enough: what was evicted is not refreshed.
#[tokio::test(start_paused = true)]
async fn evicted_key_is_not_refreshed() {
    let database = Database::new(64);
    let (cache, digests) = (database.with(|cache| cache.capacity(100)), database.add(1_000));
    let background = Background::new();
    background.run(cache.refresh());
    tokio::task::yield_now().await;
    futures::future::join_all(digests.iter().map(|digest| cache.find(digest))).await;
    let before: usize = database.statements().iter().map(|(_, keys)| keys).sum();
    assert_eq!(before, 1_000);
    sleep(TIME_TO_LIVE).await;
    let refreshed: usize = database.statements().iter().map(|(_, keys)| keys).sum::<usize>() - before;
    assert!((50..=220).contains(&refreshed), "{refreshed}");
    background.shutdown().await;
}

/// Cases: 267.
///
/// Through the cache and by the feed; in each stage of the refresh.
#[tokio::test(start_paused = true)]
async fn change_during_a_refresh_is_not_undone() {
    for stage in 0..6 {
        let database = Database::new(64);
        let (cache, digests) = (database.cached(), database.add(20));
        let background = Background::new();
        background.run(cache.refresh());
        tokio::task::yield_now().await;
        use_keys(&cache, &digests, MILLISECOND, MILLISECOND).await;
        // A statement is under way that has read its keys, or has just ended.
        let before = database.statements().len();
        while database.statements().len() == before {
            sleep(MILLISECOND).await;
        }
        sleep(stage * MILLISECOND).await;
        for number in 0..20 {
            let id = KeyId::from_u128(number);
            database.0.keys.manage().update(&acme(), id, KeyUpdate::new().with_suspended(true)).await.unwrap();
            cache.invalidate_key(id);
        }
        for _ in 0..10 {
            for digest in &digests {
                assert!(cache.find(digest).await.unwrap().unwrap().is_suspended(), "{stage}");
            }
            sleep(MILLISECOND).await;
        }
        background.shutdown().await;
    }
}

/// Cases: 266.
#[tokio::test(start_paused = true)]
async fn refresh_can_end_and_begin_again() {
    let database = Database::new(64);
    let (cache, digests) = (database.cached(), database.add(20));
    drop(cache.refresh());
    let inner = Arc::strong_count(&database.0);
    for _ in 0..2 {
        // Also of what was looked up before it runs.
        use_keys(&cache, &digests, MILLISECOND, MILLISECOND).await;
        let refresh = tokio::spawn(cache.refresh());
        tokio::task::yield_now().await;
        let figures = use_keys(&cache, &digests, 10 * MILLISECOND, Duration::from_secs(20)).await;
        assert_eq!(figures.waited, 0);
        refresh.abort();
        assert!(refresh.await.unwrap_err().is_cancelled());
        let figures = use_keys(&cache, &digests, 10 * MILLISECOND, Duration::from_secs(20)).await;
        assert!(figures.waited > 0);
    }
    assert_eq!(Arc::strong_count(&database.0), inner);
    drop(cache);
    assert_eq!(Arc::strong_count(&database.0), 1);
}
