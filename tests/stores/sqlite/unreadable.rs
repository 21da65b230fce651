//! The owner of a row of which no record can be made can still list and revoke it.

use std::time::SystemTime;

use tower_api_key::key::KeyStatus;
use tower_api_key::scope::ScopeSet;
use tower_api_key::store::{BackendError, KeyBackend, KeyUpdate, ListKeys};
use tower_api_key::{Access, Scope};

use crate::support::calls::{Reply, acme, any, chain, full, issue};
use crate::support::log_lines::{logged, record_log};
use crate::support::sqlite::Dir;

/// Cases: 120.
#[tokio::test]
async fn unreadable_row_is_listed_and_can_be_revoked() {
    record_log();
    let dir = Dir::new();
    let store = dir.store().await;
    let (good, bad) = (issue(&store, full()).await, issue(&store, full()).await);
    let (good, id) = (good.record.id(), bad.record.id());
    let mut sql = dir.sql().await;
    let edit = "PRAGMA ignore_check_constraints = ON; UPDATE tower_api_key_keys SET replaced_by = 'none' WHERE id = ";
    sql.run(format!("{edit}'{id}'")).await.unwrap();

    assert_eq!(any(&store, &bad).await, Reply::unavailable());
    let error = chain(&store.get(acme(), id).await.unwrap_err());
    assert!(error.ends_with(&format!("replaced_by without revoked_at, of key {id}")), "{error}");

    // A page of one at a time, so that the cursor passes over it.
    let (mut seen, mut query) = (Vec::new(), ListKeys::new().with_limit(1));
    loop {
        let page = store.list(acme().into(), &query).await.unwrap();
        seen.extend(page.keys);
        let Some(next) = page.next else { break };
        query = query.with_after(next);
    }
    assert_eq!(seen.len(), 2);
    let listed = seen.iter().find(|key| key.id() == id).expect("it is listed");
    assert_eq!((listed.name(), listed.access()), ("full", &Access::scoped([])));
    assert_eq!(listed.status(SystemTime::now()), KeyStatus::Expired);
    assert!(seen.iter().any(|key| key.id() == good && key.access().is_full()));
    assert!(!logged(&id.to_string()).is_empty());

    assert!(store.revoke(acme(), id).await.unwrap().is_revoked());
    assert_eq!(any(&store, &bad).await, Reply::invalid());
}

/// Cases: 120.
#[tokio::test]
async fn unreadable_row_is_revoked_before_the_error() {
    let dir = Dir::new();
    let store = dir.store().await;
    let id = issue(&store, full()).await.record.id();
    let mut sql = dir.sql().await;
    sql.run(
        "PRAGMA ignore_check_constraints = ON; \
         INSERT INTO tower_api_key_organizations (organization, max_key_age, disabled) VALUES ('acme', -1, 0)",
    )
    .await
    .unwrap();
    let error = store.revoke(acme(), id).await.unwrap_err();
    assert!(chain(&error).contains("max_key_age"), "{}", chain(&error));
    assert_eq!(sql.int("SELECT count(*) FROM tower_api_key_keys WHERE revoked_at IS NOT NULL").await, 1);
}

/// Cases: 57.
#[tokio::test]
async fn narrowing_full_key_to_too_many_scopes_is_rejected() {
    let dir = Dir::new();
    let store = dir.store().await;
    let id = issue(&store, full()).await.record.id();
    let scopes =
        |number: usize| -> ScopeSet { (0..number).map(|n| Scope::new(format!("scope.{n}")).unwrap()).collect() };
    let update = async |number| store.update(acme(), id, KeyUpdate::new().with_scopes(scopes(number))).await;
    assert!(matches!(update(257).await, Err(BackendError::TooManyScopes)));
    assert!(store.get(acme(), id).await.unwrap().access().is_full());
    assert_eq!(update(256).await.unwrap().access(), &Access::Scoped(scopes(256)));
    assert_eq!(store.get(acme(), id).await.unwrap().access(), &Access::Scoped(scopes(256)));
}

/// Cases: 124.
#[tokio::test]
async fn rows_with_unreadable_ids_hide_no_older_keys() {
    let dir = Dir::new();
    let (store, mut sql) = (dir.store().await, dir.sql().await);
    let mut keys = Vec::new();
    for _ in 0..5 {
        keys.push(issue(&store, full()).await.record.id());
    }
    for (id, later) in [("x1", 10), ("x2", 10), ("x3", 20)] {
        sql.run(format!(
            "INSERT INTO tower_api_key_keys (id, digest, organization, name, hint, access, scopes, created_at) \
             SELECT '{id}', randomblob(32), organization, name, hint, access, scopes, created_at + {later} \
             FROM tower_api_key_keys WHERE id = '{}'",
            keys[0]
        ))
        .await
        .unwrap();
    }
    keys.sort_unstable();
    for limit in 1..=9 {
        let (mut seen, mut query) = (Vec::new(), ListKeys::new().with_limit(limit));
        loop {
            let page = store.list(acme().into(), &query).await.unwrap();
            seen.extend(page.keys.iter().map(|key| key.id()));
            let Some(next) = page.next else { break };
            query = query.with_after(next);
        }
        seen.sort_unstable();
        assert_eq!(seen, keys, "{limit}");
    }
}
