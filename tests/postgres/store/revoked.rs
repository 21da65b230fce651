//! A revoked key stays revoked, for every writer and for writers at once.

use tower_api_key::Access;
use tower_api_key::manage::ManageError;
use tower_api_key::store::{Expiry, KeyBackend, KeyUpdate};

use crate::support::calls::{Reply, acme, any, full, issue, scoped, scopes};
use crate::support::manage::Manage;
use crate::support::postgres::Schema;

/// Cases: 77.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn revoked_key_cannot_be_restored_by_update() {
    let schema = Schema::new().await;
    let store = schema.store().await;
    let (revoked, replaced, live) =
        (issue(&store, full()).await, issue(&store, full()).await, issue(&store, full()).await);
    store.revoke(acme(), revoked.record.id()).await.unwrap();
    store.manage().regenerate(acme(), replaced.record.id(), Expiry::Never).await.unwrap();
    let mut sql = schema.sql().await;
    let before = sql.texts("SELECT k::text FROM tower_api_key_keys k ORDER BY 1").await;

    let dead = format!("id IN ('{}', '{}')", revoked.record.id(), replaced.record.id());
    for attempt in [
        format!("UPDATE tower_api_key_keys SET revoked_at = NULL, replaced_by = NULL WHERE {dead}"),
        format!("UPDATE tower_api_key_keys SET revoked_at = revoked_at + 1000000000 WHERE {dead}"),
        format!("UPDATE tower_api_key_keys SET revoked_at = 0 WHERE {dead}"),
        "UPDATE tower_api_key_keys SET revoked_at = NULL, replaced_by = NULL".into(),
        format!(
            "INSERT INTO tower_api_key_keys \
             (id, digest, organization, name, hint, access, scopes, created_at, expires_at, revoked_at, replaced_by) \
             SELECT id, digest, organization, name, hint, access, scopes, created_at, \
             expires_at, NULL::bigint, NULL::text FROM tower_api_key_keys WHERE {dead} \
             ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at, replaced_by = NULL"
        ),
        format!(
            "MERGE INTO tower_api_key_keys k USING (SELECT 1) x ON k.{dead} \
             WHEN MATCHED THEN UPDATE SET revoked_at = NULL, replaced_by = NULL"
        ),
    ] {
        let error = sql.run(attempt.as_str()).await.unwrap_err();
        assert!(error.to_string().contains("a revoked key stays revoked"), "{attempt}: {error}");
    }
    let error = sql.run(format!("UPDATE tower_api_key_keys SET replaced_by = 'x' WHERE id = '{}'", live.record.id()));
    assert!(error.await.unwrap_err().to_string().contains("check constraint"));

    assert_eq!(sql.texts("SELECT k::text FROM tower_api_key_keys k ORDER BY 1").await, before);
    assert_eq!(any(&store, &revoked).await, Reply::invalid());
    assert_eq!(any(&store, &replaced).await, Reply::invalid());
    // Other columns may still be corrected.
    sql.run(format!("UPDATE tower_api_key_keys SET name = 'renamed' WHERE {dead}")).await.unwrap();
    assert_eq!(store.get(acme(), revoked.record.id()).await.unwrap().name(), "renamed");
}

/// Cases: 77.
/// Each change waits for the row, and finds it revoked.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn change_waiting_for_revoke_does_not_undo_it() {
    let schema = Schema::new().await;
    let store = schema.store().await;
    for attempt in 0..20 {
        let key = issue(&store, scoped(&["datasets.read", "tasks.read"])).await;
        let id = key.record.id();
        let mut other = schema.sql().await;
        other.run(format!("BEGIN; UPDATE tower_api_key_keys SET revoked_at = 5 WHERE id = '{id}'")).await.unwrap();
        let waiting = tokio::spawn({
            let keys = store.manage();
            async move {
                if attempt % 2 == 0 {
                    keys.regenerate(acme(), id, Expiry::Never).await.map(drop)
                } else {
                    keys.update(acme(), id, KeyUpdate::new().with_scopes(scopes(&["tasks.read"]))).await.map(drop)
                }
            }
        });
        let blocked = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{}' AND wait_event_type = 'Lock'",
            schema.name()
        );
        let mut sql = schema.sql().await;
        while sql.int(blocked.as_str()).await == 0 {
            tokio::task::yield_now().await;
        }
        other.run("COMMIT").await.unwrap();
        assert!(matches!(waiting.await.unwrap(), Err(ManageError::Conflict)));
        let record = store.get(acme(), id).await.unwrap();
        assert!(record.is_revoked() && record.replaced_by().is_none());
        assert_eq!(record.access(), &Access::Scoped(scopes(&["datasets.read", "tasks.read"])));
    }
}
