//! Each statement of `docs/SQL.md`, with a running service and its cache in front of the tables.

use std::time::{Duration, Instant};

use tower_api_key::key::{KeyDigest, KeyId};
use tower_api_key::store::{CachedStore, InsertRules, KeyBackend, KeyUpdate, NewRecord};
use tower_api_key::{Access, ApiKeyLayer, KeyStore, Requirement};

use super::database::{Database, Store};
use crate::support::calls::{acme, call, full, issue};
use crate::support::manage::Manage;

on_each_database! {
    documented_statement_does_what_it_promises
    documented_columns_are_those_of_the_tables
    newer_restriction_is_503_in_running_processes
}

const DOCUMENT: &str = include_str!("../../../docs/SQL.md");

/// The two keys of the statements: one that works, and one that is suspended.
const KEYS: [(u128, &str); 2] = [(1, "working"), (2, "suspended")];

/// The line before each statement, and the statuses of both keys afterwards.
const PROMISES: [(&str, [u16; 2]); 13] = [
    ("Read the active keys of an organization that expire in January 2027:", [200, 401]),
    ("Revoke a key for good:", [401, 401]),
    ("Revoke all keys of an organization:", [401, 401]),
    ("Suspend a key:", [401, 401]),
    ("Resume it:", [200, 200]),
    ("Let a key expire:", [401, 401]),
    ("Limit a key to a network:", [403, 401]),
    ("Limit a key to scopes:", [403, 401]),
    ("Rename a key and note something about it:", [200, 401]),
    ("Delete a key, with its usage. Never delete an imported key by hand: it could be imported again.", [401, 401]),
    ("Disable an organization:", [401, 401]),
    ("Let the keys of an organization expire after 90 days:", [200, 401]),
    ("Read which active keys were never used:", [200, 401]),
];

/// The statements of the document, each with the line before it.
fn statements() -> Vec<(&'static str, &'static str)> {
    let blocks = DOCUMENT.split("```sql\n").collect::<Vec<_>>();
    let line_before = |text: &'static str| text.trim_end().rsplit("\n\n").next().unwrap().trim();
    let statement = |text: &'static str| text.split("```").next().unwrap();
    blocks.windows(2).map(|pair| (line_before(pair[0]), statement(pair[1]))).collect()
}

/// Cases: 195.
async fn documented_statement_does_what_it_promises<D: Database>() {
    let statements = statements();
    assert_eq!(statements.len(), PROMISES.len(), "every statement has a promise");
    for ((line, statement), (promise, statuses)) in statements.into_iter().zip(PROMISES) {
        assert!(promise.starts_with(line) || line.ends_with(promise), "{line} is not {promise}");
        let database = D::new().await;
        let store = database.store().await;
        for (id, text) in KEYS {
            let digest = KeyDigest::hash(text.as_bytes());
            let record = NewRecord::new(KeyId::from_u128(id), digest, acme().clone(), Access::Full);
            store.insert(record, InsertRules::new()).await.unwrap();
        }
        let suspend = KeyUpdate::new().with_suspended(true);
        store.update(acme(), KeyId::from_u128(2), suspend).await.unwrap();
        // Longer than the test: only the watch can forget an entry.
        let cache = CachedStore::builder(store.clone()).time_to_live(Duration::from_secs(600)).build();
        let watch = tokio::spawn(cache.watch());
        let layer = ApiKeyLayer::new(cache.clone()).require(Requirement::full_access());
        let asked = async || [call(&layer, KEYS[0].1).await.status, call(&layer, KEYS[1].1).await.status];
        assert_eq!(asked().await, [200, 401]);
        is_watching(&database, &cache).await;
        assert_eq!(asked().await, [200, 401]);

        for statement in statement.split_inclusive(";\n") {
            database.run(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while asked().await != statuses && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(asked().await, statuses, "{line}");
        let listed = store.manage().list(acme(), &Default::default()).await.unwrap().keys.len();
        assert_eq!(listed, if line.starts_with("Delete") { 1 } else { 2 }, "{line}");
        watch.abort();
    }
}

/// Waits until the cache follows the database: it forgets a key that is edited.
async fn is_watching<D: Database>(database: &D, cache: &CachedStore<D::Store>) {
    let digest = KeyDigest::hash(KEYS[1].1.as_bytes());
    let rename = |name: &str| {
        let id = KeyId::from_u128(2);
        format!("UPDATE tower_api_key_keys SET name = '{name}' WHERE id = '{id}'")
    };
    for attempt in 0..1000 {
        let name = format!("name {attempt}");
        database.run(rename(&name)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let found = cache.find(&digest).await.unwrap().unwrap();
        if found.name() == name {
            return;
        }
    }
    panic!("the watch does not begin");
}

/// Cases: 195.
async fn documented_columns_are_those_of_the_tables<D: Database>() {
    let database = D::new().await;
    database.store().await;
    for table in ["keys", "organizations", "usage"] {
        let section = DOCUMENT.split(&format!("## tower_api_key_{table}\n")).nth(1).expect("a section");
        let section = section.split("\n## ").next().unwrap();
        let is_here = |line: &&str| !line.contains("only in") || line.contains(D::ONLY_HERE);
        let name = |line: &'static str| line.strip_prefix("| `")?.split('`').next();
        let columns: Vec<_> = section.lines().filter(is_here).filter_map(name).collect();
        assert_eq!(database.columns(&format!("tower_api_key_{table}")).await, columns, "{table}");
    }
}

/// Cases: 196.
///
/// A newer version of the crate may have a reason to reject a key that this one does not know.
async fn newer_restriction_is_503_in_running_processes<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    let issued = issue(&store, full()).await;
    let layer = ApiKeyLayer::new(store.clone());
    let secret = issued.secret.expose_secret();
    assert_eq!(call(&layer, secret).await.status, 200);
    // The synthetic next version only adds: this program goes on.
    database.run("INSERT INTO tower_api_key_migrations VALUES (98, 1, 0)").await.unwrap();
    database.run("ALTER TABLE tower_api_key_keys ADD COLUMN added integer").await.unwrap();
    assert_eq!(call(&layer, secret).await.status, 200);
    database.run("INSERT INTO tower_api_key_migrations VALUES (99, 99, 0)").await.unwrap();
    assert_eq!(call(&layer, secret).await.status, 503);
    assert_eq!(call(&layer, "avk_unknown").await.status, 401);
    store.manage().issue(acme(), full()).await.expect_err("no change by rules that may be outdated");
    store.check_schema().await.expect_err("an older program");
    // The next version is rolled back.
    database.run("DELETE FROM tower_api_key_migrations WHERE version = 99").await.unwrap();
    assert_eq!(call(&layer, secret).await.status, 200);
}
