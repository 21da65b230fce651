//! What is written is on the disk when the call returns. Killing a process cannot show that, so the level of
//! each connection is looked at.

use futures::future::join_all;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tower_api_key::key::OrganizationPolicy;
use tower_api_key::manage::{IssuedKey, ManageError, StoredCredential};
use tower_api_key::store::{Expiry, KeyBackend, KeyUpdate, SqlError, SqliteStore};
use tower_api_key::{Access, Scope};

use crate::support::calls::{Reply, acme, any, full, issue, scoped};
use crate::support::manage::Manage;
use crate::support::sqlite::{Dir, pool, sql_error};

/// Cases: 105, 107.
#[tokio::test]
async fn each_connection_writes_through_to_disk() {
    let dir = Dir::new();
    let store = dir.store().await;
    // All ten at once, so that each is another one; then ten more, after the first were closed.
    for _ in 0..2 {
        let mut connections = Vec::new();
        for connection in join_all((0..10).map(|_| store.pool().acquire())).await {
            connections.push(connection.unwrap());
        }
        for connection in &mut connections {
            let level: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut **connection).await.unwrap();
            let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut **connection).await.unwrap();
            assert_eq!((level, journal.as_str()), (2, "wal"));
        }
        for connection in connections {
            connection.close().await.unwrap();
        }
    }
}

/// Cases: 107.
#[tokio::test]
async fn change_over_non_durable_connection_is_rejected() {
    for level in [SqliteSynchronous::Off, SqliteSynchronous::Normal] {
        let dir = Dir::new();
        let durable = dir.store().await;
        let key = issue(&durable, scoped(&["datasets.read", "tasks.read"])).await;
        let lax = SqliteStore::from_pool(pool(dir.options().synchronous(level), 4).await);
        let mut sql = dir.sql().await;
        let before = sql.dump().await;

        for error in every_change(&lax, &key).await {
            let error = error.expect_err("rejected");
            assert!(matches!(sql_error(&error), SqlError::NotDurable), "{level:?}: {error:?}");
        }
        assert_eq!(sql.dump().await, before, "{level:?}");
        sql.nobody_is_in_a_transaction().await;

        // Lookups and lists do not change anything, and go on.
        let access = Access::scoped(["datasets.read", "tasks.read"].map(Scope::from_static));
        assert_eq!(any(&lax, &key).await, Reply::accepted(&access));
        assert_eq!(lax.list(acme().into(), &Default::default()).await.unwrap().keys.len(), 1);
        assert!(!lax.organization_policy(acme()).await.unwrap().is_disabled());
    }
}

/// Cases: 107.
#[tokio::test]
async fn full_and_extra_are_durable_in_each_journal_mode() {
    for level in [SqliteSynchronous::Full, SqliteSynchronous::Extra] {
        for journal in [SqliteJournalMode::Wal, SqliteJournalMode::Delete] {
            let dir = Dir::new();
            let options = dir.options().synchronous(level).journal_mode(journal);
            let store = SqliteStore::from_pool(pool(options, 1).await);
            store.migrate().await.unwrap();
            let key = issue(&store, scoped(&["datasets.read", "tasks.read"])).await;
            for outcome in every_change(&store, &key).await {
                outcome.unwrap_or_else(|error| panic!("{level:?}, {journal:?}: {error:?}"));
            }
        }
    }
}

/// Cases: 107.
/// The pool belongs to the application too, which may turn the level down on a connection later.
#[tokio::test]
async fn durability_level_is_checked_at_the_change() {
    let dir = Dir::new();
    let store = SqliteStore::from_pool(pool(dir.options(), 1).await);
    store.migrate().await.unwrap();
    let key = issue(&store, full()).await;

    sqlx::query("PRAGMA synchronous = NORMAL").execute(store.pool()).await.unwrap();
    let error = store.revoke(acme(), key.record.id()).await.unwrap_err();
    assert!(matches!(sql_error(&error), SqlError::NotDurable), "{error:?}");
    assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));

    sqlx::query("PRAGMA synchronous = FULL").execute(store.pool()).await.unwrap();
    store.revoke(acme(), key.record.id()).await.unwrap();
    assert_eq!(any(&store, &key).await, Reply::invalid());
}

/// Cases: 107.
/// The driver's own defaults are durable: no setting is needed.
#[tokio::test]
async fn pool_with_driver_defaults_is_durable() {
    let dir = Dir::new();
    let options = SqliteConnectOptions::new().filename(dir.file()).create_if_missing(true);
    let store = SqliteStore::from_pool(pool(options, 2).await);
    store.migrate().await.unwrap();
    let key = issue(&store, full()).await;
    store.revoke(acme(), key.record.id()).await.unwrap();
    assert_eq!(any(&store, &key).await, Reply::invalid());
}

/// Every change there is, in an order in which each is possible.
async fn every_change(store: &SqliteStore, key: &IssuedKey) -> Vec<Result<(), ManageError>> {
    let (keys, id) = (store.manage(), key.record.id());
    let update = KeyUpdate::new().with_scopes([Scope::from_static("tasks.read")]);
    let credential = StoredCredential::from_plaintext(b"issued elsewhere, a while ago");
    vec![
        keys.issue(acme(), full()).await.map(drop),
        keys.import(acme(), (full(), credential)).await.map(drop),
        keys.update(acme(), id, update).await.map(drop),
        keys.set_organization_policy(acme(), OrganizationPolicy::default().with_disabled(true)).await,
        keys.regenerate(acme(), id, Expiry::Never).await.map(drop),
        keys.revoke(acme(), id).await.map(drop),
    ]
}
