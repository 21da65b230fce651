use tower_api_key::store::{Expiry, KeyBackend, ListKeys, SqliteStore};

use super::processes;
use crate::support::calls::{acme, full, issue};
use crate::support::manage::Manage;
use crate::support::sqlite::Dir;

/// Cases: 119.
/// Two processes that start together: neither has made the file yet.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_create_one_file_at_once() {
    let (mut one, mut other) = (processes::start(), processes::start());
    for round in 0..200 {
        let dir = Dir::new();
        let connect = format!("connect {}", dir.url());
        let answers = tokio::join!(one.ask(&connect), other.ask(&connect));
        assert_eq!((answers.0.as_str(), answers.1.as_str()), ("ok", "ok"), "round {round}");
    }
}

/// Cases: 119.
#[tokio::test]
async fn connecting_and_working_change_no_schema() {
    let dir = Dir::new();
    dir.store().await;
    let mut sql = dir.sql().await;
    let before = sql.int("PRAGMA schema_version").await;
    let store = SqliteStore::connect(&dir.url()).await.unwrap();
    store.check_schema().await.unwrap();
    let issued = issue(&store, full()).await;
    store.manage().regenerate(acme(), issued.record.id(), Expiry::Never).await.unwrap();
    store.set_organization_policy(acme(), Default::default()).await.unwrap();
    store.list(acme().into(), &ListKeys::new()).await.unwrap();
    assert_eq!(sql.int("PRAGMA schema_version").await, before);
}
