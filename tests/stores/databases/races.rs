//! Changes of one key at the same time, over two pools.

use std::time::Duration;

use futures::future::join_all;
use tokio::task::JoinHandle;
use tower_api_key::Access;
use tower_api_key::key::KeyId;
use tower_api_key::manage::{IssuedKey, ManageError, RegenerateOptions};
use tower_api_key::store::{BackendError, Expiry, KeyBackend, KeyUpdate};

use super::database::Database;
use crate::support::calls::{Reply, acme, any, full, issue};
use crate::support::manage::Manage;

on_each_database! {
    one_of_hundred_regenerates_over_two_pools_wins
    revoke_and_regenerate_leave_no_live_old_key
    revoke_among_updates_is_final
    revoke_or_suspension_in_an_overlap_ends_old_key
}

const LIVE: &str = "SELECT count(*) FROM tower_api_key_keys WHERE revoked_at IS NULL";

/// Cases: 82.
async fn one_of_hundred_regenerates_over_two_pools_wins<D: Database>() {
    let database = D::new().await;
    let (one, other) = (database.store().await, database.store().await);
    for _ in 0..5 {
        let key = issue(&one, full()).await;
        let id = key.record.id();
        let outcomes = join_all((0..100).map(|n| regenerate(if n % 2 == 0 { &one } else { &other }, id))).await;
        let (mut won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert!(lost.iter().all(|outcome| matches!(outcome, Err(ManageError::Conflict))), "{lost:?}");
        assert_eq!((won.len(), lost.len()), (1, 99));
        assert_eq!(any(&other, &key).await, Reply::invalid());
        assert_eq!(database.int(LIVE).await, 1);

        let new = won.remove(0).unwrap();
        assert_eq!(one.get(acme(), id).await.unwrap().replaced_by(), Some(new.record.id()));
        assert_eq!(any(&other, &new).await, Reply::accepted(&Access::Full));
        other.revoke(acme(), new.record.id()).await.unwrap();
        assert_eq!(any(&one, &new).await, Reply::invalid());
    }
}

/// Cases: 82.
/// In either order, the old key is rejected, and there is a new one only if a regenerate has returned it.
async fn revoke_and_regenerate_leave_no_live_old_key<D: Database>() {
    let database = D::new().await;
    let (one, other) = (database.store().await, database.store().await);
    let (mut first, mut second) = (0, 0);
    for round in 0..200 {
        let key = issue(&one, full()).await;
        let id = key.record.id();
        let store = other.clone();
        let revoke = alongside(round, async move { store.revoke(acme(), id).await }).await;
        let regenerated = join_all((0..3).map(|_| regenerate(&one, id))).await;
        let revoked = revoke.await.unwrap().expect("a revoke does not fail because of a regenerate");
        assert_eq!(any(&one, &key).await, Reply::invalid());
        let (mut won, lost): (Vec<_>, Vec<_>) = regenerated.into_iter().partition(Result::is_ok);
        assert!(lost.iter().all(|outcome| matches!(outcome, Err(ManageError::Conflict))), "{lost:?}");
        let new = won.pop().map(Result::unwrap);
        assert!(won.is_empty(), "two new keys: {won:?}");
        assert_eq!(revoked.replaced_by(), new.as_ref().map(|new| new.record.id()));
        match new {
            Some(new) => {
                first += 1;
                assert_eq!(any(&other, &new).await, Reply::accepted(&Access::Full));
                assert_eq!(one.get(acme(), id).await.unwrap().replaced_by(), Some(new.record.id()));
                one.revoke(acme(), new.record.id()).await.unwrap();
            }
            None => second += 1,
        }
        assert_eq!(database.int(LIVE).await, 0);
    }
    println!("regenerate first: {first}, revoke first: {second}");
}

/// Cases: 82, 183, 200.
/// Each update has happened before the revoke, or it is a conflict. None takes the revoke back.
async fn revoke_among_updates_is_final<D: Database>() {
    let database = D::new().await;
    let (one, other) = (database.store().await, database.store().await);
    let (mut before, mut after) = (0, 0);
    for round in 0..200 {
        let key = issue(&one, full()).await;
        let id = key.record.id();
        let store = other.clone();
        let revoke = alongside(round, async move { store.revoke(acme(), id).await }).await;
        let updates = [
            KeyUpdate::new().with_suspended(true),
            KeyUpdate::new().with_name("renamed"),
            KeyUpdate::new().with_scopes([]),
            KeyUpdate::new().with_suspended(false),
        ];
        let updated = join_all(updates.map(|update| one.update(acme(), id, update))).await;
        let revoked = revoke.await.unwrap().expect("a revoke does not fail because of an update");
        for store in [&one, &other] {
            assert_eq!(any(store, &key).await, Reply::invalid());
        }
        for updated in updated {
            match updated {
                Ok(record) => {
                    before += 1;
                    assert!(!record.is_revoked());
                }
                Err(BackendError::Conflict) => after += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        let last = one.get(acme(), id).await.unwrap();
        assert_eq!((last.revoked_at(), last.name()), (revoked.revoked_at(), revoked.name()));
        assert_eq!((last.access(), last.is_suspended()), (revoked.access(), revoked.is_suspended()));
        let late = other.update(acme(), id, KeyUpdate::new().with_suspended(false)).await;
        assert!(matches!(late, Err(BackendError::Conflict)), "{late:?}");
    }
    println!("updates before the revoke: {before}, after it: {after}");
}

/// Cases: 82, 186, 200.
/// Whatever comes first, the old key is rejected afterwards, also within the overlap.
async fn revoke_or_suspension_in_an_overlap_ends_old_key<D: Database>() {
    let database = D::new().await;
    let (one, other) = (database.store().await, database.store().await);
    let (mut overlapped, mut conflicts) = (0, 0);
    for round in 0..200 {
        let key = issue(&one, full()).await;
        let id = key.record.id();
        let suspends = round % 2 == 0;
        let store = other.clone();
        let end = alongside(round / 2, async move {
            let suspend = KeyUpdate::new().with_suspended(true);
            if suspends { store.update(acme(), id, suspend).await } else { store.revoke(acme(), id).await }
        });
        let end = end.await;
        let options = RegenerateOptions::new().with_overlap(Duration::from_secs(60));
        let regenerated = one.manage().regenerate(acme(), id, options).await;
        end.await.unwrap().expect("it does not fail because of a regenerate");
        for store in [&one, &other] {
            assert_eq!(any(store, &key).await, Reply::invalid());
        }
        match regenerated {
            Ok(new) => {
                overlapped += 1;
                assert_eq!(any(&other, &new).await, Reply::accepted(&Access::Full));
            }
            Err(ManageError::Conflict) => conflicts += 1,
            Err(error) => panic!("{error:?}"),
        }
        let again = other.manage().regenerate(acme(), id, Expiry::Never).await;
        assert!(matches!(again, Err(ManageError::Conflict)), "{again:?}");
    }
    println!("regenerate first: {overlapped}, revoke or suspension first: {conflicts}");
}

/// Runs a change alongside what follows, and is now first and now second.
async fn alongside<T: Send + 'static>(round: usize, change: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    let running = tokio::spawn(change);
    for _ in 0..round % 8 {
        tokio::task::yield_now().await;
    }
    running
}

async fn regenerate(store: &impl Manage, id: KeyId) -> Result<IssuedKey, ManageError> {
    let store = store.clone();
    tokio::spawn(async move { store.manage().regenerate(acme(), id, Expiry::Never).await }).await.unwrap()
}
