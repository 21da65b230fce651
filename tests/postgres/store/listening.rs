//! A cache that watches for changes, where a pooler or a dead connection loses the notifications.

use std::time::{Duration, Instant, SystemTime};

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tower_api_key::manage::IssuedKey;
use tower_api_key::store::{CachedStore, KeyBackend, KeyUsage, PostgresStore};
use tower_api_key::{Access, ApiKeyLayer};

use super::pgbouncer::{IGNORE, PgBouncer};
use crate::support::calls::{Reply, acme, call, full, issue};
use crate::support::log_lines::{logged, record_log};
use crate::support::postgres::{Schema, server_url, with};
use crate::support::proxy::{Mode, Proxy};

fn cached(store: PostgresStore, time_to_live: Duration) -> CachedStore<PostgresStore> {
    CachedStore::builder(store).time_to_live(time_to_live).build()
}

async fn ask(cache: &CachedStore<PostgresStore>, key: &IssuedKey) -> Reply {
    call(&ApiKeyLayer::new(cache.clone()), key.secret.expose_secret()).await
}

/// Returns how long it took until the key was rejected, which it must be within the limit.
async fn rejected_within(limit: Duration, cache: &CachedStore<PostgresStore>, key: &IssuedKey) -> Duration {
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

const LOSS: &str = "WARN not receiving change notifications, relying on the cache TTL: ";

/// Asserts that the loss is logged once, and that a key revoked elsewhere is rejected after the time to live.
async fn logged_once_and_late(cause: &str, cache: &CachedStore<PostgresStore>, elsewhere: &PostgresStore) {
    let line = format!("{LOSS}{cause}");
    let start = Instant::now();
    while logged(&line).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(10), "not logged: {:?}", logged(LOSS));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("logged {:.1?} after the start", start.elapsed());
    for _ in 0..3 {
        let key = issue(elsewhere, full()).await;
        assert_eq!(ask(cache, &key).await, Reply::accepted(&Access::Full));
        elsewhere.revoke(acme(), key.record.id()).await.unwrap();
        let elapsed = rejected_within(TIME_TO_LIVE + Duration::from_millis(500), cache, &key).await;
        println!("revoked elsewhere, rejected {elapsed:.1?} later");
    }
    assert_eq!(logged(&line).len(), 1);
}

/// Cases: 111, 112.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres and pgbouncer"]
async fn pooler_dropping_notifications_is_logged_once() {
    record_log();
    let bouncer = PgBouncer::start(3, IGNORE).await;
    let elsewhere = PostgresStore::connect(&bouncer.database().url()).await.unwrap();
    elsewhere.migrate().await.unwrap();
    let url = with(&bouncer.url(), "statement-cache-capacity", "0");
    let cache = cached(PostgresStore::connect(&url).await.unwrap(), TIME_TO_LIVE);
    let watching = tokio::spawn(cache.watch());

    logged_once_and_late("a pool without a statement cache", &cache, &elsewhere).await;
    watching.abort();
}

/// Cases: 111.
/// The pool is not set up for a pooler. It has one connection, so that each statement meets its own prepared one there.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres and pgbouncer"]
async fn unannounced_pooler_is_found_by_self_test() {
    record_log();
    let bouncer = PgBouncer::start(1, IGNORE).await;
    let elsewhere = PostgresStore::connect(&bouncer.database().url()).await.unwrap();
    elsewhere.migrate().await.unwrap();
    let one = PgPoolOptions::new().max_connections(1).connect(&bouncer.url()).await.unwrap();
    let cache = cached(PostgresStore::from_pool(one), TIME_TO_LIVE);
    let watching = tokio::spawn(cache.watch());

    logged_once_and_late("LISTEN is swallowed", &cache, &elsewhere).await;
    watching.abort();
}

/// Listens to the channel of this schema.
async fn listener(schema: &Schema) -> PgListener {
    let channel = &schema.sql().await.texts("SELECT 'tower_api_key_' || md5(current_schema())").await[0];
    let mut listener = PgListener::connect(&schema.url()).await.unwrap();
    listener.listen(channel).await.unwrap();
    listener
}

/// Cases: 113.
/// Each notification makes commits wait for each other, and usage is written often.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn only_decision_changes_are_notified() {
    let schema = Schema::new().await;
    let store = schema.store().await;
    let key = issue(&store, full()).await;
    let mut listener = listener(&schema).await;

    for _ in 0..100 {
        store.record_usage(&[KeyUsage::new(key.record.id(), 1, SystemTime::now())]).await.unwrap();
    }
    issue(&store, full()).await;
    // The first notification is about the revoke: no earlier change was notified.
    store.revoke(acme(), key.record.id()).await.unwrap();
    let first = tokio::time::timeout(Duration::from_secs(10), listener.recv()).await.expect("a notification").unwrap();
    assert_eq!(first.payload(), key.record.id().to_string());
}

/// Cases: 109, 110.
/// A firewall drops the connections silently: none is closed, and nothing arrives through them any more.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn silently_lost_listener_flushes_once() {
    let schema = Schema::new().await;
    let elsewhere = schema.store().await;
    let server: PgConnectOptions = server_url().parse().unwrap();
    let proxy = Proxy::start((server.get_host().to_owned(), server.get_port())).await;
    let url = with(&with(&schema.url(), "host", "127.0.0.1"), "port", &proxy.port().to_string());
    // Far longer than this test: the cache forgets only what it is notified of.
    let cache = cached(PostgresStore::connect(&url).await.unwrap(), Duration::from_secs(600));
    let watching = tokio::spawn(cache.watch());
    let [probe, missed, live] =
        [issue(&elsewhere, full()).await, issue(&elsewhere, full()).await, issue(&elsewhere, full()).await];

    // While notifications arrive, they apply within moments.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(ask(&cache, &probe).await, Reply::accepted(&Access::Full));
    elsewhere.revoke(acme(), probe.record.id()).await.unwrap();
    println!("while notified: rejected {:.1?} later", rejected_within(Duration::from_secs(2), &cache, &probe).await);

    assert_eq!(ask(&cache, &missed).await, Reply::accepted(&Access::Full));
    assert_eq!(ask(&cache, &live).await, Reply::accepted(&Access::Full));
    proxy.lose_connections();
    elsewhere.revoke(acme(), missed.record.id()).await.unwrap();
    assert_eq!(ask(&cache, &missed).await, Reply::accepted(&Access::Full), "no notification yet");
    println!("half open: rejected {:.1?} later", rejected_within(Duration::from_secs(40), &cache, &missed).await);

    // It flushes once: later lookups are remembered, also while the database is unreachable.
    assert_eq!(ask(&cache, &live).await, Reply::accepted(&Access::Full));
    proxy.set(Mode::Hold);
    for _ in 0..20 {
        assert_eq!(ask(&cache, &live).await, Reply::accepted(&Access::Full));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    watching.abort();
}

/// Cases: 162.
/// The database has nothing to do between heartbeats.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn heartbeats_are_sent_in_their_interval() {
    let schema = Schema::new().await;
    let store = schema.store().await;
    let mut listener = listener(&schema).await;
    let mut next = async || {
        let next = tokio::time::timeout(Duration::from_secs(60), listener.recv()).await;
        next.expect("a heartbeat").unwrap().payload().to_owned()
    };

    // The first heartbeat of each is its self-test, and has the payload of all the others.
    let mut watching = Vec::new();
    let mut heartbeats = Vec::new();
    for store in [
        store.clone().heartbeat_interval(Duration::MAX),
        store.clone(),
        store.clone().heartbeat_interval(Duration::ZERO),
    ] {
        watching.push(tokio::spawn(cached(store, TIME_TO_LIVE).watch()));
        heartbeats.push((next().await, 1));
    }
    // The shortest interval is a second and the default five.
    while heartbeats[2].1 < 9 {
        let beat = next().await;
        heartbeats.iter_mut().filter(|(payload, _)| *payload == beat).for_each(|(_, count)| *count += 1);
    }
    let [longest, default, _] = [0, 1, 2].map(|store| heartbeats[store].1);
    println!("{longest} and {default} heartbeats while the shortest interval had 9");
    assert_eq!(longest, 1, "its self-test");
    assert!((2..9).contains(&default), "{default}");
    watching.iter().for_each(|watching| watching.abort());
}

/// Cases: 162.
/// A longer interval leaves a lost connection unnoticed for longer, and the time to live is the limit.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn lost_listener_is_found_after_its_interval() {
    let schema = Schema::new().await;
    let elsewhere = schema.store().await;
    let server: PgConnectOptions = server_url().parse().unwrap();
    let proxy = Proxy::start((server.get_host().to_owned(), server.get_port())).await;
    let url = with(&with(&schema.url(), "host", "127.0.0.1"), "port", &proxy.port().to_string());
    let store = PostgresStore::connect(&url).await.unwrap();
    let [short, long] = [Duration::from_secs(1), Duration::from_secs(3600)]
        .map(|interval| cached(store.clone().heartbeat_interval(interval), Duration::from_secs(600)));
    let watching = [tokio::spawn(short.watch()), tokio::spawn(long.watch())];
    let [first, lost] = [issue(&elsewhere, full()).await, issue(&elsewhere, full()).await];

    // Both receive notifications.
    for cache in [&short, &long] {
        received(cache, &elsewhere).await;
        assert_eq!(ask(cache, &lost).await, Reply::accepted(&Access::Full));
    }
    proxy.lose_connections();
    elsewhere.revoke(acme(), lost.record.id()).await.unwrap();
    rejected_within(Duration::from_secs(40), &short, &lost).await;
    assert_eq!(ask(&long, &lost).await, Reply::accepted(&Access::Full), "no heartbeat was due");
    // What it does not remember, it reads.
    elsewhere.revoke(acme(), first.record.id()).await.unwrap();
    assert_eq!(ask(&long, &first).await, Reply::invalid());
    watching.iter().for_each(|watching| watching.abort());
}

/// Waits until this cache receives notifications.
async fn received(cache: &CachedStore<PostgresStore>, elsewhere: &PostgresStore) {
    for _ in 0..100 {
        let key = issue(elsewhere, full()).await;
        assert_eq!(ask(cache, &key).await, Reply::accepted(&Access::Full));
        elsewhere.revoke(acme(), key.record.id()).await.unwrap();
        for _ in 0..20 {
            if ask(cache, &key).await == Reply::invalid() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    panic!("no notification is received");
}
