//! Many lookups at once, which are fewer statements.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tower_api_key::KeyStore;
use tower_api_key::key::{KeyDigest, KeyId};

use super::database::Database;
use crate::support::calls::{full, issue};

on_each_database! {
    lookups_at_once_get_their_own_answers
    lookups_given_up_leave_the_others
}

/// 20 keys, and for each a digest that no key has.
async fn digests<D: Database>(store: &D::Store) -> Vec<(KeyDigest, Option<KeyId>)> {
    let mut digests = Vec::new();
    for number in 0..20_u8 {
        let key = issue(store, full()).await;
        digests.push((*key.record.digest(), Some(key.record.id())));
        digests.push((KeyDigest::hash(&[number]), None));
    }
    digests
}

async fn found(store: &impl KeyStore, digest: &KeyDigest) -> Option<KeyId> {
    store.find(digest).await.ok().expect("an answer").map(|record| record.id())
}

async fn lookups_at_once_get_their_own_answers<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    let digests = Arc::new(digests::<D>(&store).await);
    let tasks = (0..64_usize).map(|task| {
        let (store, digests) = (store.clone(), Arc::clone(&digests));
        tokio::spawn(async move {
            for round in 0..25 {
                // Several tasks ask for the same digest at once.
                let (digest, expected) = digests[(task / 2 + round * 7) % digests.len()];
                assert_eq!(found(&store, &digest).await, expected);
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(|done| done.unwrap());
}

async fn lookups_given_up_leave_the_others<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    let digests = Arc::new(digests::<D>(&store).await);
    let tasks = (0..64_usize).map(|task| {
        let (store, digests) = (store.clone(), Arc::clone(&digests));
        tokio::spawn(async move {
            for round in 0..25 {
                let (digest, expected) = digests[(task + round) % digests.len()];
                if task % 2 == 0 {
                    // Now and then before the statement is sent, while it is under way, and after its end.
                    let patience = Duration::from_micros((task * round % 40 * 25) as u64);
                    let _ = tokio::time::timeout(patience, found(&store, &digest)).await;
                } else {
                    assert_eq!(found(&store, &digest).await, expected);
                }
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(|done| done.unwrap());
    // Nothing is left that a later lookup would wait for.
    let (digest, expected) = digests[0];
    let again = tokio::time::timeout(Duration::from_secs(5), found(&store, &digest)).await;
    assert_eq!(again, Ok(expected));
}
