//! The stores in databases, with a cache in front: a million requests over several times to live, and a crowd at a cold
//! start.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use http::{Request, Response};
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_api_key::background::Background;
use tower_api_key::key::{KeyDigest, KeyId};
use tower_api_key::observe::LookupKind;
use tower_api_key::store::{CachedStore, InsertRules, KeyBackend, NewRecord, SqliteStore};
use tower_api_key::{Access, ApiKeyLayer, BoxError, KeyStore};

use crate::bars::Bars;
use crate::database::text;

const REQUESTS: usize = 1_000_000;
const KEYS: u64 = 1_000;
const TIME: Duration = Duration::from_secs(30);
const CROWD: u64 = 5_000;

pub(crate) fn report(bars: &Bars) -> Result<(), BoxError> {
    println!(
        "\n## SQL\n\n{REQUESTS} requests with {KEYS} keys in {TIME:?}, time to live 5 s, after each key was used once. Then {CROWD} \
         valid keys at once, in front of them a cache that has seen none.\n\n| store | requests that waited | slowest of all | 503s of the crowd |\n|---|--:|--:|--:|"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let directory = std::env::temp_dir().join(format!("tower-api-key-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let url = format!("sqlite:{}/keys.db", directory.display());
    runtime.block_on(async {
        let sqlite = SqliteStore::connect(&url).await?;
        sqlite.migrate().await?;
        rows("SQLite", sqlite, bars).await?;
        postgres(bars).await
    })?;
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

/// If there is one at `DATABASE_URL`. Its keys stay there.
#[cfg(feature = "postgres")]
async fn postgres(bars: &Bars) -> Result<(), BoxError> {
    let Ok(url) = std::env::var("DATABASE_URL") else { return Ok(()) };
    let store = tower_api_key::store::PostgresStore::connect(&url).await?;
    store.migrate().await?;
    rows("Postgres", store, bars).await
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: &Bars) -> Result<(), BoxError> {
    Ok(())
}

async fn rows(name: &str, store: impl KeyBackend + Clone, bars: &Bars) -> Result<(), BoxError> {
    // In a database that is there for longer, the keys may be from an earlier run.
    let record = |number: u64| {
        let digest = KeyDigest::hash(text(number).as_bytes());
        NewRecord::new(KeyId::from_u128(number.into()), digest, "acme".parse().expect("a name"), Access::Full)
    };
    store.insert_many((0..CROWD).map(record).collect(), InsertRules::new()).await?;
    for (how, refreshes) in [("refreshed", true), ("not refreshed", false)] {
        let cache = CachedStore::new(store.clone());
        let background = if refreshes { Background::of(cache.clone()) } else { Background::new() };
        let (waited, slowest) = requests(cache).await?;
        background.shutdown().await;
        let rejected = crowd(CachedStore::new(store.clone())).await?;
        println!("| {name}, {how} | {waited} | {slowest:.1?} | {rejected} |");
        if refreshes {
            bars.at_most(format!("{name}, refreshed: requests that waited"), waited as f64, 0.0, 0);
            bars.at_most(format!("{name}, a crowd at a cold start: 503s"), rejected as f64, 0.0, 0);
        }
    }
    let rejected = crowd(store).await?;
    println!("| {name}, without a cache | | | {rejected} |");
    Ok(())
}

fn handler()
-> impl Service<Request<()>, Response = Response<()>, Error = Infallible, Future: Send> + Clone + Send + 'static {
    service_fn(|_: Request<()>| async { Ok(Response::new(())) })
}

fn request(key: &str) -> Request<()> {
    Request::builder().header("x-avala-api-key", key).body(()).expect("it is valid")
}

/// Returns how many of the requests waited for the store, and how long the slowest one took.
async fn requests(store: impl KeyStore) -> Result<(usize, Duration), BoxError> {
    let waited = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&waited);
    let layer = ApiKeyLayer::new(store).on_decision(move |event| {
        counted.fetch_add(usize::from(event.lookup() == LookupKind::Awaited), Ordering::Relaxed);
    });
    let (service, keys) = (layer.layer(handler()), (0..KEYS).map(text).collect::<Vec<_>>());
    for key in &keys {
        assert_eq!(service.clone().oneshot(request(key)).await?.status(), 200);
    }
    waited.store(0, Ordering::Relaxed);
    let (began, mut sent, mut slowest) = (SystemTime::now(), 0, Duration::ZERO);
    while sent < REQUESTS {
        let due = (REQUESTS as f64 * began.elapsed()?.as_secs_f64() / TIME.as_secs_f64()) as usize;
        while sent < due.min(REQUESTS) {
            let start = Instant::now();
            let reply = service.clone().oneshot(request(&keys[sent % keys.len()])).await?;
            assert_eq!(reply.status(), 200);
            slowest = slowest.max(start.elapsed());
            sent += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok((waited.load(Ordering::Relaxed), slowest))
}

/// Returns how many requests got a 503 within the default deadline.
async fn crowd(store: impl KeyStore) -> Result<usize, BoxError> {
    let (service, mut crowd) = (ApiKeyLayer::new(store).layer(handler()), JoinSet::new());
    for number in 0..CROWD {
        crowd.spawn(service.clone().oneshot(request(&text(number))));
    }
    let replies = crowd.join_all().await;
    Ok(replies.into_iter().filter(|reply| matches!(reply, Ok(reply) if reply.status() == 503)).count())
}
