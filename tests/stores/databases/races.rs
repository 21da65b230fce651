//! Changes of one key at the same time, over two pools.

use futures::future::join_all;
use tower_api_key::Access;
use tower_api_key::key::KeyId;
use tower_api_key::manage::{IssuedKey, ManageError};
use tower_api_key::store::{Expiry, KeyBackend};

use super::database::Database;
use crate::support::calls::{Reply, acme, any, full, issue};
use crate::support::manage::Manage;

on_each_database! {
    one_of_hundred_regenerates_over_two_pools_wins
    revoke_and_regenerate_leave_no_live_old_key
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
        let revoke = tokio::spawn({
            let other = other.clone();
            async move { other.revoke(acme(), id).await }
        });
        // So that either is first now and then.
        for _ in 0..round % 8 {
            tokio::task::yield_now().await;
        }
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

async fn regenerate(store: &impl Manage, id: KeyId) -> Result<IssuedKey, ManageError> {
    let store = store.clone();
    tokio::spawn(async move { store.manage().regenerate(acme(), id, Expiry::Never).await }).await.unwrap()
}
