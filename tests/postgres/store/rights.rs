//! The rights that the service's own role needs.

use tower_api_key::Access;
use tower_api_key::key::{KeyStatus, OrganizationPolicy};
use tower_api_key::store::{Expiry, KeyBackend, KeyUpdate, ListKeys, PostgresStore, SchemaError, SqlError};

use super::owned::Role;
use crate::support::calls::{Reply, acme, any, chain, full, issue, scoped, scopes};
use crate::support::manage::Manage;
use crate::support::postgres::{Schema, with};

/// Returns a role that may use the tables of this schema, and create nothing.
async fn service_role(schema: &Schema) -> Role {
    let role = Role::new().await;
    let grant = format!(
        "GRANT USAGE ON SCHEMA {schema} TO {role}; \
         GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {schema} TO {role}",
        schema = schema.name(),
        role = role.name()
    );
    schema.sql().await.run(grant).await.unwrap();
    role
}

#[tokio::test]
#[ignore = "needs Postgres"]
async fn role_without_create_can_do_all_but_migrate() {
    let schema = Schema::new().await;
    schema.store().await;
    let role = service_role(&schema).await;

    let store = PostgresStore::connect(&role.at(&schema.url())).await.unwrap();
    store.check_schema().await.unwrap();
    let (one, two) = (issue(&store, full()).await, issue(&store, scoped(&["datasets.read", "tasks.read"])).await);
    assert_eq!(any(&store, &one).await, Reply::accepted(&Access::Full));
    assert_eq!(store.get(acme(), one.record.id()).await.unwrap().name(), "full");
    let new = store.manage().regenerate(acme(), one.record.id(), Expiry::SameLifetime).await.unwrap();
    assert_eq!(any(&store, &one).await, Reply::invalid());
    assert_eq!(any(&store, &new).await, Reply::accepted(&Access::Full));
    store.update(acme(), two.record.id(), KeyUpdate::new().with_scopes(scopes(&["tasks.read"]))).await.unwrap();
    assert_eq!(any(&store, &two).await, Reply::accepted(&Access::Scoped(scopes(&["tasks.read"]))));
    store.revoke(acme(), two.record.id()).await.unwrap();
    assert_eq!(any(&store, &two).await, Reply::invalid());
    for _ in 0..2 {
        store.set_organization_policy(acme(), OrganizationPolicy::default().with_disabled(true)).await.unwrap();
        assert!(store.organization_policy(acme()).await.unwrap().is_disabled());
        assert_eq!(any(&store, &new).await, Reply::invalid());
        store.set_organization_policy(acme(), OrganizationPolicy::default()).await.unwrap();
        assert_eq!(any(&store, &new).await, Reply::accepted(&Access::Full));
    }
    let revoked = ListKeys::new().with_status(KeyStatus::Revoked);
    assert_eq!(store.list(acme().into(), &revoked).await.unwrap().keys.len(), 2);
}

#[tokio::test]
#[ignore = "needs Postgres"]
async fn migrating_without_create_right_is_a_clear_error() {
    let (present, empty) = (Schema::new().await, Schema::new().await);
    present.store().await;
    let role = service_role(&present).await;
    let store = PostgresStore::connect(&role.at(&present.url())).await.unwrap();
    store.migrate().await.expect("there is nothing to do");
    {
        let schema = &empty;
        let role = service_role(schema).await;
        let store = PostgresStore::connect(&role.at(&schema.url())).await.unwrap();
        let error = store.migrate().await.unwrap_err();
        assert!(matches!(error, SchemaError::Sql(SqlError::Database(_))), "{error:?}");
        let text = chain(&error);
        assert!(text.contains(&format!("permission denied for schema {}", schema.name())), "{text}");
        assert!(!text.contains(&format!(":{}@", role.name())), "{text}");
    }
}

/// Cases: 103.
/// The error of a role that may not read the tables names the missing right.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn role_without_rights_gets_503_with_cause() {
    let schema = Schema::new().await;
    let key = issue(&schema.store().await, full()).await;
    let role = Role::new().await;
    let usage = format!("GRANT USAGE ON SCHEMA {} TO {}", schema.name(), role.name());
    schema.sql().await.run(usage).await.unwrap();
    let store = PostgresStore::connect(&role.at(&schema.url())).await.unwrap();
    let error = store.check_schema().await.unwrap_err();
    assert!(matches!(error, SchemaError::Sql(_)), "{error:?}");
    assert!(chain(&error).contains("permission denied for table tower_api_key_migrations"), "{}", chain(&error));
    assert_eq!(any(&store, &key).await, Reply::unavailable());
    let error = store.revoke(acme(), key.record.id()).await.unwrap_err();
    assert!(chain(&error).contains("permission denied for table"), "{}", chain(&error));
}

/// Cases: 103.
/// A role for a service that looks keys up and changes nothing.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn read_only_role_serves_and_changes_nothing() {
    let schema = Schema::new().await;
    let owner = schema.store().await;
    let key = issue(&owner, full()).await;
    let role = Role::new().await;
    let grant = format!(
        "GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
        schema = schema.name(),
        role = role.name()
    );
    schema.sql().await.run(grant).await.unwrap();
    let reader = PostgresStore::connect(&role.at(&schema.url())).await.unwrap();
    reader.check_schema().await.unwrap();
    assert_eq!(any(&reader, &key).await, Reply::accepted(&Access::Full));
    let id = key.record.id();
    let (keys, narrower) = (reader.manage(), KeyUpdate::new().with_scopes(scopes(&["tasks.read"])));
    for outcome in [
        keys.issue(acme(), full()).await.map(drop),
        keys.revoke(acme(), id).await.map(drop),
        keys.regenerate(acme(), id, Expiry::Never).await.map(drop),
        keys.update(acme(), id, narrower).await.map(drop),
        keys.set_organization_policy(acme(), OrganizationPolicy::default().with_disabled(true)).await,
    ] {
        let error = outcome.unwrap_err();
        assert!(chain(&error).contains("permission denied for table"), "{}", chain(&error));
    }
    assert_eq!(any(&reader, &key).await, Reply::accepted(&Access::Full));
    owner.revoke(acme(), id).await.unwrap();
    assert_eq!(any(&reader, &key).await, Reply::invalid());
}

/// The tables are created and found in the first schema of the search path.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn two_schemas_keep_their_keys_apart() {
    let (one, other) = (Schema::new().await, Schema::new().await);
    let (first, second) = (one.store().await, other.store().await);
    let key = issue(&first, full()).await;
    assert_eq!(any(&first, &key).await, Reply::accepted(&Access::Full));
    assert_eq!(any(&second, &key).await, Reply::invalid());
    let path = format!("{},{}", other.name(), one.name());
    let third = PostgresStore::connect(&with(&other.url(), "options[search_path]", &path)).await.unwrap();
    assert_eq!(any(&third, &key).await, Reply::invalid());
}
