//! A read-only database.

use std::time::Duration;

use tower_api_key::key::OrganizationPolicy;
use tower_api_key::manage::ManageError;
use tower_api_key::store::{Expiry, KeyUpdate, PostgresStore};

use super::guarded::Guarded;
use crate::support::calls::{acme, chain, full, issue, scopes};
use crate::support::manage::Manage;
use crate::support::postgres::{Schema, with};

/// Cases: 103.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn read_only_database_serves_and_rejects_changes() {
    let schema = Schema::new().await;
    let owner = schema.store().await;
    let url = with(&schema.url(), "options[default_transaction_read_only]", "on");
    let store = PostgresStore::connect(&url).await.unwrap();
    store.check_schema().await.unwrap();
    let service = Guarded::new(&store, &owner).await;
    service.serves().await;

    let id = issue(&owner, full()).await.record.id();
    let rows = "SELECT k::text FROM tower_api_key_keys k ORDER BY 1";
    let before = schema.sql().await.texts(rows).await;
    let (keys, narrower) = (store.manage(), KeyUpdate::new().with_scopes(scopes(&["tasks.read"])));
    for (what, outcome) in [
        ("issue", keys.issue(acme(), full()).await.map(drop)),
        ("revoke", keys.revoke(acme(), id).await.map(drop)),
        ("regenerate", keys.regenerate(acme(), id, Expiry::Never).await.map(drop)),
        ("update", keys.update(acme(), id, narrower).await.map(drop)),
        (
            "set_organization_policy",
            keys.set_organization_policy(acme(), OrganizationPolicy::default().with_disabled(true)).await,
        ),
    ] {
        let error = outcome.expect_err(what);
        assert!(matches!(error, ManageError::Store(_)), "{what}: {error:?}");
        assert!(chain(&error).contains("in a read-only transaction"), "{what}: {}", chain(&error));
    }
    store.migrate().await.expect("there is nothing to do");
    assert_eq!(schema.sql().await.texts(rows).await, before);
    service.recovers_within(Duration::from_secs(1), "read only").await;
}
