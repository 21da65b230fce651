//! A table or a Redis of another program, with a cache in each process that follows the changes.

mod postgres;
mod redis;

use std::time::{Duration, Instant};

use tower_api_key::store::{CachedStore, ChangeFeed};
use tower_api_key::{ApiKeyLayer, BoxError, KeyStore};

use crate::support::calls::call;
use crate::support::other_process::OtherProcess;

/// So long that nothing but a notification can explain what applies sooner.
const TIME_TO_LIVE: Duration = Duration::from_secs(300);
/// How often the feeds of the tests send heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(300);
/// How soon a change must be seen while the feed works.
const SOON: Duration = Duration::from_secs(2);
/// How soon it must be seen after the feed was lost: the silence limit, and a new beginning.
const AFTER_LOSS: Duration = Duration::from_secs(8);

/// A cache that follows the changes, behind a layer.
fn followed<S: KeyStore + ChangeFeed>(store: S) -> ApiKeyLayer {
    let keys = CachedStore::builder(store).time_to_live(TIME_TO_LIVE).build();
    tokio::spawn(keys.watch());
    ApiKeyLayer::new(keys)
}

/// What the other process answers to its commands: `ask KEY` is the status of a request with this key.
async fn answer(layer: &mut Option<ApiKeyLayer>, line: &str, open: impl AsyncFnOnce(&str) -> ApiKeyLayer) -> String {
    match line.split_once(' ').unwrap() {
        ("open", url) => {
            *layer = Some(open(url).await);
            "open".to_owned()
        }
        ("ask", key) => call(layer.as_ref().expect("it is open"), key).await.status.to_string(),
        other => panic!("no such command: {other:?}"),
    }
}

/// Asks until the answer is this status, which it must be within the limit. Before, it is the other one.
async fn seen_within(limit: Duration, process: &mut OtherProcess, key: &str, [before, after]: [&str; 2]) -> Duration {
    let began = Instant::now();
    loop {
        let status = process.ask(&format!("ask {key}")).await;
        if status == after {
            return began.elapsed();
        }
        assert_eq!(status, before, "{key}");
        assert!(began.elapsed() < limit, "{key} is still {before} after {:.1?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What another program does to the keys.
trait Program {
    async fn add(&mut self, key: &str) -> Result<(), BoxError>;
    async fn revoke(&mut self, key: &str) -> Result<(), BoxError>;
    /// Ends the connections through which processes listen.
    async fn end_listeners(&mut self) -> Result<(), BoxError>;
}

const REVOKED: [&str; 2] = ["200", "401"];

/// Two processes see each change; one is killed, and connections are ended while a key is revoked.
async fn two_processes(program: &mut impl Program, start: impl AsyncFn() -> OtherProcess) -> Result<(), BoxError> {
    let mut processes = [start().await, start().await];
    for process in &mut processes {
        // Looked up before it is there.
        assert_eq!(process.ask("ask key-0").await, "401");
    }
    program.add("key-0").await?;
    for process in &mut processes {
        seen_within(SOON, process, "key-0", ["401", "200"]).await;
    }
    let mut slowest = Duration::ZERO;
    for number in 1..=20 {
        let key = format!("key-{number}");
        program.add(&key).await?;
        for process in &mut processes {
            assert_eq!(process.ask(&format!("ask {key}")).await, "200");
        }
        program.revoke(&key).await?;
        for process in &mut processes {
            slowest = slowest.max(seen_within(SOON, process, &key, REVOKED).await);
        }
    }
    println!("a revoked key was rejected by both processes after {slowest:.1?} at most");

    // The connections of both end, and a key is revoked before they are back.
    for round in 0..3 {
        let key = format!("cut-{round}");
        program.add(&key).await?;
        for process in &mut processes {
            assert_eq!(process.ask(&format!("ask {key}")).await, "200");
        }
        program.end_listeners().await?;
        program.revoke(&key).await?;
        for process in &mut processes {
            seen_within(AFTER_LOSS, process, &key, REVOKED).await;
        }
    }

    // One process is killed. The other goes on, and a new one begins with what is true then.
    program.add("killed").await?;
    for process in &mut processes {
        assert_eq!(process.ask("ask killed").await, "200");
    }
    let [first, mut second] = processes;
    first.kill().await;
    program.revoke("killed").await?;
    seen_within(SOON, &mut second, "killed", REVOKED).await;
    let mut third = start().await;
    assert_eq!(third.ask("ask killed").await, "401");
    Ok(())
}
