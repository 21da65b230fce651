//! Requests while the usage of 100,000 keys is reported, on a runtime of one thread.

use std::convert::Infallible;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use http::{Request, Response};
use tokio::net::TcpStream;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::store::{KeyBackend, KeyUsage, SqliteStore};
use tower_api_key::usage::UsageTracker;
use tower_api_key::{Access, ApiKeyLayer, BoxError, MemoryStore};

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

pub(crate) fn report() -> Result<(), BoxError> {
    println!(
        "\n## Usage report\n\nRequests over one connection, one after the other, to a server of one thread that reports {KEYS} keys to SQLite \
         meanwhile.\n\n| report | it took | requests | p50 | p99.9 | longest |\n|---|--:|--:|--:|--:|--:|"
    );
    for (name, how) in [("none (control)", How::Nothing), ("in parts", How::InParts), ("at once", How::AtOnce)] {
        row(name, how)?;
    }
    Ok(())
}

fn row(name: &str, how: How) -> Result<(), BoxError> {
    let directory = std::env::temp_dir().join(format!("tower-api-key-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let url = format!("sqlite:{}/keys.db", directory.display());
    // The layer looks keys up in memory, so that a slow lookup is not taken for a stall.
    let memory = MemoryStore::new();
    let digest = KeyDigest::hash(text(0).as_bytes());
    memory.add(KeyRecord::new(KeyId::from_u128(0), digest, "acme".parse()?, Access::Full))?;
    let tracker = UsageTracker::new();
    count(&tracker, KEYS)?;
    let (reported, done) = mpsc::channel();
    let (begin, began) = tokio::sync::oneshot::channel::<()>();
    let server = Server::start(ApiKeyLayer::new(memory), move || {
        tokio::spawn(async move {
            let store = SqliteStore::connect(&url).await?;
            store.migrate().await?;
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
            if let Ok(took) = done.try_recv() {
                return Ok::<_, BoxError>((took, times));
            }
        }
    })?;
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!("| {name} | {took:.0?} | {} | {:.2?} | {:.2?} | {:.2?} |", times.len(), at(0.5), at(0.999), at(1.0));
    std::fs::remove_dir_all(directory)?;
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
