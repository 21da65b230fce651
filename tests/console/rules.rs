//! The rules and hooks of the manager hold for the console too.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tower_api_key::key::{Environment, KeyFormat};
use tower_api_key::manage::IssueRules;
use tower_api_key::scope::{ScopeAliases, ScopeCatalog};
use tower_api_key::store::CachedStore;
use tower_api_key::{KeyManager, MemoryStore, Scope};

use super::client::{Client, axum_server, console, keys, text};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const READ: Scope = Scope::from_static("read");
const WRITE: Scope = Scope::from_static("write");

async fn with(rules: IssueRules) -> (crate::support::server::Server, KeyManager<MemoryStore>) {
    let keys = keys().with_rules(rules);
    (axum_server(console(&keys).api()).await, keys)
}

/// Cases: 235.
#[tokio::test]
async fn rules_of_the_manager_reject_by_field() {
    let test = KeyFormat::new("avk_test_").unwrap().with_environment(Environment::from_static("test"));
    let live = KeyFormat::AVALA.with_environment(Environment::from_static("live"));
    let rules = IssueRules::new()
        .with_catalog(ScopeCatalog::new([READ, WRITE]))
        .with_grantable_scopes([READ])
        .with_scope_aliases(ScopeAliases::new([(Scope::from_static("view"), READ)]))
        .with_formats([live, test])
        .with_longest_lifetime(30 * DAY)
        .with_max_active_keys(2);
    let (server, _keys) = with(rules).await;
    let ada = Client::of(&server, "acme/ada@example.com");
    let in_a_day = jiff::Timestamp::try_from(std::time::SystemTime::now() + DAY).unwrap().to_string();
    let key = |change: Value| {
        let mut body = json!({"name": "x", "scopes": ["read"], "expires_at": in_a_day});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    for (change, field, message) in [
        (json!({"scopes": ["fly"]}), "scopes", "Not a scope of this API."),
        (json!({"scopes": ["write"]}), "scopes", "A scope is not granted to new keys."),
        (json!({"scopes": null, "full_access": true}), "full_access", "Full access is not granted to new keys."),
        (json!({"expires_at": "2099-01-01T00:00:00Z"}), "expires_at", "A key may not live this long."),
        (json!({"environment": "prod"}), "environment", "Expected one of: live, test."),
    ] {
        let detail = ada.post("/", &key(change)).await.expect(400)["detail"].clone();
        assert_eq!(detail, json!({field: [message]}));
    }
    let test = ada.post("/", &key(json!({"environment": "test", "scopes": ["view"]}))).await.expect(201);
    assert!(text(&test["api_key"]).starts_with("avk_test_"));
    assert_eq!((&test["environment"], &test["scopes"]), (&json!("test"), &json!(["read"])));
    let detail = ada.patch(&format!("/{}/", text(&test["uid"])), &json!({"scopes": ["fly"]})).await.expect(400);
    assert_eq!(detail["detail"], json!({"scopes": ["Not a scope of this API."]}));
    ada.post("/", &key(json!({}))).await.expect(201);
    let full = ada.post("/", &key(json!({}))).await;
    assert_eq!(full.expect(409)["detail"], "There are as many active keys as there may be. Revoke one first.");
}

#[tokio::test]
async fn required_expiry_is_asked_for() {
    let (server, _keys) = with(IssueRules::new().with_expiry_required()).await;
    let ada = Client::of(&server, "acme/ada@example.com");
    let detail = ada.post("/", &json!({"name": "x", "full_access": true})).await.expect(400)["detail"].clone();
    assert_eq!(detail, json!({"expires_at": ["A key must expire."]}));
}

/// Cases: 231.
#[tokio::test]
async fn change_is_reported_once_with_its_actor() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let keys = KeyManager::new(CachedStore::new(MemoryStore::new())).on_change(move |event| {
        let (actor, outcome) = (event.actor().unwrap_or("-"), event.outcome().code());
        seen.lock().unwrap().push(format!("{} {outcome} by {actor}", event.change().code()));
    });
    let server = axum_server(tower_api_key::console::Console::new(keys).api()).await;
    let ada = Client::of(&server, "acme/ada@example.com");
    let uid = text(&ada.post("/", &json!({"name": "x", "full_access": true})).await.expect(201)["uid"]);
    ada.get("/").await.expect(200);
    ada.patch(&format!("/{uid}/"), &json!({"name": "y"})).await.expect(200);
    ada.as_other("acme/bob").post(&format!("/{uid}/revoke/"), &json!({})).await.expect(200);
    ada.post(&format!("/{uid}/regenerate/"), &json!({})).await.expect(409);
    let expected = [
        "issued done by ada@example.com",
        "updated done by ada@example.com",
        "revoked done by bob",
        "regenerated rejected by ada@example.com",
    ];
    assert_eq!(*events.lock().unwrap(), expected);
}
