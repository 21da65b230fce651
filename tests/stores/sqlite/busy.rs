//! Another program writes to the file.

use std::time::{Duration, Instant};

use futures::future::join_all;
use sqlx::sqlite::SqliteJournalMode;
use tower_api_key::manage::IssuedKey;
use tower_api_key::store::{KeyBackend, SqlError, SqliteStore};
use tower_api_key::{Access, ApiKeyLayer};

use crate::support::calls::{Reply, acme, any, call, chain, full, issue};
use crate::support::manage::Manage;
use crate::support::sqlite::{Dir, Sql, pool, sql_error};

const BUSY_TIMEOUT: Duration = Duration::from_millis(300);

/// A store that does not wait long for others, and a key in it.
async fn impatient(dir: &Dir, connections: u32) -> (SqliteStore, IssuedKey) {
    let options = dir.options().journal_mode(SqliteJournalMode::Wal).busy_timeout(BUSY_TIMEOUT);
    let store = SqliteStore::from_pool(pool(options, connections).await);
    store.migrate().await.unwrap();
    let key = issue(&store, full()).await;
    (store, key)
}

/// Another program in the middle of a change.
async fn lock(dir: &Dir) -> Sql {
    let mut sql = dir.sql().await;
    sql.run("BEGIN IMMEDIATE; UPDATE tower_api_key_keys SET name = 'changed'").await.unwrap();
    sql
}

/// Cases: 115.
#[tokio::test]
async fn lookups_continue_while_file_is_write_locked() {
    let dir = Dir::new();
    let (store, key) = impatient(&dir, 4).await;
    let mut other = lock(&dir).await;

    let began = Instant::now();
    let change = store.revoke(acme(), key.record.id());
    let lookups = async {
        let mut lookups = 0;
        while began.elapsed() < BUSY_TIMEOUT / 2 {
            assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
            lookups += 1;
        }
        lookups
    };
    let (change, lookups) = tokio::join!(change, lookups);
    let (error, took) = (change.unwrap_err(), began.elapsed());
    assert!(lookups > 10, "{lookups}");
    assert!(took >= BUSY_TIMEOUT && took < 3 * BUSY_TIMEOUT, "{took:?}");
    assert!(matches!(sql_error(&error), SqlError::Database(_)), "{error:?}");
    assert!(chain(&error).contains("database is locked"), "{}", chain(&error));
    assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));

    other.run("COMMIT").await.unwrap();
    store.revoke(acme(), key.record.id()).await.unwrap();
    assert_eq!(any(&store, &key).await, Reply::invalid());
}

/// Cases: 115.
#[tokio::test(flavor = "multi_thread")]
async fn change_waits_for_other_writer() {
    let dir = Dir::new();
    let store = dir.store().await;
    let key = issue(&store, full()).await;
    let mut other = lock(&dir).await;
    let release = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        other.run("COMMIT").await.unwrap();
    };
    let (revoked, ()) = tokio::join!(store.revoke(acme(), key.record.id()), release);
    assert_eq!(revoked.unwrap().name(), "changed");
    assert_eq!(any(&store, &key).await, Reply::invalid());
}

/// Cases: 115.
/// More changes than there are connections wait for the other writer. They wait for each other outside the
/// pool, so that lookups get a connection at once.
#[tokio::test(flavor = "multi_thread")]
async fn parallel_changes_do_not_starve_lookups() {
    let dir = Dir::new();
    let store = dir.store().await;
    let key = issue(&store, full()).await;
    let mut other = lock(&dir).await;
    let changes: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.manage().issue(acme(), full()).await.map(drop) })
        })
        .collect();
    let (rejected, slowest) = lookups_for(&store, &key, Duration::from_millis(500)).await;
    assert!(changes.iter().all(|change| !change.is_finished()), "they wait all the while");
    assert_eq!(rejected, 0);
    println!("slowest lookup during 20 waiting changes: {slowest:?}");

    other.run("COMMIT").await.unwrap();
    for change in changes {
        change.await.unwrap().unwrap();
    }
    assert_eq!(store.list(acme().into(), &Default::default()).await.unwrap().keys.len(), 21);

    // The same number of changes that each hold a connection while they wait: lookups do without the pool, and nothing else
    // does.
    let mut other = lock(&dir).await;
    let changes: Vec<_> = (0..20)
        .map(|_| {
            let pool = store.pool().clone();
            tokio::spawn(async move { pool.begin_with("BEGIN IMMEDIATE").await.map(drop) })
        })
        .collect();
    let (rejected, _) = lookups_for(&store, &key, Duration::from_millis(500)).await;
    assert_eq!(rejected, 0);
    let policy = tokio::time::timeout(Duration::from_millis(250), store.organization_policy(acme())).await;
    policy.expect_err("this test could not fail");
    other.run("COMMIT").await.unwrap();
    for change in changes {
        change.await.unwrap().unwrap();
    }
}

/// Cases: 95, 115.
/// The callers of the changes hung up, while another writer holds the lock.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_changes_do_not_starve_lookups() {
    let dir = Dir::new();
    let store = dir.store().await;
    let key = issue(&store, full()).await;
    let mut other = lock(&dir).await;
    for _ in 0..20 {
        let change = store.revoke(acme(), key.record.id());
        tokio::time::timeout(Duration::from_millis(20), change).await.expect_err("the other holds the lock");
    }
    let (rejected, slowest) = lookups_for(&store, &key, Duration::from_millis(500)).await;
    println!("slowest lookup after 20 changes that were given up: {slowest:?}");
    assert_eq!(rejected, 0);
    other.run("COMMIT").await.unwrap();
    store.revoke(acme(), key.record.id()).await.unwrap();
}

/// Cases: 115.
/// A call waits five seconds for its turn and then for the other writer, not as long as all before it in line.
#[tokio::test(flavor = "multi_thread")]
async fn queued_changes_fail_in_bounded_time() {
    const BOUND: Duration = Duration::from_secs(7);
    let dir = Dir::new();
    let (store, key) = impatient(&dir, 10).await;
    let _other = lock(&dir).await;
    let began = Instant::now();
    let outcomes = join_all((0..40).map(|_| store.revoke(acme(), key.record.id()))).await;
    let took = began.elapsed();
    assert!(outcomes.iter().all(Result::is_err));
    println!("40 changes at once failed after {took:?}, with {BUSY_TIMEOUT:?} for each");
    assert!(took < BOUND, "{took:?}");
}

/// Cases: 103, 115.
/// Another program that locks out readers too.
#[tokio::test(flavor = "multi_thread")]
async fn read_locked_file_is_503_in_time() {
    const LIMIT: Duration = Duration::from_millis(200);
    /// How long the driver itself would wait.
    const BUSY: Duration = Duration::from_secs(1);
    let dir = Dir::new();
    let store = dir.store().await;
    let key = issue(&store, full()).await;
    store.pool().close().await;
    let mut other = dir.sql().await;
    other
        .run("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; UPDATE tower_api_key_keys SET name = 'x'; COMMIT")
        .await
        .unwrap();

    let options = dir.options().busy_timeout(BUSY);
    let store = SqliteStore::from_pool(sqlx::sqlite::SqlitePoolOptions::new().connect_lazy_with(options));
    let layer = ApiKeyLayer::new(store.clone()).lookup_timeout(LIMIT);
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(call(&layer, key.secret.expose_secret()).await, Reply::unavailable());
        let took = began.elapsed();
        assert!(took < BUSY, "{took:?}");
    }
    other.run("PRAGMA locking_mode = NORMAL; SELECT count(*) FROM tower_api_key_keys").await.unwrap();
    drop(other);
    assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
}

/// Lookups by four clients for this long: how many were not accepted, and the time of the slowest.
async fn lookups_for(store: &SqliteStore, key: &IssuedKey, time: Duration) -> (usize, Duration) {
    let end = Instant::now() + time;
    let client = || async {
        let layer = ApiKeyLayer::new(store.clone()).lookup_timeout(Duration::from_millis(250));
        let (mut rejected, mut slowest) = (0, Duration::ZERO);
        while Instant::now() < end {
            let began = Instant::now();
            let reply = call(&layer, key.secret.expose_secret()).await;
            rejected += usize::from(reply.status != 200);
            slowest = slowest.max(began.elapsed());
        }
        (rejected, slowest)
    };
    let clients = join_all((0..4).map(|_| client())).await;
    clients.into_iter().fold((0, Duration::ZERO), |all, one| (all.0 + one.0, all.1.max(one.1)))
}
