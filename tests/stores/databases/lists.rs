//! Lists: every key once, with the status that requests see.

use tower_api_key::key::KeyStatus;
use tower_api_key::store::{KeyBackend, ListKeys};

use super::database::Database;
use crate::support::calls::{acme, any, full, issue};

on_each_database! {
    keys_with_extreme_times_are_listed_as_decided
    pages_contain_each_key_once
}

/// Cases: 75.
/// Whatever the times, lists and requests agree on the state of each key, and every key is on some page.
async fn keys_with_extreme_times_are_listed_as_decided<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    let times = ["-9223372036854775807 - 1", "-1", "0", D::NOW, "9223372036854775806", "9223372036854775807"];
    let mut keys = Vec::new();
    for created in times {
        for expires in times.into_iter().chain(["NULL"]) {
            let key = issue(&store, full()).await;
            let id = key.record.id();
            let set = format!("created_at = {created}, expires_at = {expires}");
            database.run(format!("UPDATE tower_api_key_keys SET {set} WHERE id = '{id}'")).await.unwrap();
            keys.push(key);
        }
    }
    for age in ["NULL", "0", "1000", "9223372036854775807"] {
        let policy = format!(
            "DELETE FROM tower_api_key_organizations; INSERT INTO tower_api_key_organizations VALUES ('acme', {age}, 0)"
        );
        database.run(policy).await.unwrap();
        let mut listed = Vec::new();
        for (status, expected) in [(KeyStatus::Active, 200), (KeyStatus::Expired, 401), (KeyStatus::Revoked, 0)] {
            let mut query = ListKeys::new().with_status(status).with_limit(5);
            loop {
                let page = store.list(acme().into(), &query).await.unwrap();
                for record in page.keys {
                    let key = keys.iter().find(|key| key.record.id() == record.id()).unwrap();
                    assert_eq!(any(&store, key).await.status, expected, "{age}, {record:?}");
                    listed.push(record.id());
                }
                let Some(next) = page.next else { break };
                query = query.with_after(next);
            }
        }
        listed.sort_unstable();
        listed.dedup();
        assert_eq!(listed.len(), keys.len());
    }
}

/// Cases: 206.
/// Many keys of one second, in pages: each once, in one order.
async fn pages_contain_each_key_once<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    for _ in 0..137 {
        issue(&store, full()).await;
    }
    let spread = "UPDATE tower_api_key_keys SET created_at = created_at - CASE WHEN substr(id, 36) < '5' THEN 2 \
        WHEN substr(id, 36) < 'a' THEN 1 ELSE 0 END";
    database.run(spread).await.unwrap();
    let whole = store.list(acme().into(), &ListKeys::new().with_limit(1000)).await.unwrap();
    assert!(whole.keys.len() == 137 && whole.next.is_none());
    assert!(whole.keys.windows(2).all(|pair| {
        (pair[1].created_at(), pair[1].id().to_string()) < (pair[0].created_at(), pair[0].id().to_string())
    }));
    for limit in [1, 2, 50, 136, 137, 138] {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = store.list(acme().into(), &ListKeys::new().with_limit(limit).with_after(after)).await.unwrap();
            assert!(page.keys.len() <= limit);
            pages.extend(page.keys.iter().map(|key| key.id()));
            after = page.next.map(|cursor| cursor.to_string().parse().unwrap());
            if after.is_none() {
                break;
            }
        }
        assert_eq!(pages, whole.keys.iter().map(|key| key.id()).collect::<Vec<_>>(), "in pages of {limit}");
    }
}
