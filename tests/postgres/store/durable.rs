//! A change is on the disk when the call returns, whatever the settings of the database, the role or the connection.

use tower_api_key::Access;
use tower_api_key::key::OrganizationPolicy;
use tower_api_key::store::{Expiry, KeyBackend, KeyUpdate, PostgresStore};

use super::owned::{Database, Role};
use crate::support::calls::{Reply, acme, any, full, issue, scoped, scopes};
use crate::support::manage::Manage;
use crate::support::postgres::{Schema, Sql, with};

/// Triggers that record how durable the transaction is: when a row changes, and once more when it commits.
const WITNESS: &str = "
CREATE TABLE witness (what text, level text);
CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO witness VALUES (TG_OP || ' ' || TG_NAME, current_setting('synchronous_commit'));
    RETURN NEW;
END
$$;
CREATE TRIGGER key_changes BEFORE INSERT OR UPDATE ON tower_api_key_keys FOR EACH ROW EXECUTE FUNCTION witness();
CREATE TRIGGER policy_changes BEFORE INSERT OR UPDATE ON tower_api_key_organizations
    FOR EACH ROW EXECUTE FUNCTION witness();
CREATE CONSTRAINT TRIGGER key_commits AFTER INSERT OR UPDATE ON tower_api_key_keys
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION witness();
CREATE CONSTRAINT TRIGGER policy_commits AFTER INSERT OR UPDATE ON tower_api_key_organizations
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION witness();
";

/// Each default, and the level of a change under it.
const LEVELS: [(&str, &str); 5] =
    [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply")];

/// Cases: 107.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn changes_are_durable_despite_role_setting() {
    for (default, expected) in LEVELS {
        let schema = Schema::new().await;
        schema.store().await;
        let mut sql = schema.sql().await;
        sql.run(WITNESS).await.unwrap();
        let role = Role::new().await;
        let setting = format!(
            "GRANT USAGE ON SCHEMA {schema} TO {role}; \
             GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {schema} TO {role}; \
             ALTER ROLE {role} SET synchronous_commit = {default}",
            schema = schema.name(),
            role = role.name()
        );
        sql.run(setting).await.unwrap();
        let store = PostgresStore::connect(&role.at(&schema.url())).await.unwrap();
        every_change_is(&store, &mut sql, default, expected).await;
    }
}

/// Cases: 107.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn changes_are_durable_despite_database_setting() {
    let database = Database::new().await;
    PostgresStore::connect(&database.url()).await.unwrap().migrate().await.unwrap();
    let mut sql = Sql::connect(&database.url()).await;
    sql.run(WITNESS).await.unwrap();
    for (default, expected) in LEVELS {
        sql.run(format!("ALTER DATABASE {} SET synchronous_commit = {default}", database.name())).await.unwrap();
        let store = PostgresStore::connect(&database.url()).await.unwrap();
        every_change_is(&store, &mut sql, default, expected).await;
    }
}

/// Cases: 107.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn changes_are_durable_despite_connection_setting() {
    let schema = Schema::new().await;
    schema.store().await;
    let mut sql = schema.sql().await;
    sql.run(WITNESS).await.unwrap();
    for (default, expected) in LEVELS {
        let url = with(&schema.url(), "options[synchronous_commit]", default);
        every_change_is(&PostgresStore::connect(&url).await.unwrap(), &mut sql, default, expected).await;
    }
}

async fn every_change_is(store: &PostgresStore, sql: &mut Sql, default: &str, expected: &str) {
    let level = "SELECT current_setting('synchronous_commit')";
    let session: String = sqlx::query_scalar(level).fetch_one(store.pool()).await.unwrap();
    assert_eq!(session, default, "the default does not apply to the session");

    let key = issue(store, scoped(&["datasets.read", "tasks.read"])).await;
    let id = key.record.id();
    let seen = ["INSERT key_changes", "INSERT key_commits"];
    assert_eq!(witnessed(sql).await, seen.map(|what| format!("{what} {expected}")));

    store.manage().update(acme(), id, KeyUpdate::new().with_scopes(scopes(&["tasks.read"]))).await.unwrap();
    assert_eq!(any(store, &key).await, Reply::accepted(&Access::Scoped(scopes(&["tasks.read"]))));
    let seen = ["UPDATE key_changes", "UPDATE key_commits"];
    assert_eq!(witnessed(sql).await, seen.map(|what| format!("{what} {expected}")));

    let new = store.manage().regenerate(acme(), id, Expiry::Never).await.unwrap();
    let seen = ["INSERT key_changes", "INSERT key_commits", "UPDATE key_changes", "UPDATE key_commits"];
    assert_eq!(witnessed(sql).await, seen.map(|what| format!("{what} {expected}")));

    store.revoke(acme(), new.record.id()).await.unwrap();
    let seen = ["UPDATE key_changes", "UPDATE key_commits"];
    assert_eq!(witnessed(sql).await, seen.map(|what| format!("{what} {expected}")));

    sql.run("DELETE FROM tower_api_key_organizations").await.unwrap();
    store.set_organization_policy(acme(), OrganizationPolicy::default().with_disabled(true)).await.unwrap();
    store.set_organization_policy(acme(), OrganizationPolicy::default()).await.unwrap();
    // An insert that becomes an update runs the triggers of both.
    let policies = witnessed(sql).await;
    assert!(policies.len() >= 4 && policies.iter().all(|line| line.ends_with(&format!(" {expected}"))), "{policies:?}");

    // The connections are returned to the pool as they were.
    let session: String = sqlx::query_scalar(level).fetch_one(store.pool()).await.unwrap();
    assert_eq!(session, default);
}

/// Returns what was recorded since the last call, sorted.
async fn witnessed(sql: &mut Sql) -> Vec<String> {
    let seen = sql.texts("SELECT what || ' ' || level FROM witness ORDER BY 1").await;
    sql.run("TRUNCATE witness").await.unwrap();
    seen
}

/// Cases: 95.
/// A change whose caller stopped waiting is not made, and the next change can begin.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn dropped_change_leaves_no_trace_and_no_lock() {
    let schema = Schema::new().await;
    let store = schema.store().await;
    let key = issue(&store, full()).await;
    let mut other = schema.sql().await;
    for _ in 0..20 {
        other.run("BEGIN; SELECT FROM tower_api_key_keys FOR UPDATE").await.unwrap();
        let waiting = tokio::spawn({
            let (store, id) = (store.clone(), key.record.id());
            async move { store.revoke(acme(), id).await }
        });
        let blocked = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{}' AND wait_event_type = 'Lock'",
            schema.name()
        );
        let mut sql = schema.sql().await;
        while sql.int(blocked.as_str()).await == 0 {
            tokio::task::yield_now().await;
        }
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        other.run("COMMIT").await.unwrap();
        assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
    }
    store.revoke(acme(), key.record.id()).await.unwrap();
    assert_eq!(any(&store, &key).await, Reply::invalid());
}
