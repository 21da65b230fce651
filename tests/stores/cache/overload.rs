//! More first-seen keys than the store can look up: as many are served as it can, known keys notice nothing, and the log
//! has a few lines. Time is tokio's and paused.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::store::{CachedStore, FindResult};
use tower_api_key::{ApiKeyLayer, BoxError, KeyStore, MemoryStore};

use super::world::{acme, ask, issue};
use crate::support::log_lines::{record_log, take_log};

const LOOKUP: Duration = Duration::from_millis(20);
/// The default of the cache.
const TURNS: usize = 5;
/// How many lookups of first-seen keys the store answers in a second.
const CAPACITY: f64 = TURNS as f64 / 0.02;
const LENGTH: Duration = Duration::from_secs(10);
const GOOD_PER_SECOND: f64 = 35.0;

/// Keys in memory behind lookups that take a while, one by one or in batches.
#[derive(Clone)]
struct Database {
    keys: MemoryStore,
    max_batch: usize,
    connections: Arc<Semaphore>,
    lookup: Duration,
}

impl Default for Database {
    fn default() -> Self {
        Self::new(1, 1_000, LOOKUP)
    }
}

impl KeyStore for Database {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        let _connection = self.connections.acquire().await?;
        sleep(self.lookup).await;
        Ok(self.keys.find(digest).await?)
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<FindResult<BoxError>>, BoxError> {
        let _connection = self.connections.acquire().await?;
        sleep(self.lookup).await;
        Ok(self.keys.find_many(digests).await?.into_iter().map(|found| Ok(found?)).collect())
    }

    fn max_batch(&self) -> usize {
        self.max_batch
    }
}

impl Database {
    fn new(max_batch: usize, connections: usize, lookup: Duration) -> Self {
        Self { keys: MemoryStore::new(), max_batch, connections: Arc::new(Semaphore::new(connections)), lookup }
    }

    fn cached(&self) -> CachedStore<Self> {
        let wall = SystemTime::now();
        CachedStore::builder(self.clone()).clocks(|| Instant::now().into_std(), move || wall).build()
    }
}

/// The negative control: lookups take turns in the order in which they came.
struct OldestFirst {
    store: Database,
    turns: Semaphore,
    queue: Semaphore,
}

impl KeyStore for OldestFirst {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
        let _place = self.queue.try_acquire()?;
        let _turn = self.turns.acquire().await?;
        self.store.find(digest).await
    }
}

/// What a request was about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Invented,
    /// A valid key that the cache has not seen.
    Good,
    /// A valid key that the cache has seen, and that expires now and then.
    Known,
}

struct Figures {
    good: usize,
    good_served: usize,
    invented: usize,
    known: usize,
    known_served: usize,
    slowest_known: Duration,
    unavailable: usize,
}

impl Figures {
    /// The fair share of the valid keys.
    fn share(&self) -> f64 {
        let arrivals = (self.good + self.invented) as f64 / LENGTH.as_secs_f64();
        (CAPACITY / arrivals).min(1.0)
    }

    fn served(&self) -> f64 {
        self.good_served as f64 / self.good as f64
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { good, good_served, invented, known, known_served, slowest_known, unavailable } = self;
        write!(
            f,
            "overload: {invented} invented keys, {good_served} of {good} good first-seen keys served ({:.2} of a share of \
             {:.2}), {known_served} of {known} known keys within {slowest_known:?}, {unavailable} replies 503",
            self.served() / self.share(),
            self.share()
        )
    }
}

/// Random numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Times at which requests arrive, independent of each other.
    fn arrivals(&mut self, per_second: f64, kind: Kind) -> Vec<(Duration, Kind)> {
        let mut arrivals = Vec::new();
        let mut at = 0.0;
        while at < LENGTH.as_secs_f64() {
            arrivals.push((Duration::from_secs_f64(at), kind));
            at -= (1.0 - self.next()).ln() / per_second;
        }
        arrivals
    }
}

/// Requests with keys of each kind, through this layer.
async fn flood(layer: &ApiKeyLayer, keys: &MemoryStore, invented_per_second: f64) -> Figures {
    let mut known = Vec::new();
    for _ in 0..20 {
        let key = issue(keys, &acme()).await.secret.expose_secret().to_owned();
        assert_eq!(ask(layer.clone(), &key).await.status, StatusCode::OK);
        known.push(key);
    }
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut arrivals = numbers.arrivals(invented_per_second, Kind::Invented);
    arrivals.extend(numbers.arrivals(GOOD_PER_SECOND, Kind::Good));
    arrivals.extend(numbers.arrivals(200.0, Kind::Known));
    arrivals.sort_by_key(|&(at, _)| at);

    let (began, mut requests) = (Instant::now(), JoinSet::new());
    for (number, (at, kind)) in arrivals.into_iter().enumerate() {
        let key = match kind {
            Kind::Invented => format!("invented {number}"),
            Kind::Good => issue(keys, &acme()).await.secret.expose_secret().to_owned(),
            Kind::Known => known[number % known.len()].clone(),
        };
        sleep_until(began + at).await;
        let layer = layer.clone();
        requests.spawn(async move {
            let began = Instant::now();
            (kind, ask(layer, &key).await.status, began.elapsed())
        });
    }
    let replies = requests.join_all().await;
    let count = |kind, status| replies.iter().filter(|reply| reply.0 == kind && reply.1 == status).count();
    let all = |kind| replies.iter().filter(|reply| reply.0 == kind).count();
    let slowest_known = replies.iter().filter(|reply| reply.0 == Kind::Known).map(|reply| reply.2).max();
    Figures {
        good: all(Kind::Good),
        good_served: count(Kind::Good, StatusCode::OK),
        invented: all(Kind::Invented),
        known: all(Kind::Known),
        known_served: count(Kind::Known, StatusCode::OK),
        slowest_known: slowest_known.unwrap(),
        unavailable: replies.iter().filter(|reply| reply.1 == StatusCode::SERVICE_UNAVAILABLE).count(),
    }
}

/// Cases: 141.
#[tokio::test(start_paused = true)]
async fn overload_serves_good_keys_in_proportion() {
    for (millis, invented_per_second) in [(1_000, 100.0), (1_000, 300.0), (1_000, 1_000.0), (100, 300.0)] {
        let (database, timeout) = (Database::default(), Duration::from_millis(millis));
        let layer = ApiKeyLayer::new(database.cached()).lookup_timeout(timeout);
        let figures = flood(&layer, &database.keys, invented_per_second).await;
        println!("{figures}, lookup timeout {timeout:?}");
        assert!(figures.served() >= 0.8 * figures.share(), "{figures}");
        assert_eq!(figures.known_served, figures.known, "{figures}");
        assert!(figures.slowest_known <= LOOKUP + Duration::from_millis(1), "{figures}");
    }
}

/// Cases: 141.
#[tokio::test(start_paused = true)]
async fn overload_oldest_first_serves_few_good_keys() {
    let database = Database::default();
    let oldest_first =
        OldestFirst { store: database.clone(), turns: Semaphore::new(TURNS), queue: Semaphore::new(TURNS + 1024) };
    let figures = flood(&ApiKeyLayer::new(oldest_first), &database.keys, 300.0).await;
    println!("oldest first, {figures}");
    assert!(figures.served() < 0.3 * figures.share(), "{figures}");
}

/// Cases: 141.
#[tokio::test(start_paused = true)]
async fn overload_is_logged_at_entry_and_exit() {
    let database = Database::default();
    let layer = ApiKeyLayer::new(database.cached());
    record_log();
    let figures = flood(&layer, &database.keys, 3_000.0).await;
    let unavailable = "WARN no answer from the key store, answering 503";
    let mut lines = take_log();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "WARN first-seen keys arrive faster than the store answers: the newest are looked up first and others fail; \
             known keys are not affected",
            &format!("{unavailable}: deadline has elapsed"),
        ]
    );

    sleep(Duration::from_secs(5)).await;
    ask(layer.clone(), "still in the overload").await;
    assert_eq!(take_log(), [""; 0]);
    sleep(Duration::from_secs(6)).await;
    ask(layer.clone(), "after it").await;
    ask(layer, "long after it").await;
    let ended = take_log();
    let starts = ["INFO first-seen keys are looked up as they arrive again: ", "INFO the key store answers again: "];
    assert_eq!(ended.len(), 2, "{ended:?}");
    let counts = ended.iter().zip(starts).map(|(line, start)| {
        let count = line.strip_prefix(start).unwrap().split(' ').next().unwrap();
        count.parse::<usize>().unwrap()
    });
    let counts: Vec<_> = counts.collect();
    assert_eq!(counts[1], figures.unavailable, "{ended:?}");
    // A few requests give up when their lookup has its turn already.
    assert!(counts[0] <= counts[1] && counts[0] * 100 >= counts[1] * 99, "{ended:?}");
}

/// Cases: 265.
///
/// Invented keys at ten times what the store can look up one by one. The capacity in batches of 100 is 25,000 a second.
#[tokio::test(start_paused = true)]
async fn flood_with_batches_serves_good_keys() {
    let mut served = Vec::new();
    for max_batch in [100, 1] {
        let database = Database::new(max_batch, 1_000, LOOKUP);
        let figures = flood(&ApiKeyLayer::new(database.cached()), &database.keys, 10.0 * CAPACITY).await;
        println!("batches of {max_batch}, {figures}");
        assert_eq!(figures.known_served, figures.known, "{figures}");
        served.push(figures.served());
    }
    assert!(served[0] >= 0.99, "{served:?}");
    assert!(served[1] < 0.2, "the control, one by one: {served:?}");
}

/// Valid keys that all ask at once, and how many get a 503 within the deadline of a second.
async fn rejected_of_crowd(layer: &ApiKeyLayer, keys: &MemoryStore, crowd: usize) -> usize {
    let mut requests = JoinSet::new();
    for _ in 0..crowd {
        let (key, layer) = (issue(keys, &acme()).await.secret.expose_secret().to_owned(), layer.clone());
        requests.spawn(async move { ask(layer, &key).await.status });
    }
    let statuses = requests.join_all().await;
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)));
    statuses.iter().filter(|&&status| status == StatusCode::SERVICE_UNAVAILABLE).count()
}

/// Cases: 265.
///
/// The store could serve all of them, and the cache rejects none. With a fixed number of turns it rejects some.
#[tokio::test(start_paused = true)]
async fn crowd_of_valid_keys_is_served() {
    let millis = Duration::from_millis;
    for (max_batch, crowd) in [(1, 2_500), (256, 5_000)] {
        let database = Database::new(max_batch, 10, millis(3));
        let layer = ApiKeyLayer::new(database.cached());
        assert_eq!(rejected_of_crowd(&layer, &database.keys, crowd).await, 0, "batches of {max_batch}");
    }
    let store = Database::new(1, 10, millis(3));
    let keys = store.keys.clone();
    let fixed = OldestFirst { store, turns: Semaphore::new(TURNS), queue: Semaphore::new(TURNS + 1024) };
    assert!(rejected_of_crowd(&ApiKeyLayer::new(fixed), &keys, 2_500).await > 1_000);
}
