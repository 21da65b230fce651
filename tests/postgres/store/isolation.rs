//! A database whose default isolation is stricter than a change needs.

use sqlx::postgres::PgPoolOptions;
use tower_api_key::scope::avala;
use tower_api_key::store::{BackendError, KeyBackend, KeyUpdate, PostgresStore};

use crate::support::calls::{acme, issue, scoped};
use crate::support::postgres::Schema;

/// Cases: 127.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn changes_at_once_succeed_at_any_isolation() {
    let schema = Schema::new().await;
    schema.store().await;
    for level in ["read committed", "repeatable read", "serializable"] {
        let pool = PgPoolOptions::new().after_connect(move |connection, _| {
            Box::pin(async move {
                let set = format!("SET default_transaction_isolation = '{level}'");
                sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(connection).await.map(drop)
            })
        });
        let store = PostgresStore::from_pool(pool.connect(&schema.url()).await.unwrap());
        for _ in 0..20 {
            let key = issue(&store, scoped(&["tasks.read", "projects.read"])).await.record;
            let fewer = KeyUpdate::new().with_scopes([avala::TASKS_READ]);
            let (updated, revoked, again) = tokio::join!(
                store.update(acme(), key.id(), fewer),
                store.revoke(acme(), key.id()),
                store.revoke(acme(), key.id()),
            );
            let conflict = |error: &BackendError| matches!(error, BackendError::Conflict);
            assert!(updated.as_ref().err().is_none_or(conflict), "{level}: {updated:?}");
            assert!(revoked.unwrap().is_revoked() && again.unwrap().is_revoked(), "{level}");
        }
    }
}
