//! A database that becomes unreachable while the service runs.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tower_api_key::manage::ManageError;
use tower_api_key::store::{KeyBackend, PostgresStore};

use super::guarded::{Guarded, LOOKUP_TIMEOUT};
use crate::support::calls::{acme, chain, full, issue};
use crate::support::cluster::Cluster;
use crate::support::log_lines::logged;
use crate::support::manage::Manage;
use crate::support::postgres::{Schema, server_url, with};
use crate::support::proxy::{Mode, Proxy};

/// Returns a proxy in front of the server, and the schema's URL through it.
async fn proxied(schema: &Schema) -> (Proxy, String) {
    let server: PgConnectOptions = server_url().parse().unwrap();
    let proxy = Proxy::start((server.get_host().to_owned(), server.get_port())).await;
    let url = with(&with(&schema.url(), "host", "127.0.0.1"), "port", &proxy.port().to_string());
    (proxy, url)
}

/// Cases: 97, 103.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn black_holed_lookup_is_503_in_time() {
    let schema = Schema::new().await;
    let (proxy, url) = proxied(&schema).await;
    let store = PostgresStore::connect(&url).await.unwrap();
    let service = Guarded::new(&store, &schema.store().await).await;
    service.serves().await;

    for _ in 0..2 {
        proxy.set(Mode::Hold);
        service.is_unavailable("black hole").await;
        proxy.set(Mode::Pass);
        service.recovers_within(Duration::from_secs(1), "black hole").await;

        proxy.set(Mode::Cut);
        service.is_unavailable("connections cut").await;
        proxy.set(Mode::Pass);
        service.recovers_within(Duration::from_secs(1), "connections cut").await;
    }
}

/// Cases: 103.
/// A change has no timeout of its own, but does not wait for ever for a connection.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn black_holed_change_ends_in_an_error() {
    let schema = Schema::new().await;
    let (proxy, url) = proxied(&schema).await;
    let store = PostgresStore::connect(&url).await.unwrap();
    let key = issue(&schema.store().await, full()).await;
    store.get(acme(), key.record.id()).await.unwrap();
    proxy.set(Mode::Hold);
    let start = Instant::now();
    let error = store.manage().revoke(acme(), key.record.id()).await.unwrap_err();
    println!("a revoke in a black hole failed after {:.1?}: {}", start.elapsed(), chain(&error));
    assert!(matches!(error, ManageError::Store(_)), "{error:?}");
    assert!(chain(&error).contains("timed out"), "{}", chain(&error));
    assert!(start.elapsed() < Duration::from_secs(10));
    proxy.set(Mode::Pass);
    assert!(!store.get(acme(), key.record.id()).await.unwrap().is_revoked());
    assert!(store.revoke(acme(), key.record.id()).await.unwrap().is_revoked());
}

/// Cases: 87, 103.
/// A failover or a firewall drops all connections silently while each waits for an answer. None of them is ever closed,
/// and new connections work.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn dead_connections_leave_the_pool() {
    let schema = Schema::new().await;
    let (proxy, url) = proxied(&schema).await;
    let store = PostgresStore::connect(&url).await.unwrap();
    let service = Guarded::new(&store, &schema.store().await).await;
    service.serves().await;

    // Every lookup reaches the database and waits there when its connection is lost.
    let mut holder = schema.sql().await;
    holder.run("BEGIN; LOCK TABLE tower_api_key_keys IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let lookups = futures::future::join_all((0..10).map(|_| service.accepts()));
    let lose = async {
        let mut sql = schema.sql().await;
        let waiting = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{}' AND wait_event_type = 'Lock'",
            schema.name()
        );
        let start = Instant::now();
        while sql.int(waiting.as_str()).await < 10 && start.elapsed() < LOOKUP_TIMEOUT {
            tokio::task::yield_now().await;
        }
        proxy.lose_connections();
    };
    let (accepted, ()) = tokio::join!(lookups, lose);
    assert_eq!(accepted, [false; 10]);
    holder.run("COMMIT").await.unwrap();

    service.recovers_within(Duration::from_secs(10), "connections lost silently").await;
}

/// Cases: 103.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn exhausted_pool_is_503_in_time() {
    let schema = Schema::new().await;
    let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(Duration::from_secs(1));
    let pool = pool.connect(&schema.url()).await.unwrap();
    let store = PostgresStore::from_pool(pool.clone());
    let service = Guarded::new(&store, &schema.store().await).await;
    service.serves().await;

    let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    service.is_unavailable("pool exhausted").await;
    let error = store.revoke(acme(), issue(&schema.store().await, full()).await.record.id()).await.unwrap_err();
    assert!(chain(&error).contains("pool timed out"), "{}", chain(&error));
    drop(held);
    service.recovers_within(Duration::from_secs(1), "pool exhausted").await;
}

/// Cases: 97.
/// A database that is up and slow: another session has locked the table.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn locked_table_is_503_in_time() {
    let schema = Schema::new().await;
    let store = PostgresStore::connect(&schema.url()).await.unwrap();
    let service = Guarded::new(&store, &schema.store().await).await;
    let mut holder = schema.sql().await;
    holder.run("BEGIN; LOCK TABLE tower_api_key_keys IN ACCESS EXCLUSIVE MODE").await.unwrap();
    service.is_unavailable("table locked").await;
    holder.run("COMMIT").await.unwrap();
    service.recovers_within(Duration::from_secs(1), "table locked").await;
}

/// Cases: 103.
/// All idle connections are stale when the server is back. No request fails because of them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn store_survives_database_restart() {
    let mut cluster = Cluster::start(&[]);
    let store = PostgresStore::connect(&cluster.url()).await.unwrap();
    store.migrate().await.unwrap();
    let service = Guarded::new(&store, &store).await;
    for signal in ["INT", "KILL"] {
        let all = futures::future::join_all((0..6).map(|_| store.pool().acquire())).await;
        assert!(all.iter().all(Result::is_ok));
        drop(all);
        cluster.end(signal);
        service.is_unavailable(&format!("server stopped by {signal}")).await;
        cluster.begin();
        cluster.wait();
        service.recovers_within(Duration::from_secs(1), &format!("server stopped by {signal}")).await;

        // Without requests during the restart, not even the first request after it fails.
        cluster.end(signal);
        cluster.begin();
        cluster.wait();
        service.serves().await;
    }
    assert!(!logged("Connection refused").is_empty() || !logged("deadline has elapsed").is_empty());
}

/// Cases: 108.
/// An administrator ends every connection.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn closed_connections_fail_no_request() {
    let schema = Schema::new().await;
    let store = PostgresStore::connect(&schema.url()).await.unwrap();
    let service = Guarded::new(&store, &schema.store().await).await;
    let mut administrator = schema.sql().await;
    for _ in 0..10 {
        service.serves().await;
        let terminate = format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
             WHERE application_name = '{}' AND pid <> pg_backend_pid()",
            schema.name()
        );
        administrator.run(terminate).await.unwrap();
    }
}
