//! How long a revoked key still works in another process: two processes on one database, one revokes, the other
//! serves through a cache.
//!
//! ```text
//! cargo run --release --example propagation --features axum,cache,postgres,sqlite -- postgres://postgres@127.0.0.1/test
//! cargo run --release --example propagation --features axum,cache,postgres,sqlite -- sqlite:/tmp/propagation.db
//! ```
//!
//! A second argument is the number of keys to revoke (1,000). `deaf` as a third keeps the other process from
//! listening, so that revocations apply only after the time to live.

use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tower_api_key::manage::IssuedKey;
use tower_api_key::store::{CachedStore, DynKeyBackend, PostgresStore, SqliteStore};
use tower_api_key::{Access, ApiKeyLayer, BoxError, KeyManager, NewKey, OrganizationId};

const SERVE: &str = "--serve";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        [SERVE, url, hearing] => serve(url, *hearing == "hearing").await,
        [url] => measure(url, 1_000, "hearing").await,
        [url, keys] => measure(url, keys.parse().unwrap_or(1_000), "hearing").await,
        [url, keys, "deaf"] => measure(url, keys.parse().unwrap_or(1_000), "deaf").await,
        _ => Err("usage: propagation URL [KEYS [deaf]]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("propagation: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The other process.
async fn serve(url: &str, hearing: bool) -> Result<(), BoxError> {
    let layer = if url.starts_with("sqlite:") {
        let keys = CachedStore::new(SqliteStore::connect(url).await?);
        if hearing {
            tokio::spawn(keys.watch());
        }
        ApiKeyLayer::new(keys)
    } else {
        let keys = CachedStore::new(PostgresStore::connect(url).await?);
        if hearing {
            tokio::spawn(keys.watch());
        }
        ApiKeyLayer::new(keys)
    };
    let app = Router::new().route("/", get(|| async {})).layer(layer);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

/// This process.
async fn measure(url: &str, keys: usize, hearing: &str) -> Result<(), BoxError> {
    let manager = KeyManager::new(open(url).await?);
    let (_other, address) = spawn(url, hearing).await?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let organization: OrganizationId = format!("propagation-{}", std::process::id()).parse()?;
    // The other process is listening by then.
    tokio::time::sleep(Duration::from_secs(1)).await;

    let mut times = Vec::with_capacity(keys);
    for _ in 0..keys {
        let key = manager.issue(&organization, NewKey::new("short-lived", Access::Full)?).await?;
        if ask(&client, &address, &key).await? != StatusCode::OK {
            return Err("a new key was rejected".into());
        }
        manager.revoke(&organization, key.record.id()).await?;
        let revoked = Instant::now();
        while ask(&client, &address, &key).await? == StatusCode::OK {
            if revoked.elapsed() > Duration::from_secs(60) {
                return Err("a revoked key still works after a minute".into());
            }
        }
        times.push(revoked.elapsed());
    }
    times.sort_unstable();
    let (p50, p99, max) = (times[keys / 2], times[keys * 99 / 100], times[keys - 1]);
    println!("{keys} revokes, the other process {hearing}: p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?}");
    Ok(())
}

async fn open(url: &str) -> Result<DynKeyBackend, BoxError> {
    if url.starts_with("sqlite:") {
        let store = SqliteStore::connect(url).await?;
        store.migrate().await?;
        return Ok(DynKeyBackend::new(store));
    }
    let store = PostgresStore::connect(url).await?;
    store.migrate().await?;
    Ok(DynKeyBackend::new(store))
}

async fn ask(
    client: &Client<HttpConnector, Empty<Bytes>>,
    address: &str,
    key: &IssuedKey,
) -> Result<StatusCode, BoxError> {
    let request = Request::get(format!("http://{address}/"));
    let request = request.header("X-Avala-Api-Key", key.secret.expose_secret()).body(Empty::new())?;
    Ok(client.request(request).await?.status())
}

/// Ends with this process.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn spawn(url: &str, hearing: &str) -> Result<(Other, String), BoxError> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.args([SERVE, url, hearing]).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().ok_or("no output")?;
    let other = Other(child);
    let mut lines = BufReader::new(tokio::process::ChildStdout::from_std(stdout)?).lines();
    let address = lines.next_line().await?.ok_or("the other process did not start")?;
    Ok((other, address))
}
