//! A cache over a store that other processes change too.

use std::time::Duration;

use tower_api_key::key::OrganizationPolicy;
use tower_api_key::store::{CachedStore, KeyBackend};
use tower_api_key::{Access, NewKey};

use super::database::Database;
use crate::support::calls::{Reply, acme, any, full, issue};
use crate::support::manage::Manage;

on_each_database! {
    policy_set_elsewhere_and_here_applies_here
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
