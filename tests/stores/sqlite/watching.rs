//! A cache that watches the file hears of what another process changes there, and of nothing else.

use std::time::{Duration, Instant};

use tower_api_key::{Access, ApiKeyLayer, CacheConfig, CachedStore, IssuedKey, KeyManager, KeyUsage, SqliteStore};

use super::processes;
use crate::support::calls::{Reply, acme, call, full, issue};
use crate::support::sqlite::Dir;

type Cache = CachedStore<SqliteStore>;

/// Far longer than any of these tests, so that only what is heard makes it forget.
fn cached(store: SqliteStore) -> Cache {
    CachedStore::with(store, CacheConfig::new().with_time_to_live(Duration::from_secs(600)))
}

async fn any(cache: &Cache, key: &IssuedKey) -> Reply {
    call(&ApiKeyLayer::new(cache.clone()), key.secret.expose_secret()).await
}

/// Waits until the key is refused, which it must be soon.
async fn refused(cache: &Cache, key: &IssuedKey) -> Duration {
    let start = Instant::now();
    while any(cache, key).await != Reply::invalid() {
        assert!(start.elapsed() < Duration::from_secs(5), "the change was not heard of");
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
    // It is heard of as soon as it hears at all: the first of these waits for that too.
    for _ in 0..20 {
        let key = issue(&here, full()).await;
        assert_eq!(any(&cache, &key).await, Reply::accepted(&Access::Full));
        assert_eq!(there.ask(&format!("revoke {}", key.record.id())).await, "ok");
        refused(&cache, &key).await;
    }
    watching.abort();
}

/// Cases: 114.
/// Without the watch they are found in the cache for as long as they may be: what the test above would not notice.
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
/// Usage is written all the time. Who forgets everything at each of these writes has no cache.
#[tokio::test(flavor = "multi_thread")]
async fn usage_and_other_tables_do_not_empty_the_cache() {
    let dir = Dir::new();
    let (here, elsewhere) = (dir.store().await, dir.store().await);
    let cache = cached(here.clone());
    let watching = tokio::spawn(cache.watch());
    let [heard, kept] = [issue(&elsewhere, full()).await, issue(&elsewhere, full()).await];
    assert_eq!(any(&cache, &heard).await, Reply::accepted(&Access::Full));
    elsewhere.revoke(acme(), heard.record.id()).await.unwrap();
    refused(&cache, &heard).await;

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
