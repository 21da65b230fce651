//! Times are the database's. Its clock is a function, which a schema that comes first in the search path can replace.

use std::time::{Duration, SystemTime};

use tower_api_key::key::{KeyStatus, OrganizationPolicy};
use tower_api_key::store::{Expiry, KeyBackend, ListKeys, PostgresStore};
use tower_api_key::{Access, ApiKeyLayer, NewKey};

use crate::support::calls::{Reply, acme, any, call, full, issue};
use crate::support::manage::Manage;
use crate::support::postgres::{Schema, with};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Returns a store whose database has this time.
async fn store_at(schema: &Schema, seconds: u64) -> PostgresStore {
    schema.store().await;
    let clock = |name| {
        format!(
            "CREATE OR REPLACE FUNCTION {name}() RETURNS timestamptz LANGUAGE sql VOLATILE \
             AS 'SELECT pg_catalog.to_timestamp({seconds} + 0.999)';"
        )
    };
    let clocks = ["clock_timestamp", "statement_timestamp", "transaction_timestamp", "now"].map(clock);
    schema.sql().await.run(clocks.concat()).await.unwrap();
    let path = format!("{},pg_catalog", schema.name());
    PostgresStore::connect(&with(&schema.url(), "options[search_path]", &path)).await.unwrap()
}

/// Cases: 209.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn changes_write_the_database_time() {
    let schema = Schema::new().await;
    let store = store_at(&schema, 1_000_000_000).await;
    let key = issue(&store, full().with_expires_at(at(1_000_000_600))).await;
    assert_eq!(key.record.created_at(), at(1_000_000_000));

    let store = store_at(&schema, 1_000_000_100).await;
    let new = store.manage().regenerate(acme(), key.record.id(), Expiry::SameLifetime).await.unwrap();
    assert_eq!(new.record.created_at(), at(1_000_000_100));
    assert_eq!(new.record.expires_at(), Some(at(1_000_000_700)));
    let old = store.get(acme(), key.record.id()).await.unwrap();
    assert_eq!(old.revoked_at(), Some(at(1_000_000_100)));

    let store = store_at(&schema, 1_000_000_200).await;
    let revoked = store.revoke(acme(), new.record.id()).await.unwrap();
    assert_eq!(revoked.revoked_at(), Some(at(1_000_000_200)));
    let store = store_at(&schema, 1_000_000_300).await;
    let again = store.revoke(acme(), new.record.id()).await.unwrap();
    assert_eq!(again.revoked_at(), Some(at(1_000_000_200)), "the first revoke counts");
}

/// Cases: 71, 209.
/// Lists use the database's clock, requests the layer's.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn list_by_status_uses_the_database_clock() {
    let schema = Schema::new().await;
    let store = store_at(&schema, 1_000_000_000).await;
    let own = issue(&store, full().with_expires_at(at(1_000_000_060))).await;
    let aged = issue(&store, NewKey::new("aged", Access::Full).unwrap()).await;
    for (now, own_is, aged_is) in [
        (1_000_000_059, KeyStatus::Active, KeyStatus::Active),
        (1_000_000_060, KeyStatus::Expired, KeyStatus::Active),
        (1_000_000_099, KeyStatus::Expired, KeyStatus::Active),
        (1_000_000_100, KeyStatus::Expired, KeyStatus::Expired),
    ] {
        let store = store_at(&schema, now).await;
        let policy = OrganizationPolicy::default().with_max_key_age(Duration::from_secs(100));
        store.set_organization_policy(acme(), policy).await.unwrap();
        for status in [KeyStatus::Active, KeyStatus::Expired, KeyStatus::Revoked] {
            let page = store.list(acme().into(), &ListKeys::new().with_status(status)).await.unwrap();
            let listed = |id| page.keys.iter().any(|key| key.id() == id);
            assert_eq!(listed(own.record.id()), own_is == status, "{now} {status}");
            assert_eq!(listed(aged.record.id()), aged_is == status, "{now} {status}");
        }
        let layer = ApiKeyLayer::new(store.clone()).clock(move || at(now));
        for (key, is) in [(&own, own_is), (&aged, aged_is)] {
            let expected = if is == KeyStatus::Active { Reply::accepted(&Access::Full) } else { Reply::expired() };
            assert_eq!(call(&layer, key.secret.expose_secret()).await, expected, "{now}");
        }
    }
}

/// Cases: 76, 83.
/// A policy that one process sets applies to the next request in another one.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn policy_applies_at_once_in_every_process() {
    let schema = Schema::new().await;
    let (here, there) = (schema.store().await, schema.store().await);
    let key = issue(&here, full()).await;
    let other = here.manage().issue(&"globex".parse().unwrap(), full()).await.unwrap();
    assert_eq!(any(&there, &key).await, Reply::accepted(&Access::Full));

    let acme = acme();
    let set = |policy| here.set_organization_policy(acme, policy);
    let nothing = OrganizationPolicy::default();
    set(nothing.with_disabled(true)).await.unwrap();
    assert_eq!(any(&there, &key).await, Reply::invalid());
    set(nothing.with_max_key_age(Duration::ZERO)).await.unwrap();
    assert_eq!(any(&there, &key).await, Reply::expired());
    set(nothing.with_max_key_age(Duration::MAX)).await.unwrap();
    assert_eq!(any(&there, &key).await, Reply::accepted(&Access::Full));
    assert_eq!(there.list(acme.into(), &ListKeys::new().with_status(KeyStatus::Active)).await.unwrap().keys.len(), 1);
    assert_eq!(any(&there, &other).await, Reply::accepted(&Access::Full));
}
