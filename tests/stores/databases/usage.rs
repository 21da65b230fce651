//! Counts of requests.

use std::time::SystemTime;

use tower_api_key::manage::{ImportedKey, StoredCredential};
use tower_api_key::store::{KeyBackend, KeyUsage};
use tower_api_key::{Access, NewKey};

use super::database::Database;
use crate::support::manage::Manage;

/// Cases: 117.
///
/// One report is about many keys: a count at its end must not keep the others from being stored.
async fn count_at_its_end_stays_and_others_grow<D: Database>() {
    let (database, acme, now) = (D::new().await, "acme".parse().unwrap(), SystemTime::now());
    let store = database.store().await;
    let new = |name| NewKey::new(name, Access::Full).unwrap();
    let imported = ImportedKey::new(new("old"), StoredCredential::from_plaintext(b"old")).with_usage(now, u64::MAX);
    let old = store.manage().import(&acme, imported).await.unwrap();
    let other = store.manage().issue(&acme, new("other")).await.unwrap().record;
    let most = old.request_count();
    assert_eq!(most, i64::MAX.unsigned_abs());

    store.record_usage(&[old.id(), other.id()].map(|id| KeyUsage::new(id, 1, now))).await.unwrap();
    let mut counts = Vec::new();
    for id in [old.id(), other.id()] {
        counts.push(store.get(&acme, id).await.unwrap().request_count());
    }
    assert_eq!(counts, [most, 1]);
}

on_each_database! {
    count_at_its_end_stays_and_others_grow
}
