//! A call that was dropped: a client hung up, a timeout of an outer layer fired. Wherever that happens,
//! the change is there as a whole or not at all, and nothing stays locked.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tower_api_key::key::{KeyStatus, OrganizationPolicy};
use tower_api_key::manage::IssuedKey;
use tower_api_key::scope::ScopeSet;
use tower_api_key::store::{Expiry, KeyBackend, KeyUpdate, ListKeys, SqliteStore};
use tower_api_key::{Access, KeyStore, Scope};

use crate::support::calls::{Reply, acme, any, full, issue, scoped};
use crate::support::manage::Manage;
use crate::support::sqlite::{Dir, Sql, pool};

/// When a future is dropped: right after a poll that ended in waiting, or when what it waited for is there and
/// only the next poll would see it.
#[derive(Clone, Copy, Debug)]
enum Then {
    DropAtOnce,
    DropWhenWoken,
}

const NEVER: usize = usize::MAX;

/// Polls the future this many times and drops it. Whether it had ended by then.
///
/// What it has sent to the database may still come about. This returns when that is over.
async fn ends_within(store: &SqliteStore, polls: usize, then: Then, future: impl Future) -> bool {
    let ended = poll_and_drop(polls, then, future).await;
    settle(store).await;
    ended
}

/// A commit holds the lock until it is done.
async fn settle(store: &SqliteStore) {
    store.pool().begin_with("BEGIN IMMEDIATE").await.unwrap().rollback().await.unwrap();
}

async fn poll_and_drop(polls: usize, then: Then, future: impl Future) -> bool {
    let mut future = Box::pin(future);
    let mut polled = 0;
    poll_fn(move |cx| {
        if polled == polls {
            return Poll::Ready(false);
        }
        polled += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if polled == polls && matches!(then, Then::DropAtOnce) => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Cancels a call after 0, 1, 2.. polls until it ends before it is cancelled, a few times over.
async fn cancel_everywhere(connections: u32, call: impl AsyncFn(&SqliteStore, &IssuedKey, usize, Then) -> bool) {
    for then in [Then::DropAtOnce, Then::DropWhenWoken] {
        let dir = Dir::new();
        let store = SqliteStore::from_pool(pool(dir.options().pragma("journal_mode", "WAL"), connections).await);
        store.migrate().await.unwrap();
        let mut sql = dir.sql().await;
        let (mut cancelled, mut polls) = (0, 0);
        for _ in 0..3 {
            polls = 0;
            loop {
                sql.run("DELETE FROM tower_api_key_keys; DELETE FROM tower_api_key_organizations").await.unwrap();
                let key = issue(&store, scoped(&["datasets.read", "tasks.read"])).await;
                let ended = call(&store, &key, polls, then).await;
                all_is_free(&store, &mut sql).await;
                if ended {
                    break;
                }
                (cancelled, polls) = (cancelled + 1, polls + 1);
                assert!(polls < 200, "it never ends");
            }
        }
        println!(
            "{connections} connections, {then:?}: cancelled {cancelled} times, the last time it took {polls} polls"
        );
        // Before each poll of each attempt; and a change waits at least once, for its thread.
        assert!(cancelled >= 3, "{cancelled}");
        all_is_free_at_once(&store, &mut sql, connections).await;
    }
}

/// Another program can write at once, and so can the store.
async fn all_is_free(store: &SqliteStore, sql: &mut Sql) {
    let began = Instant::now();
    sql.run("BEGIN IMMEDIATE; ROLLBACK").await.unwrap();
    let canary = "canary".parse().unwrap();
    let keys = store.manage();
    let change = keys.issue(&canary, full());
    let canary = tokio::time::timeout(Duration::from_secs(2), change).await.expect("we can write").unwrap();
    assert_eq!(any(store, &canary).await, Reply::accepted(&Access::Full));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

/// Each connection of the pool is there, and in no transaction.
async fn all_is_free_at_once(store: &SqliteStore, sql: &mut Sql, connections: u32) {
    let held = join_all((0..connections).map(|_| store.pool().acquire())).await;
    for connection in held {
        let mut connection = connection.expect("no connection has leaked");
        // Fails inside a transaction.
        sqlx::query("BEGIN").execute(&mut *connection).await.unwrap();
        sqlx::query("ROLLBACK").execute(&mut *connection).await.unwrap();
    }
    sql.nobody_is_in_a_transaction().await;
    assert_eq!(sql.text("PRAGMA integrity_check").await, "ok");
}

async fn count(sql: &mut Sql, which: &str) -> i64 {
    sql.int(format!("SELECT count(*) FROM tower_api_key_keys WHERE organization = 'acme' AND {which}")).await
}

/// Cases: 95.
#[tokio::test]
async fn cancelled_issue_is_all_or_nothing() {
    for connections in [1, 10] {
        cancel_everywhere(connections, async |store, _, polls, then| {
            let ended = ends_within(store, polls, then, store.manage().issue(acme(), full())).await;
            let keys = store.list(acme().into(), &ListKeys::new()).await.unwrap().keys;
            assert!(if ended { keys.len() == 2 } else { keys.len() == 1 || keys.len() == 2 });
            ended
        })
        .await;
    }
}

/// Cases: 95.
#[tokio::test]
async fn cancelled_regenerate_is_all_or_nothing() {
    for connections in [1, 10] {
        cancel_everywhere(connections, async |store, key, polls, then| {
            let active = ListKeys::new().with_status(KeyStatus::Active);
            let keys = store.manage();
            let regenerate = keys.regenerate(acme(), key.record.id(), Expiry::Never);
            let ended = poll_and_drop(polls, then, regenerate).await;
            // One live key, before and after and at any time between.
            assert_eq!(store.list(acme().into(), &active).await.unwrap().keys.len(), 1);
            settle(store).await;
            let live = store.list(acme().into(), &active).await.unwrap().keys;
            assert_eq!(live.len(), 1);
            let old = store.get(acme(), key.record.id()).await.unwrap();
            match old.replaced_by() {
                None => assert!(!ended && !old.is_revoked() && live[0].id() == old.id()),
                Some(new) => assert!(live[0].id() == new),
            }
            assert_eq!(any(store, key).await.status, if old.is_revoked() { 401 } else { 200 });
            ended
        })
        .await;
    }
}

/// Cases: 95.
#[tokio::test]
async fn cancelled_revoke_is_all_or_nothing() {
    for connections in [1, 10] {
        cancel_everywhere(connections, async |store, key, polls, then| {
            let ended = ends_within(store, polls, then, store.revoke(acme(), key.record.id())).await;
            // A caller who does not know whether the key is revoked tries again.
            let revoked = store.get(acme(), key.record.id()).await.unwrap().is_revoked();
            assert!(revoked || !ended);
            assert_eq!(any(store, key).await.status, if revoked { 401 } else { 200 });
            store.revoke(acme(), key.record.id()).await.unwrap();
            assert_eq!(any(store, key).await, Reply::invalid());
            ended
        })
        .await;
    }
}

/// Cases: 95, 205.
#[tokio::test]
async fn cancelled_narrow_is_all_or_nothing() {
    let one = ScopeSet::from([Scope::from_static("tasks.read")]);
    for connections in [1, 10] {
        cancel_everywhere(connections, async |store, key, polls, then| {
            let update = KeyUpdate::new().with_scopes(one.clone());
            let ended = ends_within(store, polls, then, store.update(acme(), key.record.id(), update)).await;
            let access = store.get(acme(), key.record.id()).await.unwrap().access().clone();
            let updated = access == Access::Scoped(one.clone());
            assert!(updated || !ended && access == *key.record.access());
            ended
        })
        .await;
    }
}

/// Cases: 95, 205.
#[tokio::test]
async fn cancelled_purge_is_all_or_nothing() {
    for connections in [1, 10] {
        cancel_everywhere(connections, async |store, key, polls, then| {
            store.revoke(acme(), key.record.id()).await.unwrap();
            let purge = store.purge(acme().into(), Duration::ZERO, 10);
            let ended = ends_within(store, polls, then, purge).await;
            // A caller who does not know whether the key is purged tries again.
            let listed = store.list(acme().into(), &ListKeys::new()).await.unwrap().keys.len();
            assert!(listed == 0 || !ended);
            assert_eq!(any(store, key).await, Reply::invalid());
            assert_eq!(store.purge(acme().into(), Duration::ZERO, 10).await.unwrap().len(), listed);
            ended
        })
        .await;
    }
}

/// Cases: 95, 205.
#[tokio::test]
async fn cancelled_policy_change_is_all_or_nothing() {
    let disabled = OrganizationPolicy::default().with_disabled(true);
    for connections in [1, 10] {
        cancel_everywhere(connections, async |store, key, polls, then| {
            let ended = ends_within(store, polls, then, store.set_organization_policy(acme(), disabled)).await;
            let now = store.organization_policy(acme()).await.unwrap();
            assert!(now == disabled || !ended && now == OrganizationPolicy::default());
            assert_eq!(any(store, key).await.status, if now == disabled { 401 } else { 200 });
            ended
        })
        .await;
    }
}

/// Cases: 95.
#[tokio::test]
async fn cancelled_lookup_or_list_changes_nothing() {
    for connections in [1, 10] {
        cancel_everywhere(connections, async |store, key, polls, then| {
            ends_within(store, polls, then, store.find(key.record.digest())).await
        })
        .await;
        cancel_everywhere(connections, async |store, _, polls, then| {
            ends_within(store, polls, then, store.list(acme().into(), &ListKeys::new().with_status(KeyStatus::Active)))
                .await
        })
        .await;
        cancel_everywhere(connections, async |store, key, polls, then| {
            ends_within(store, polls, then, store.get(acme(), key.record.id())).await
        })
        .await;
    }
}

/// Cases: 95.
#[tokio::test]
async fn cancelled_migration_is_all_or_nothing() {
    let whole = Dir::new();
    whole.store().await;
    let whole = whole.sql().await.schema().await;
    for polls in 0.. {
        let dir = Dir::new();
        let store = SqliteStore::connect(&dir.url()).await.unwrap();
        let ended = poll_and_drop(polls, Then::DropAtOnce, store.migrate()).await;
        let mut sql = dir.sql().await;
        sql.run("BEGIN IMMEDIATE; ROLLBACK").await.unwrap();
        let schema = sql.schema().await;
        assert!(schema.is_empty() || schema == whole, "{schema:?}");
        store.migrate().await.unwrap();
        let key = issue(&store, full()).await;
        assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
        if ended {
            assert!(polls > 3);
            return;
        }
        assert!(polls < 200, "it never ends");
    }
}

/// Cases: 95.
/// Many at once, on several threads, each given up after a moment of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_cancelled_changes_are_all_or_nothing() {
    const CLIENTS: u64 = 8;
    const ROUNDS: u64 = 60;
    let dir = Dir::new();
    let store = dir.store().await;
    let clients = (0..CLIENTS).map(|client| {
        let store = store.clone();
        tokio::spawn(async move {
            let (mut given_up, mut key) = (0, issue(&store, full()).await);
            for round in 0..ROUNDS {
                // From nothing to longer than it takes, in steps that have no common measure.
                let patience = Duration::from_micros((round * 7919 + client * 104_729) % 6000);
                let id = key.record.id();
                let lookup = tokio::time::timeout(patience / 8, store.find(key.record.digest())).await;
                let keys = store.manage();
                let regenerate = keys.regenerate(acme(), id, Expiry::Never);
                match tokio::time::timeout(patience, regenerate).await {
                    Ok(regenerated) => key = regenerated.unwrap(),
                    Err(_) => {
                        given_up += 1;
                        settle(&store).await;
                        // The change may have been made, with a secret that was lost.
                        if store.get(acme(), id).await.unwrap().is_revoked() {
                            key = issue(&store, full()).await;
                        }
                    }
                }
                given_up += usize::from(lookup.is_err());
                assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
            }
            given_up
        })
    });
    let given_up: usize = join_all(clients).await.into_iter().map(Result::unwrap).sum();
    println!("{given_up} calls given up");
    assert!(given_up > 50, "{given_up}");

    let mut sql = dir.sql().await;
    all_is_free_at_once(&store, &mut sql, 10).await;
    // Each replaced key has its one replacement, and no replacement is without the key that it replaced.
    assert_eq!(count(&mut sql, "revoked_at IS NOT NULL AND replaced_by IS NULL").await, 0);
    let missing = "replaced_by IS NOT NULL AND replaced_by NOT IN (SELECT id FROM tower_api_key_keys)";
    assert_eq!(count(&mut sql, missing).await, 0);
    let replaced = count(&mut sql, "replaced_by IS NOT NULL").await;
    let replacements = sql.int("SELECT count(DISTINCT replaced_by) FROM tower_api_key_keys").await;
    assert_eq!(replaced, replacements);
}

/// Cases: 95.
/// The harness itself: a call that is left alone ends, and one that holds on is noticed.
#[tokio::test]
async fn harness_detects_open_transaction() {
    let dir = Dir::new();
    let store = SqliteStore::from_pool(pool(dir.options().pragma("journal_mode", "WAL"), 2).await);
    store.migrate().await.unwrap();
    assert!(ends_within(&store, NEVER, Then::DropAtOnce, store.manage().issue(acme(), full())).await);
    let mut left_open = store.pool().acquire().await.unwrap();
    sqlx::query("BEGIN").execute(&mut *left_open).await.unwrap();
    sqlx::query("SELECT count(*) FROM tower_api_key_keys").execute(&mut *left_open).await.unwrap();
    drop(left_open);
    let noticed = tokio::spawn(async move {
        let mut sql = dir.sql().await;
        issue(&store, full()).await;
        all_is_free_at_once(&store, &mut sql, 2).await;
    });
    assert!(noticed.await.unwrap_err().is_panic());
}

/// Cases: 128.
/// A commit that was sent lands after its caller has gone. The cache in front must not keep what it read before that.
#[cfg(feature = "cache")]
#[tokio::test]
async fn dropped_revoke_is_not_cached_as_live() {
    let mut made = 0;
    for then in [Then::DropAtOnce, Then::DropWhenWoken] {
        for polls in 0..12 {
            for _ in 0..10 {
                let dir = Dir::new();
                let store = dir.store().await;
                let cache = tower_api_key::store::CachedStore::new(store.clone());
                let key = issue(&store, full()).await.record;
                cache.find(key.digest()).await.unwrap();
                poll_and_drop(polls, then, cache.revoke(acme(), key.id())).await;
                cache.find(key.digest()).await.unwrap();
                settle(&store).await;
                let revoked = store.get(acme(), key.id()).await.unwrap().is_revoked();
                made += usize::from(revoked);
                let served = async || cache.find(key.digest()).await.unwrap().unwrap().is_revoked();
                let start = Instant::now();
                while served().await != revoked {
                    assert!(start.elapsed() < Duration::from_secs(1), "{then:?} after {polls} polls");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    }
    assert!(made > 20, "{made}");
}
