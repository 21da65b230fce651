//! "Takes effect immediately": keys are revoked one after the other while eight tasks use them without a pause, and
//! no request that starts after a revoke has returned is accepted with that key. The same holds of keys that are suspended,
//! limited to no scope or erased.
//!
//! Each test ends with a line of figures. The long run, a store at a time:
//!
//! ```text
//! REQUESTS=1000000 REVOKES=10000 cargo test --release --all-features --test stores revoke_race::memory -- --nocapture
//! ```
//!
//! In place of `memory`: `sqlite`, or `postgres --ignored`, which uses `DATABASE_URL`. Both run with a cache in front
//! as well.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response, StatusCode};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::store::KeyUpdate;
use tower_api_key::{Access, ApiKeyLayer, KeyStore, MemoryStore, NewKey, OrganizationId, Requirement};

use crate::support::manage::Manage;
#[cfg(feature = "postgres")]
use crate::support::postgres::Schema;

const TASKS: usize = 8;

/// Cases: 78.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_store_rejects_key_after_revoke() {
    let store = MemoryStore::new();
    let figures = race(store.clone(), store.clone(), Size::from_env(40_000, 400)).await;
    figures.print("memory");
    figures.assert_nothing_was_accepted_late();
}

/// Cases: 78.
#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_store_rejects_key_after_revoke() {
    let file = SqliteFile::new("plain").await;
    let figures = race(file.store.clone(), file.store.clone(), Size::from_env(4_000, 200)).await;
    figures.print("sqlite");
    figures.assert_nothing_was_accepted_late();
    file.remove().await;
}

/// Cases: 78.
#[cfg(all(feature = "cache", feature = "sqlite"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cached_sqlite_store_rejects_key_after_revoke() {
    let file = SqliteFile::new("cached").await;
    let cache = tower_api_key::store::CachedStore::new(file.store.clone());
    let figures = race(cache.clone(), cache, Size::from_env(40_000, 400)).await;
    figures.print("sqlite behind a cache");
    figures.assert_nothing_was_accepted_late();
    file.remove().await;
}

/// Cases: 78.
#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs Postgres"]
async fn postgres_store_rejects_key_after_revoke() {
    let schema = Schema::new().await;
    let store = schema.store().await;
    let figures = race(store.clone(), store, Size::from_env(4_000, 200)).await;
    figures.print("postgres");
    figures.assert_nothing_was_accepted_late();
}

/// Cases: 78.
#[cfg(all(feature = "cache", feature = "postgres"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs Postgres"]
async fn cached_postgres_store_rejects_key_after_revoke() {
    let schema = Schema::new().await;
    let cache = tower_api_key::store::CachedStore::new(schema.store().await);
    let figures = race(cache.clone(), cache, Size::from_env(40_000, 400)).await;
    figures.print("postgres behind a cache");
    figures.assert_nothing_was_accepted_late();
}

/// Cases: 185.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_store_rejects_key_after_each_change() {
    for end in End::OTHERS {
        let store = MemoryStore::new();
        let figures = race_to(end, store.clone(), store.clone(), Size::from_env(20_000, 200)).await;
        figures.print(&format!("memory, {end:?}"));
        figures.assert_nothing_was_accepted_late();
    }
}

/// Cases: 185.
#[cfg(all(feature = "cache", feature = "sqlite"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cached_store_rejects_key_after_each_change() {
    for end in End::OTHERS {
        let file = SqliteFile::new(&format!("{end:?}")).await;
        let cache = tower_api_key::store::CachedStore::new(file.store.clone());
        let figures = race_to(end, cache.clone(), cache, Size::from_env(20_000, 200)).await;
        figures.print(&format!("sqlite behind a cache, {end:?}"));
        figures.assert_nothing_was_accepted_late();
        file.remove().await;
    }
}

/// Cases: 185.
#[cfg(all(feature = "cache", feature = "postgres"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs Postgres"]
async fn cached_postgres_rejects_key_after_each_change() {
    for end in End::OTHERS {
        let schema = Schema::new().await;
        let cache = tower_api_key::store::CachedStore::new(schema.store().await);
        let figures = race_to(end, cache.clone(), cache, Size::from_env(20_000, 200)).await;
        figures.print(&format!("postgres behind a cache, {end:?}"));
        figures.assert_nothing_was_accepted_late();
    }
}

#[cfg(feature = "sqlite")]
struct SqliteFile {
    store: tower_api_key::store::SqliteStore,
    directory: std::path::PathBuf,
}

#[cfg(feature = "sqlite")]
impl SqliteFile {
    async fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("revoke-race-{name}-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let url = format!("sqlite:{}/keys.db", directory.display());
        let store = tower_api_key::store::SqliteStore::connect(&url).await.unwrap();
        store.migrate().await.unwrap();
        Self { store, directory }
    }

    async fn remove(self) {
        self.store.pool().close().await;
        std::fs::remove_dir_all(&self.directory).unwrap();
    }
}

/// Cases: 78.
/// The same run over a store that answers a few lookups from what it saw before: what this test is there to find.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn harness_detects_stale_records() {
    let store = MemoryStore::new();
    let figures = race(store.clone(), Stale::new(store.clone()), Size { requests: 40_000, revokes: 400 }).await;
    figures.print("negative control, stale for 10 lookups");
    assert!(figures.accepted_late > 0);
    // Some revokes come just when the record is read anew.
    assert!(figures.late_keys > figures.size.revokes / 2, "{}", figures.late_keys);
}

/// Cases: 185.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn harness_detects_stale_records_of_each_change() {
    for end in End::OTHERS {
        let store = MemoryStore::new();
        let size = Size { requests: 20_000, revokes: 200 };
        let figures = race_to(end, store.clone(), Stale::new(store.clone()), size).await;
        figures.print(&format!("negative control, {end:?}"));
        assert!(figures.late_keys > figures.size.revokes / 2, "{end:?}: {}", figures.late_keys);
    }
}

/// What ends the use of a key.
#[derive(Clone, Copy, Debug)]
enum End {
    Revoke,
    Suspend,
    /// To no scope, where full access is required.
    Narrow,
    /// Of the organization of the key, which has no other.
    Erase,
}

impl End {
    const OTHERS: [Self; 3] = [Self::Suspend, Self::Narrow, Self::Erase];

    async fn apply(self, keys: &impl Manage, key: &Key) {
        let manager = keys.manage();
        let update = match self {
            Self::Revoke => return drop(manager.revoke(&key.organization, key.id).await.unwrap()),
            Self::Erase => return assert_eq!(manager.erase(&key.organization).await.unwrap(), 1),
            Self::Suspend => KeyUpdate::new().with_suspended(true),
            Self::Narrow => KeyUpdate::new().with_scopes([]),
        };
        manager.update(&key.organization, key.id, update).await.unwrap();
    }
}

/// How long a run is. It makes at least this many requests, and revokes exactly this many keys.
#[derive(Clone, Copy)]
struct Size {
    requests: usize,
    revokes: usize,
}

impl Size {
    fn from_env(requests: usize, revokes: usize) -> Self {
        let number = |name, default| match std::env::var(name) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
            Err(_) => default,
        };
        Self { requests: number("REQUESTS", requests), revokes: number("REVOKES", revokes) }
    }

    /// Requests that a key must see before its revoke, and again after it.
    fn half_of_a_key(self) -> u64 {
        (self.requests as u64).div_ceil(self.revokes as u64).div_ceil(2).max(TASKS as u64)
    }
}

/// A key and what became of the requests that used it.
struct Key {
    id: KeyId,
    organization: OrganizationId,
    header: HeaderValue,
    /// By requests that started before its revoke had returned, or might have.
    accepted: AtomicU64,
    rejected: AtomicU64,
    /// By requests that started after its revoke had returned.
    accepted_late: AtomicU64,
    rejected_late: AtomicU64,
}

/// What the tasks share with the one that revokes.
struct Race {
    keys: Vec<Key>,
    /// The key in use: each task uses it, and now and then the one before.
    current: AtomicUsize,
    /// How many revokes have returned. They come in the order of the keys, so a key is revoked for certain when
    /// this was above its place before the request started. It is raised after a revoke has returned and read
    /// before a request starts, so that what counts as late is late.
    revoked: AtomicUsize,
    handled: AtomicU64,
}

/// Issues keys in `keys` and revokes one after the other, while tasks use them through a layer on `lookups`.
async fn race(keys: impl Manage, lookups: impl KeyStore, size: Size) -> Figures {
    race_to(End::Revoke, keys, lookups, size).await
}

async fn race_to(end: End, keys: impl Manage, lookups: impl KeyStore, size: Size) -> Figures {
    let mut issued = Vec::new();
    for number in 0..size.revokes {
        issued.push(Key::issue(&keys, number).await);
    }
    let race = Arc::new(Race {
        keys: issued,
        current: AtomicUsize::new(0),
        revoked: AtomicUsize::new(0),
        handled: AtomicU64::new(0),
    });
    let layer = ApiKeyLayer::new(lookups).lookup_timeout(Duration::from_secs(10)).require(Requirement::full_access());
    let began = Instant::now();
    let users: Vec<_> = (0..TASKS).map(|task| tokio::spawn(use_keys(Arc::clone(&race), layer.clone(), task))).collect();
    tokio::spawn(end_keys(end, Arc::clone(&race), keys, size.half_of_a_key())).await.unwrap();
    for user in users {
        user.await.unwrap();
    }
    Figures::of(&race, size, began.elapsed())
}

async fn end_keys(end: End, race: Arc<Race>, keys: impl Manage, enough: u64) {
    for (place, key) in race.keys.iter().enumerate() {
        race.current.store(place, SeqCst);
        race.wait_until("it is in use", place, || key.accepted.load(SeqCst) >= enough).await;
        end.apply(&keys, key).await;
        race.revoked.store(place + 1, SeqCst);
        race.wait_until("it is rejected", place, || key.rejected_late.load(SeqCst) >= enough).await;
    }
    race.current.store(race.keys.len(), SeqCst);
}

async fn use_keys(race: Arc<Race>, layer: ApiKeyLayer, task: usize) {
    let handler = Arc::clone(&race);
    let service = layer.layer(service_fn(move |_: Request<String>| {
        handler.handled.fetch_add(1, SeqCst);
        async { Ok::<_, Infallible>(Response::new(String::new())) }
    }));
    for round in task.. {
        let current = race.current.load(SeqCst);
        if current == race.keys.len() {
            return;
        }
        let place = if round % 5 == 0 { current.saturating_sub(1) } else { current };
        let key = &race.keys[place];
        let mut request = Request::new(String::new());
        request.headers_mut().insert("x-avala-api-key", key.header.clone());

        let late = race.revoked.load(SeqCst) > place;
        let Ok(response) = service.clone().oneshot(request).await;
        let counter = match (response.status(), late) {
            (StatusCode::OK, false) => &key.accepted,
            (StatusCode::OK, true) => &key.accepted_late,
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, false) => &key.rejected,
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, true) => &key.rejected_late,
            (other, _) => panic!("a request was answered with {other}"),
        };
        counter.fetch_add(1, SeqCst);
        // A store in memory never waits; let the one that revokes have its turn too.
        tokio::task::yield_now().await;
    }
}

impl Key {
    async fn issue(keys: &impl Manage, number: usize) -> Self {
        let organization = OrganizationId::new(format!("organization {number}")).unwrap();
        let new = NewKey::new("raced", Access::Full).unwrap();
        let issued = keys.manage().issue(&organization, new).await.unwrap();
        Self {
            id: issued.record.id(),
            organization,
            header: issued.secret.expose_secret().parse().unwrap(),
            accepted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            accepted_late: AtomicU64::new(0),
            rejected_late: AtomicU64::new(0),
        }
    }

    fn requests(&self) -> u64 {
        [&self.accepted, &self.rejected, &self.accepted_late, &self.rejected_late]
            .map(|count| count.load(SeqCst))
            .iter()
            .sum()
    }
}

impl Race {
    /// While the tasks go on. A key that is not rejected after this many requests never will be.
    async fn wait_until(&self, what: &str, place: usize, reached: impl Fn() -> bool) {
        const TOO_MANY: u64 = 1_000_000;
        while !reached() {
            assert!(self.keys[place].requests() < TOO_MANY, "key {place}: waited in vain until {what}");
            tokio::task::yield_now().await;
        }
    }
}

struct Figures {
    size: Size,
    requests: u64,
    accepted: u64,
    rejected: u64,
    accepted_late: u64,
    rejected_late: u64,
    late_keys: usize,
    took: Duration,
}

impl Figures {
    fn of(race: &Race, size: Size, took: Duration) -> Self {
        let sum = |count: fn(&Key) -> &AtomicU64| race.keys.iter().map(|key| count(key).load(SeqCst)).sum::<u64>();
        let figures = Self {
            size,
            requests: race.keys.iter().map(Key::requests).sum(),
            accepted: sum(|key| &key.accepted),
            rejected: sum(|key| &key.rejected),
            accepted_late: sum(|key| &key.accepted_late),
            rejected_late: sum(|key| &key.rejected_late),
            late_keys: race.keys.iter().filter(|key| key.accepted_late.load(SeqCst) > 0).count(),
            took,
        };
        // The run was as long as asked, with each key in use when it was revoked and afterwards.
        assert!(figures.requests >= size.requests as u64, "{} requests", figures.requests);
        assert_eq!(race.keys.len(), size.revokes);
        assert_eq!(race.revoked.load(SeqCst), size.revokes);
        for key in &race.keys {
            assert!(key.accepted.load(SeqCst) >= TASKS as u64 && key.rejected_late.load(SeqCst) >= TASKS as u64);
        }
        // Whatever was answered with 200 came from the handler, and nothing else reached it.
        assert_eq!(race.handled.load(SeqCst), figures.accepted + figures.accepted_late);
        figures
    }

    fn print(&self, store: &str) {
        println!("revoke race, {store}: {self}");
    }

    fn assert_nothing_was_accepted_late(&self) {
        assert_eq!((self.accepted_late, self.late_keys), (0, 0));
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, accepted, rejected, accepted_late, rejected_late, late_keys, .. } = self;
        write!(
            f,
            "{requests} requests by {TASKS} tasks, {} revokes, {:.1} s; started before the revoke returned: {accepted} \
             accepted, {rejected} rejected; started after it: {rejected_late} rejected, {accepted_late} accepted, of \
             {late_keys} keys",
            self.size.revokes,
            self.took.as_secs_f64()
        )
    }
}

/// Answers from what it has read before, for ten lookups of the same key.
struct Stale<S> {
    store: S,
    seen: Mutex<HashMap<KeyDigest, (Arc<KeyRecord>, u32)>>,
}

impl<S> Stale<S> {
    fn new(store: S) -> Self {
        Self { store, seen: Mutex::default() }
    }
}

impl<S: KeyStore> KeyStore for Stale<S> {
    type Error = S::Error;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, S::Error> {
        const LOOKUPS: u32 = 10;
        if let Some((record, left @ 1..)) = self.seen.lock().unwrap().get_mut(digest) {
            *left -= 1;
            return Ok(Some(Arc::clone(record)));
        }
        let found = self.store.find(digest).await?;
        if let Some(record) = &found {
            self.seen.lock().unwrap().insert(*digest, (Arc::clone(record), LOOKUPS));
        }
        Ok(found)
    }
}
