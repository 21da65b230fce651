//! A cache over a store that other processes change too.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use http::{Request, Response, StatusCode};
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::key::{KeyDigest, KeyId, OrganizationPolicy};
use tower_api_key::store::{CachedStore, InsertRules, KeyBackend, KeyUsage, Lookup, NewRecord};
use tower_api_key::{Access, ApiKeyLayer, KeyStore, NewKey};

use super::database::Database;
use crate::support::calls::{Reply, acme, any, full, issue};
use crate::support::manage::Manage;
use crate::support::request::request;

on_each_database! {
    policy_set_elsewhere_and_here_applies_here
    cache_warms_with_keys_used_last
    cold_crowd_of_valid_keys_is_served
}

/// Cases: 270.
async fn cache_warms_with_keys_used_last<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    let now = SystemTime::now();
    let mut digests = Vec::new();
    for number in 0..5 {
        let key = issue(&store, full()).await;
        store.record_usage(&[KeyUsage::new(key.record.id(), 1, now - number * Duration::from_secs(60))]).await.unwrap();
        digests.push(*key.record.digest());
    }
    issue(&store, full()).await;
    assert_eq!(store.recently_used(3).await.unwrap(), digests[..3]);
    assert_eq!(store.recently_used(100).await.unwrap(), digests);
    let cache = CachedStore::new(store);
    assert_eq!(cache.warm(4).await.unwrap(), 4);
    let remembered: Vec<_> = digests.iter().map(|digest| matches!(cache.try_find(digest), Lookup::Found(_))).collect();
    assert_eq!(remembered, [true, true, true, true, false]);
}

/// Cases: 265.
///
/// The deadline is long, so that a busy machine does not matter. A bound on the number of lookups that wait would reject some.
async fn cold_crowd_of_valid_keys_is_served<D: Database>() {
    const KEYS: u128 = 5_000;
    let database = D::new().await;
    let store = database.store().await;
    let record = |number: u128| {
        let digest = KeyDigest::hash(number.to_string().as_bytes());
        NewRecord::new(KeyId::from_u128(number), digest, acme().clone(), Access::Full)
    };
    let inserted = store.insert_many((0..KEYS).map(record).collect(), InsertRules::new()).await.unwrap();
    assert!(inserted.iter().all(Result::is_ok));
    let layer = ApiKeyLayer::new(CachedStore::new(store)).lookup_timeout(Duration::from_secs(60));
    let handler = service_fn(|_: Request<String>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    let mut crowd = JoinSet::new();
    for number in 0..KEYS {
        crowd.spawn(layer.layer(handler).oneshot(request(&number.to_string())));
    }
    let statuses = crowd.join_all().await.into_iter().map(|reply| reply.unwrap().status());
    assert_eq!(statuses.filter(|&status| status != StatusCode::OK).count(), 0);
}

/// Cases: 130.
/// Nothing is written here, and still no request is accepted by what a cache of this process knew before.
async fn policy_set_elsewhere_and_here_applies_here<D: Database>() {
    let database = D::new().await;
    let (store, elsewhere) = (database.store().await, database.store().await);
    let cache = CachedStore::builder(store.clone()).time_to_live(Duration::from_secs(600)).build();
    let (key, other) = (issue(&store, full()).await, NewKey::new("other", Access::Full).unwrap());
    let other = store.manage().issue(&"other".parse().unwrap(), other).await.unwrap();
    let accepted = Reply::accepted(&Access::Full);
    assert_eq!(any(&cache, &key).await, accepted);
    assert_eq!(any(&cache, &other).await, accepted);
    let disabled = OrganizationPolicy::default().with_disabled(true);
    elsewhere.set_organization_policy(acme(), disabled).await.unwrap();
    assert_eq!(any(&cache, &key).await, accepted, "not notified");
    store.set_organization_policy(acme(), disabled).await.unwrap();
    assert_eq!(any(&cache, &key).await, Reply::invalid());
    // The other organization is remembered: a change of its row goes unnoticed.
    database.edit(&other, "revoked_at = 5").await;
    assert_eq!(any(&cache, &other).await, accepted);
}
