//! Requests while the usage of 100,000 keys is reported, on a runtime of one thread.

use std::convert::Infallible;
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant, SystemTime};

use http::{Request, Response};
use tokio::net::TcpStream;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::store::{InsertRules, KeyBackend, KeyUsage, NewRecord, SqliteStore};
use tower_api_key::usage::UsageTracker;
use tower_api_key::{Access, ApiKeyLayer, BoxError, MemoryStore};

use crate::bars::Bars;
use crate::database::{Database, text};
use crate::load::{Server, request};

const KEYS: u64 = 100_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// The control: nothing is reported.
    Nothing,
    /// As a tracker does.
    InParts,
    /// As one list.
    AtOnce,
}

pub(crate) fn report(bars: &Bars) -> Result<(), BoxError> {
    println!(
        "\n## Usage report\n\nRequests over one connection, one after the other, to a server of one thread that reports {KEYS} keys to a \
         database meanwhile.\n\n| report | it took | requests | p50 | p99.9 | longest |\n|---|--:|--:|--:|--:|--:|"
    );
    let directory = std::env::temp_dir().join(format!("tower-api-key-bench-{}", std::process::id()));
    for (name, how) in [("none (control)", How::Nothing), ("in parts", How::InParts), ("at once", How::AtOnce)] {
        std::fs::create_dir_all(&directory)?;
        let url = format!("sqlite:{}/keys.db", directory.display());
        let connect = async move || {
            let store = SqliteStore::connect(&url).await?;
            store.migrate().await?;
            Ok::<_, BoxError>(store)
        };
        row(&format!("SQLite, {name}"), how, connect, bars)?;
        std::fs::remove_dir_all(&directory)?;
        #[cfg(feature = "postgres")]
        if let Ok(url) = std::env::var("DATABASE_URL") {
            let connect = async move || {
                let store = tower_api_key::store::PostgresStore::connect(&url).await?;
                store.migrate().await?;
                Ok::<_, BoxError>(store)
            };
            row(&format!("Postgres, {name}"), how, connect, bars)?;
        }
    }
    Ok(())
}

fn row<S: KeyBackend, F: Future<Output = Result<S, BoxError>> + Send>(
    name: &str,
    how: How,
    connect: impl FnOnce() -> F + Send + 'static,
    bars: &Bars,
) -> Result<(), BoxError> {
    // The layer looks keys up in memory, so that a slow lookup is not taken for a stall.
    let memory = MemoryStore::new();
    let digest = KeyDigest::hash(text(0).as_bytes());
    memory.add(KeyRecord::new(KeyId::from_u128(0), digest, "acme".parse()?, Access::Full))?;
    let tracker = UsageTracker::new();
    count(&tracker, KEYS)?;
    let (reported, done) = mpsc::channel();
    let (prepared, is_prepared) = mpsc::channel();
    let (begin, began) = tokio::sync::oneshot::channel::<()>();
    let server = Server::start(ApiKeyLayer::new(memory), move || {
        tokio::spawn(async move {
            let store = connect().await?;
            let keys = (0..KEYS).map(|number| {
                let digest = KeyDigest::hash(text(number).as_bytes());
                NewRecord::new(KeyId::from_u128(number.into()), digest, "acme".parse().expect("a name"), Access::Full)
            });
            store.insert_many(keys.collect(), InsertRules::new()).await?;
            prepared.send(())?;
            began.await?;
            let start = Instant::now();
            match how {
                How::Nothing => tokio::time::sleep(Duration::from_secs(1)).await,
                How::InParts => tracker.flush(&store).await?,
                How::AtOnce => {
                    let usage: Vec<_> = (0..KEYS)
                        .map(|key| KeyUsage::new(KeyId::from_u128(key.into()), 1, SystemTime::now()))
                        .collect();
                    store.record_usage(&usage).await?;
                }
            }
            reported.send(start.elapsed())?;
            Ok::<_, BoxError>(())
        })
    })?;
    is_prepared.recv()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (took, mut times) = runtime.block_on(async {
        let mut stream = TcpStream::connect(server.address).await?;
        stream.set_nodelay(true)?;
        let (key, mut answer, mut times) = (text(0), Vec::new(), Vec::new());
        for _ in 0..1_000 {
            request(&mut stream, &key, &mut answer).await?;
        }
        let _ = begin.send(());
        loop {
            let start = Instant::now();
            request(&mut stream, &key, &mut answer).await?;
            times.push(start.elapsed());
            match done.try_recv() {
                Ok(took) => return Ok::<_, BoxError>((took, times)),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Err("the report failed".into()),
            }
        }
    })?;
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!("| {name} | {took:.0?} | {} | {:.2?} | {:.2?} | {:.2?} |", times.len(), at(0.5), at(0.999), at(1.0));
    if how == How::InParts {
        bars.at_most(format!("usage report, {name}: p99.9 of requests, ms"), at(0.999).as_secs_f64() * 1e3, 2.0, 2);
    }
    Ok(())
}

/// Uses each of these keys once, through a layer.
fn count(tracker: &UsageTracker, keys: u64) -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let handler = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(())) });
    let service = ApiKeyLayer::new(Database::new(keys, 1).into_keys()).track_usage(tracker).layer(handler);
    for number in 0..keys {
        let request = Request::builder().header("x-avala-api-key", text(number)).body(())?;
        assert_eq!(runtime.block_on(service.clone().oneshot(request))?.status(), 200);
    }
    Ok(())
}
