//! A cache that hears of changes, where what lies between it and the database swallows them or has lost them.

use std::time::{Duration, Instant, SystemTime};

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tower_api_key::{Access, ApiKeyLayer, CacheConfig, CachedStore, IssuedKey, KeyManager, KeyUsage, PostgresStore};

use super::pgbouncer::{IGNORE, PgBouncer};
use crate::support::calls::{Reply, acme, call, full, issue};
use crate::support::log_lines::{logged, record_log};
use crate::support::postgres::{Schema, server_url, with};
use crate::support::proxy::{Mode, Proxy};

fn cached(store: PostgresStore, time_to_live: Duration) -> CachedStore<PostgresStore> {
    CachedStore::with(store, CacheConfig::new().with_time_to_live(time_to_live))
}

async fn ask(cache: &CachedStore<PostgresStore>, key: &IssuedKey) -> Reply {
    call(&ApiKeyLayer::new(cache.clone()), key.secret.expose_secret()).await
}

/// Waits until the key is refused, which it must be soon.
async fn refused_within(limit: Duration, cache: &CachedStore<PostgresStore>, key: &IssuedKey) -> Duration {
    let start = Instant::now();
    loop {
        match ask(cache, key).await {
            reply if reply == Reply::invalid() => return start.elapsed(),
            reply => assert_eq!(reply, Reply::accepted(&Access::Full)),
        }
        assert!(start.elapsed() < limit, "still accepted after {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const TIME_TO_LIVE: Duration = Duration::from_secs(1);

/// The log says once that nothing is heard, and what is revoked elsewhere is refused after the time to live.
async fn told_once_and_late(told: &str, cache: &CachedStore<PostgresStore>, elsewhere: &PostgresStore) {
    let start = Instant::now();
    while logged(told).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(10), "the log does not tell: {:?}", logged("noticed after"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("told {:.1?} after the start", start.elapsed());
    for _ in 0..3 {
        let key = issue(elsewhere, full()).await;
        assert_eq!(ask(cache, &key).await, Reply::accepted(&Access::Full));
        elsewhere.revoke(acme(), key.record.id()).await.unwrap();
        let elapsed = refused_within(TIME_TO_LIVE + Duration::from_millis(500), cache, &key).await;
        println!("revoked elsewhere, refused {elapsed:.1?} later");
    }
    assert_eq!(logged(told).len(), 1);
}

/// Cases: 111, 112.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres and pgbouncer"]
async fn pooler_dropping_notifications_is_logged_once() {
    const TOLD: &str =
        "changes that other processes make are noticed after the time to live: a pool without a statement cache";
    record_log();
    let bouncer = PgBouncer::start(3, IGNORE).await;
    let elsewhere = PostgresStore::connect(&bouncer.database().url()).await.unwrap();
    elsewhere.migrate().await.unwrap();
    let url = with(&bouncer.url(), "statement-cache-capacity", "0");
    let cache = cached(PostgresStore::connect(&url).await.unwrap(), TIME_TO_LIVE);
    let watching = tokio::spawn(cache.watch());

    told_once_and_late(TOLD, &cache, &elsewhere).await;
    watching.abort();
}

/// Cases: 111.
/// A pooler that nobody told us of: one connection of ours at a time, so that its statements find each other there.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres and pgbouncer"]
async fn unannounced_pooler_is_found_by_self_test() {
    const TOLD: &str = "changes that other processes make are noticed after the time to live: nothing is heard at all";
    record_log();
    let bouncer = PgBouncer::start(1, IGNORE).await;
    let elsewhere = PostgresStore::connect(&bouncer.database().url()).await.unwrap();
    elsewhere.migrate().await.unwrap();
    let one = PgPoolOptions::new().max_connections(1).connect(&bouncer.url()).await.unwrap();
    let cache = cached(PostgresStore::from_pool(one), TIME_TO_LIVE);
    let watching = tokio::spawn(cache.watch());

    told_once_and_late(TOLD, &cache, &elsewhere).await;
    watching.abort();
}

/// Cases: 113.
/// Each notification makes commits wait for one another, and usage is written all the time.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn only_decision_changes_are_notified() {
    let schema = Schema::new().await;
    let store = schema.store().await;
    let key = issue(&store, full()).await;
    let channel = &schema.sql().await.texts("SELECT 'tower_api_key_' || md5(current_schema())").await[0];
    let mut listener = PgListener::connect(&schema.url()).await.unwrap();
    listener.listen(channel).await.unwrap();

    for _ in 0..100 {
        store.record_usage(&[KeyUsage::new(key.record.id(), 1, SystemTime::now())]).await.unwrap();
    }
    issue(&store, full()).await;
    // What comes first is about the revoke: nothing before it was told.
    store.revoke(acme(), key.record.id()).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(10), listener.recv()).await.expect("a notification").unwrap();
    assert_eq!(told.payload(), key.record.id().to_string());
}

/// Cases: 109, 110.
/// What kept track of the connections has forgotten them: none is closed, and nothing arrives on them any more.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn silently_lost_listener_flushes_once() {
    let schema = Schema::new().await;
    let elsewhere = schema.store().await;
    let server: PgConnectOptions = server_url().parse().unwrap();
    let proxy = Proxy::start((server.get_host().to_owned(), server.get_port())).await;
    let url = with(&with(&schema.url(), "host", "127.0.0.1"), "port", &proxy.port().to_string());
    // Far longer than this test: only what is heard makes it forget.
    let cache = cached(PostgresStore::connect(&url).await.unwrap(), Duration::from_secs(600));
    let watching = tokio::spawn(cache.watch());
    let [probe, missed, good] =
        [issue(&elsewhere, full()).await, issue(&elsewhere, full()).await, issue(&elsewhere, full()).await];

    // It hears: each probe is heard of within moments.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(ask(&cache, &probe).await, Reply::accepted(&Access::Full));
    elsewhere.revoke(acme(), probe.record.id()).await.unwrap();
    println!("while it hears: refused {:.1?} later", refused_within(Duration::from_secs(2), &cache, &probe).await);

    assert_eq!(ask(&cache, &missed).await, Reply::accepted(&Access::Full));
    assert_eq!(ask(&cache, &good).await, Reply::accepted(&Access::Full));
    proxy.lose_connections();
    elsewhere.revoke(acme(), missed.record.id()).await.unwrap();
    assert_eq!(ask(&cache, &missed).await, Reply::accepted(&Access::Full), "nobody has told it yet");
    println!("half open: refused {:.1?} later", refused_within(Duration::from_secs(40), &cache, &missed).await);

    // Once: what is looked up afterwards is remembered, whatever becomes of the database.
    assert_eq!(ask(&cache, &good).await, Reply::accepted(&Access::Full));
    proxy.set(Mode::Hold);
    for _ in 0..20 {
        assert_eq!(ask(&cache, &good).await, Reply::accepted(&Access::Full));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    watching.abort();
}
