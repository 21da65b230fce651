//! Random well-formed keys as fast as this machine sends them, on a slow store: requests with known keys are accepted, and
//! memory does not grow. Without the bound on lookups of first-seen keys, known keys are rejected.
//!
//! ```text
//! FLOOD_SECONDS=30 cargo test --release --features cache --test allocations flood -- --nocapture
//! ```
#![cfg(feature = "cache")]

use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::key::{KeyDigest, KeyRecord, KeySecret};
use tower_api_key::store::{CachedStore, CachedStoreBuilder};
use tower_api_key::{Access, ApiKeyLayer, KeyStore, MemoryStore, NewKey};

use crate::support::manage::Manage;
use crate::support::request::request;

/// So short that each known key is looked up many times.
const TIME_TO_LIVE: Duration = Duration::from_millis(200);
const KNOWN_KEYS: usize = 20;
const USERS: usize = 8;
const SENDERS: usize = 4;
/// The most requests that the senders have open at a time, which bounds the run without a limit too.
const OPEN_REQUESTS: usize = 20_000;
/// 6 KiB for each open request, with its task and its response.
const MOST_GROWTH: u64 = 128 << 20;

/// Cases: 85.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_key_flood_does_not_slow_known_keys() {
    let seconds = std::env::var("FLOOD_SECONDS").map_or(3, |seconds| seconds.parse().expect("a number of seconds"));
    let bounded = flood(|cache| cache, Duration::from_secs(seconds)).await;
    println!("flood with the bound: {bounded}");
    assert_eq!(bounded.known_rejected, 0, "{bounded}");
    assert!(bounded.known_answered >= 20 * seconds && bounded.known_lookups >= 5 * seconds, "{bounded}");
    assert!(bounded.flood_rejected >= 100 * seconds && bounded.flood_lookups >= 20 * seconds, "{bounded}");
    assert!(bounded.most_flood_lookups <= 5, "{bounded}");
    assert!(bounded.growth.is_none_or(|growth| growth <= MOST_GROWTH), "{bounded}");

    // A busy machine sends fewer requests.
    let mut runs = 0;
    let rejected = loop {
        let unbounded = flood(|cache| cache.first_seen_limit(usize::MAX), Duration::from_secs(3)).await;
        println!("flood without the bound: {unbounded}");
        runs += 1;
        if unbounded.known_rejected > 0 || runs == 10 {
            break unbounded.known_rejected;
        }
    };
    assert_ne!(rejected, 0, "without the bound, no known key was rejected either");
}

/// How the requests of one run ended.
#[derive(Default)]
struct Figures {
    known_answered: u64,
    known_rejected: u64,
    known_lookups: u64,
    slowest: Duration,
    flood_rejected: u64,
    flood_unavailable: u64,
    flood_lookups: u64,
    most_flood_lookups: u64,
    /// By how many bytes memory grew at most, where that can be measured.
    growth: Option<u64>,
}

type Builder = CachedStoreBuilder<Arc<Database>>;

async fn flood(configure: fn(Builder) -> Builder, length: Duration) -> Figures {
    let database = Arc::new(Database::new());
    let known = Arc::new(database.issue().await);
    let cache = configure(CachedStore::builder(Arc::clone(&database)).time_to_live(TIME_TO_LIVE));
    let layer = ApiKeyLayer::new(cache.build());
    for key in &*known {
        assert_eq!(ask(&layer, key).await, StatusCode::OK);
    }
    let before = resident();
    let end = Instant::now() + length;

    let mut users = JoinSet::new();
    for user in 0..USERS {
        users.spawn(use_known_keys(layer.clone(), Arc::clone(&known), user, end));
    }
    let open = Arc::new(Semaphore::new(OPEN_REQUESTS));
    let rejected = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    for _ in 0..SENDERS {
        tokio::spawn(send_unknown_keys(layer.clone(), Arc::clone(&open), Arc::clone(&rejected), end));
    }
    let mut most = before;
    while Instant::now() < end {
        sleep(Duration::from_millis(20)).await;
        most = most.max(resident());
    }
    let mut figures = Figures::default();
    for (answered, rejected, slowest) in users.join_all().await {
        figures.known_answered += answered;
        figures.known_rejected += rejected;
        figures.slowest = figures.slowest.max(slowest);
    }
    // The last requests end.
    drop(open.acquire_many(u32::try_from(OPEN_REQUESTS).unwrap()).await.unwrap());

    let Counts { known, unknown, most_unknown, .. } = &database.counts;
    Figures {
        known_lookups: known.load(Relaxed),
        flood_rejected: rejected.iter().map(|count| count.load(Relaxed)).sum(),
        flood_unavailable: rejected[1].load(Relaxed),
        flood_lookups: unknown.load(Relaxed),
        most_flood_lookups: most_unknown.load(Relaxed),
        growth: most.zip(before).map(|(most, before)| most.saturating_sub(before)),
        ..figures
    }
}

/// Returns how many requests were accepted, how many were rejected, and how long the slowest took.
async fn use_known_keys(layer: ApiKeyLayer, keys: Arc<Vec<String>>, user: usize, end: Instant) -> (u64, u64, Duration) {
    let (mut answered, mut rejected, mut slowest) = (0, 0, Duration::ZERO);
    for key in keys.iter().cycle().skip(user * KNOWN_KEYS / USERS) {
        let started = Instant::now();
        if started >= end {
            break;
        }
        match ask(&layer, key).await {
            StatusCode::OK => answered += 1,
            _ => rejected += 1,
        }
        slowest = slowest.max(started.elapsed());
        sleep(Duration::from_millis(2)).await;
    }
    (answered, rejected, slowest)
}

/// Sends more requests without waiting for responses.
async fn send_unknown_keys(layer: ApiKeyLayer, open: Arc<Semaphore>, rejected: Arc<[AtomicU64; 2]>, end: Instant) {
    while Instant::now() < end {
        for _ in 0..16 {
            let place = Arc::clone(&open).acquire_owned().await.unwrap();
            let (layer, rejected) = (layer.clone(), Arc::clone(&rejected));
            tokio::spawn(async move {
                let key = KeySecret::generate().unwrap();
                match ask(&layer, key.expose_secret()).await {
                    StatusCode::UNAUTHORIZED => rejected[0].fetch_add(1, Relaxed),
                    StatusCode::SERVICE_UNAVAILABLE => rejected[1].fetch_add(1, Relaxed),
                    other => panic!("an unknown key was answered with {other}"),
                };
                drop(place);
            });
        }
        yield_now().await;
    }
}

async fn ask(layer: &ApiKeyLayer, key: &str) -> StatusCode {
    let handler = service_fn(|_: Request<String>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    layer.layer(handler).oneshot(request(key)).await.unwrap().status()
}

/// Answers after 5 milliseconds, over 10 connections.
struct Database {
    keys: MemoryStore,
    connections: Semaphore,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    known: AtomicU64,
    unknown: AtomicU64,
    unknown_now: AtomicU64,
    most_unknown: AtomicU64,
}

impl Database {
    fn new() -> Self {
        Self { keys: MemoryStore::new(), connections: Semaphore::new(10), counts: Counts::default() }
    }

    async fn issue(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for _ in 0..KNOWN_KEYS {
            let key = NewKey::new("known", Access::Full).unwrap();
            let issued = self.keys.manage().issue(&"acme".parse().unwrap(), key).await.unwrap();
            keys.push(issued.secret.expose_secret().to_owned());
        }
        keys
    }
}

impl KeyStore for Database {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        let _connection = self.connections.acquire().await.unwrap();
        let found = self.keys.find(digest).await?;
        let Counts { known, unknown, unknown_now, most_unknown } = &self.counts;
        if found.is_some() {
            known.fetch_add(1, Relaxed);
            sleep(Duration::from_millis(5)).await;
        } else {
            unknown.fetch_add(1, Relaxed);
            let _now = Now::of(unknown_now, most_unknown);
            sleep(Duration::from_millis(5)).await;
        }
        Ok(found)
    }
}

/// Counts a lookup as under way until it is dropped.
struct Now<'a>(&'a AtomicU64);

impl<'a> Now<'a> {
    fn of(now: &'a AtomicU64, most: &AtomicU64) -> Self {
        most.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
        Self(now)
    }
}

impl Drop for Now<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The bytes of memory that this process has, on Linux.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { known_answered, known_rejected, known_lookups, slowest, .. } = self;
        let Self { flood_rejected, flood_unavailable, flood_lookups, most_flood_lookups, growth, .. } = self;
        write!(
            f,
            "known keys {known_answered} replies 200, {known_rejected} others, slowest {slowest:.1?}, \
             {known_lookups} lookups; unknown keys {flood_rejected} rejected, {flood_unavailable} of them with 503, \
             {flood_lookups} lookups, {most_flood_lookups} at most at once; memory grew "
        )?;
        match growth {
            Some(bytes) => write!(f, "{:.1} MiB", *bytes as f64 / f64::from(1 << 20)),
            None => f.write_str("unknown"),
        }
    }
}
