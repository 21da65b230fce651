//! A cache that watches the file forgets what another process changes there, and nothing else.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tower_api_key::manage::IssuedKey;
use tower_api_key::store::{CachedStore, ChangeFeed, FeedEvent, Invalidation, KeyBackend, KeyUsage, SqliteStore};
use tower_api_key::{Access, ApiKeyLayer};

use super::processes;
use crate::support::calls::{Reply, acme, call, full, issue};
use crate::support::log_lines::{logged, record_log};
use crate::support::sqlite::Dir;

type Cache = CachedStore<SqliteStore>;

/// The time to live is far longer than any of these tests, so that only a notification makes the cache forget.
fn cached(store: SqliteStore) -> Cache {
    CachedStore::builder(store).time_to_live(Duration::from_secs(600)).build()
}

async fn any(cache: &Cache, key: &IssuedKey) -> Reply {
    call(&ApiKeyLayer::new(cache.clone()), key.secret.expose_secret()).await
}

/// Waits until the key is rejected, which must be soon.
async fn rejected(cache: &Cache, key: &IssuedKey) -> Duration {
    let start = Instant::now();
    while any(cache, key).await != Reply::invalid() {
        assert!(start.elapsed() < Duration::from_secs(5), "the change was not noticed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

/// Cases: 114.
#[tokio::test(flavor = "multi_thread")]
async fn watch_notices_revoke_by_other_process() {
    let dir = Dir::new();
    let here = dir.store().await;
    let cache = cached(here.clone());
    let watching = tokio::spawn(cache.watch());
    let mut there = processes::start();
    assert_eq!(there.ask(&format!("connect {}", dir.url())).await, "ok");
    // A change is noticed once the watch has begun: the first round waits for the beginning too.
    for _ in 0..20 {
        let key = issue(&here, full()).await;
        assert_eq!(any(&cache, &key).await, Reply::accepted(&Access::Full));
        assert_eq!(there.ask(&format!("revoke {}", key.record.id())).await, "ok");
        rejected(&cache, &key).await;
    }
    watching.abort();
}

/// Cases: 114.
/// Without the watch, a revoked key is served to the end of its time to live: the test above could not pass by chance.
#[tokio::test(flavor = "multi_thread")]
async fn unwatched_cache_misses_foreign_revoke() {
    let dir = Dir::new();
    let (cache, elsewhere) = (cached(dir.store().await), dir.store().await);
    let key = issue(&elsewhere, full()).await;
    assert_eq!(any(&cache, &key).await, Reply::accepted(&Access::Full));
    elsewhere.revoke(acme(), key.record.id()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(any(&cache, &key).await, Reply::accepted(&Access::Full));
}

/// Cases: 114.
/// Usage is written all the time. A cache that forgot everything at each of these writes would be useless.
#[tokio::test(flavor = "multi_thread")]
async fn usage_and_other_tables_do_not_empty_the_cache() {
    let dir = Dir::new();
    let (here, elsewhere) = (dir.store().await, dir.store().await);
    let cache = cached(here.clone());
    let watching = tokio::spawn(cache.watch());
    let [noticed, kept] = [issue(&elsewhere, full()).await, issue(&elsewhere, full()).await];
    assert_eq!(any(&cache, &noticed).await, Reply::accepted(&Access::Full));
    elsewhere.revoke(acme(), noticed.record.id()).await.unwrap();
    rejected(&cache, &noticed).await;

    assert_eq!(any(&cache, &kept).await, Reply::accepted(&Access::Full));
    dir.sql().await.run("CREATE TABLE invoices (id INTEGER); INSERT INTO invoices VALUES (1)").await.unwrap();
    let usage = KeyUsage::new(kept.record.id(), 1, std::time::SystemTime::now());
    elsewhere.record_usage(&[usage]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    // From here on it can only answer with what it remembers.
    here.pool().close().await;
    assert_eq!(any(&cache, &kept).await, Reply::accepted(&Access::Full));
    watching.abort();
}

/// Cases: 114.
/// A lost feed is logged once. Until it is back, entries serve to the end of their time to live.
#[tokio::test(flavor = "multi_thread")]
async fn lost_watch_is_logged_once_and_recovers() {
    const LOSS: &str = "WARN not receiving change notifications, relying on the cache TTL: the key tables are \
        missing or outdated, call migrate(): error returned from database: (code: 1) no such table: tower_api_key_changes";
    record_log();
    let dir = Dir::new();
    let elsewhere = dir.store().await;
    let cache = cached(dir.store().await);
    let watching = tokio::spawn(cache.watch());
    let [noticed, missed] = [issue(&elsewhere, full()).await, issue(&elsewhere, full()).await];
    assert_eq!(any(&cache, &noticed).await, Reply::accepted(&Access::Full));
    elsewhere.revoke(acme(), noticed.record.id()).await.unwrap();
    rejected(&cache, &noticed).await;
    assert_eq!(any(&cache, &missed).await, Reply::accepted(&Access::Full));

    let mut sql = dir.sql().await;
    sql.run("ALTER TABLE tower_api_key_changes RENAME TO hidden").await.unwrap();
    let start = Instant::now();
    while logged(LOSS).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(5), "the loss was not logged");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    elsewhere.revoke(acme(), missed.record.id()).await.unwrap();
    // Longer than two attempts to listen again.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(any(&cache, &missed).await, Reply::accepted(&Access::Full));

    sql.run("ALTER TABLE hidden RENAME TO tower_api_key_changes").await.unwrap();
    rejected(&cache, &missed).await;
    assert_eq!(logged(LOSS), [LOSS]);
    watching.abort();
}

/// Cases: 123.
/// A change that is missing from the list may be about any key.
#[tokio::test]
async fn watch_with_missing_change_forgets_everything() {
    let dir = Dir::new();
    let (here, mut sql) = (dir.store().await, dir.sql().await);
    let events = here.listen().await.unwrap().map(Result::unwrap);
    let mut changes = pin!(events.filter(|event| std::future::ready(*event != FeedEvent::Alive)));
    for (removed, expected) in [(false, false), (true, true)] {
        for _ in 0..3 {
            issue(&here, full()).await;
        }
        sql.run("BEGIN IMMEDIATE").await.unwrap();
        sql.run("UPDATE tower_api_key_keys SET revoked_at = 1 WHERE revoked_at IS NULL").await.unwrap();
        if removed {
            let middle = "(SELECT max(seq) - 1 FROM tower_api_key_changes)";
            sql.run(format!("DELETE FROM tower_api_key_changes WHERE seq = {middle}")).await.unwrap();
        }
        sql.run("COMMIT").await.unwrap();
        let seen = changes.by_ref().take(3).collect();
        let seen: Vec<_> = tokio::time::timeout(Duration::from_secs(5), seen).await.expect("three changes");
        assert_eq!(seen.contains(&Invalidation::All.into()), expected, "{seen:?}");
    }
}
