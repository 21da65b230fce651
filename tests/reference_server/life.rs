//! A key's whole life over JSON: metadata, updates, suspension, overlap, networks, environments, search and the key policy.

use std::time::{Duration, SystemTime};

use axum::http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::{Api, CONFLICT, EXPIRED, FORBIDDEN, INVALID_KEY, NOT_FOUND, text};
use super::server::Server;
use super::stores::Store;

on_every_store!(
    updated_key_has_what_was_asked,
    update_that_gives_more_is_400_and_changes_nothing,
    suspended_key_is_rejected_until_resumed,
    overlapping_key_works_until_the_overlap_ends,
    list_can_be_filtered_and_searched,
    key_policy_applies_to_old_and_new_keys,
);

fn in_seconds(seconds: u64) -> String {
    let time = Timestamp::try_from(SystemTime::now() + Duration::from_secs(seconds)).expect("a time");
    format!("{time:.0}")
}

async fn patch(api: &Api, owner: &str, key: &Value, body: Value) -> super::client::Reply {
    let path = format!("/api-keys/{}/", text(&key["uid"]));
    api.call(Method::PATCH, owner, &path, Some(body)).await
}

/// Cases: 181, 182.
async fn updated_key_has_what_was_asked(store: &Store) {
    let server = store.start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let made = api
        .make_key(
            &owner,
            json!({
                "name": "ci", "scopes": ["tasks.read", "datasets.read"], "environment": "test",
                "metadata": {"team": "data", "ticket": "7"}, "allowed_networks": ["127.0.0.0/8", "192.0.2.7"],
            }),
        )
        .await;
    let key = text(&made["api_key"]);
    assert!(key.starts_with("avk_test_"), "{key}");
    assert_eq!((&made["environment"], &made["created_by"].is_string()), (&json!("test"), &true));
    assert_eq!(made["allowed_networks"], json!(["127.0.0.0/8", "192.0.2.7/32"]));
    assert_eq!(api.get(&key, "/users/me/permissions/").await.expect(200)["environment"], "test");
    assert_eq!(api.get(&owner, "/users/me/permissions/").await.expect(200)["environment"], "live");

    let expires_at = in_seconds(3600);
    for (body, field, expected) in [
        (json!({"name": "nightly"}), "name", json!("nightly")),
        (json!({"metadata": {"team": "ml"}}), "metadata", json!({"team": "ml"})),
        (json!({"metadata": {}}), "metadata", json!({})),
        (json!({"scopes": ["tasks.read"]}), "scopes", json!(["tasks.read"])),
        (json!({"expires_at": expires_at}), "expires_at", json!(expires_at)),
        (json!({"allowed_networks": ["127.0.0.1"]}), "allowed_networks", json!(["127.0.0.1/32"])),
        (json!({"suspended": true, "name": "both"}), "suspended", json!(true)),
        (json!({}), "name", json!("both")),
        (json!({"name": "x", "metadata": null, "scopes": null, "suspended": null}), "suspended", json!(true)),
    ] {
        let updated = patch(&api, &owner, &made, body.clone()).await.expect(200);
        assert_eq!(updated[field], expected, "{body}");
        let read = api.get(&owner, &format!("/api-keys/{}/", text(&made["uid"]))).await.expect(200);
        assert_eq!(read[field], expected, "{body}");
    }
}

/// Cases: 182.
async fn update_that_gives_more_is_400_and_changes_nothing(store: &Store) {
    let server = store.start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let new = json!({
        "name": "ci", "scopes": ["tasks.read"], "expires_at": in_seconds(3600), "allowed_networks": ["127.0.0.0/8"],
    });
    let made = api.make_key(&owner, new).await;
    let path = format!("/api-keys/{}/", text(&made["uid"]));
    let before = api.get(&owner, &path).await.expect(200);
    let many: serde_json::Map<_, _> = (0..51).map(|n| (format!("n{n}"), json!("x"))).collect();
    for (body, field) in [
        (json!({"scopes": ["tasks.read", "datasets.read"]}), "scopes"),
        (json!({"scopes": ["datasets.read"]}), "scopes"),
        (json!({"scopes": ["fly"]}), "scopes"),
        (json!({"scopes": []}), "scopes"),
        (json!({"expires_at": in_seconds(7200)}), "expires_at"),
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"allowed_networks": ["0.0.0.0/0"]}), "allowed_networks"),
        (json!({"allowed_networks": []}), "allowed_networks"),
        (json!({"allowed_networks": ["*"]}), "allowed_networks"),
        (json!({"allowed_networks": ["127.0.0.1 0.0.0.0/0"]}), "allowed_networks"),
        (json!({"allowed_networks": ["nowhere"]}), "allowed_networks"),
        (json!({"name": ""}), "name"),
        (json!({"name": null}), "name"),
        (json!({"name": "a\nb"}), "name"),
        (json!({"metadata": {"": "x"}}), "metadata"),
        (json!({"metadata": {"a": 1}}), "metadata"),
        (json!({"metadata": ["a"]}), "metadata"),
        (json!({"metadata": many}), "metadata"),
        (json!({"metadata": {"a": "x".repeat(501)}}), "metadata"),
        (json!({"suspended": "yes"}), "suspended"),
        // All or nothing.
        (json!({"name": "renamed", "suspended": true, "scopes": ["datasets.read"]}), "scopes"),
    ] {
        let reply = patch(&api, &owner, &made, body.clone()).await.expect(400);
        assert!(reply["detail"][field].is_array(), "{body}: {reply}");
        assert_eq!(api.get(&owner, &path).await.expect(200), before, "{body}");
    }
    for (new, field) in [
        (json!({"environment": "staging"}), "environment"),
        (json!({"environment": "two words"}), "environment"),
        (json!({"allowed_networks": []}), "allowed_networks"),
        (json!({"metadata": {"a": null}}), "metadata"),
    ] {
        let mut body = json!({"name": "x", "full_access": true});
        body.as_object_mut().unwrap().extend(new.as_object().unwrap().clone());
        let reply = api.post(&owner, "/api-keys/", body).await.expect(400);
        assert!(reply["detail"][field].is_array(), "{new}: {reply}");
    }
    let bob = api.sign_up("bob").await.key;
    patch(&api, &bob, &made, json!({"name": "mine"})).await.expect_text(404, NOT_FOUND);
    api.order(&owner, &format!("{path}revoke/")).await.expect(200);
    patch(&api, &owner, &made, json!({"name": "late"})).await.expect_text(409, CONFLICT);
    patch(&api, &owner, &made, json!({"suspended": false})).await.expect_text(409, CONFLICT);
}

/// Cases: 183.
async fn suspended_key_is_rejected_until_resumed(store: &Store) {
    let server = store.start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let made = api.make_key(&owner, json!({"name": "x", "scopes": ["tasks.read"]})).await;
    let (key, uid) = (text(&made["api_key"]), text(&made["uid"]));
    for _ in 0..2 {
        api.get(&key, "/tasks/").await.expect(200);
        let suspended = patch(&api, &owner, &made, json!({"suspended": true})).await.expect(200);
        assert_eq!((&suspended["suspended"], &suspended["status"]), (&json!(true), &json!("suspended")));
        api.get(&key, "/tasks/").await.expect_text(401, INVALID_KEY);
        let listed = api.get(&owner, "/api-keys/?status=suspended").await.expect(200);
        assert_eq!(listed["results"][0]["uid"], *uid);
        api.order(&owner, &format!("/api-keys/{uid}/regenerate/")).await.expect_text(409, CONFLICT);
        let resumed = patch(&api, &owner, &made, json!({"suspended": false})).await.expect(200);
        assert_eq!(resumed["status"], "active");
    }
    api.get(&key, "/tasks/").await.expect(200);
}

/// Cases: 186.
async fn overlapping_key_works_until_the_overlap_ends(store: &Store) {
    let server = store.start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let new = json!({"name": "x", "scopes": ["tasks.read"], "metadata": {"a": "b"}, "environment": "test"});
    let old = api.make_key(&owner, new).await;
    let path = format!("/api-keys/{}/regenerate/", text(&old["uid"]));
    for invalid in [json!(-1), json!("60"), json!(1.5)] {
        let reply = api.post(&owner, &path, json!({"overlap_seconds": invalid})).await.expect(400);
        assert!(reply["detail"]["overlap_seconds"].is_array(), "{reply}");
    }
    let new = api.post(&owner, &path, json!({"overlap_seconds": 2})).await.expect(201);
    assert_eq!((&new["metadata"], &new["environment"]), (&json!({"a": "b"}), &json!("test")));
    let old_key = text(&old["api_key"]);
    api.get(&old_key, "/tasks/").await.expect(200);
    api.get(&text(&new["api_key"]), "/tasks/").await.expect(200);
    // The old key of an overlap has its replacement already.
    api.post(&owner, &path, json!({"overlap_seconds": 60})).await.expect_text(409, CONFLICT);
    for _ in 0..200 {
        if api.get(&old_key, "/tasks/").await.status == 401 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    api.get(&old_key, "/tasks/").await.expect_text(401, EXPIRED);
    let listed = api.get(&owner, "/api-keys/?status=expired").await.expect(200)["results"][0].clone();
    assert_eq!((&listed["uid"], &listed["replaced_by"]), (&old["uid"], &new["uid"]));
    api.get(&text(&new["api_key"]), "/tasks/").await.expect(200);
}

/// Cases: 188.
async fn list_can_be_filtered_and_searched(store: &Store) {
    let server = store.start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let soon = in_seconds(3600);
    let made = api
        .make_key(
            &owner,
            json!({"name": "Nightly", "scopes": ["tasks.read"], "environment": "test", "expires_at": soon}),
        )
        .await;
    api.make_key(&owner, json!({"name": "weekly", "full_access": true})).await;
    let secret = text(&made["api_key"]);
    let first = text(&api.get(&owner, "/api-keys/?search=sign").await.expect(200)["results"][0]["uid"]);
    let email = text(&api.get(&owner, &format!("/api-keys/{first}/")).await.expect(200)["created_by"]);
    assert!(email.contains('@'), "{email}");
    let names = async |query: &str| {
        let listed = api.get(&owner, &format!("/api-keys/?{query}")).await.expect(200);
        let mut names: Vec<_> = listed["results"].as_array().unwrap().iter().map(|key| text(&key["name"])).collect();
        names.sort_unstable();
        names
    };
    for (query, expected) in [
        ("environment=test".to_owned(), &["Nightly"][..]),
        ("environment=live".into(), &["Sign up", "weekly"]),
        ("search=NIGHT".into(), &["Nightly"]),
        (format!("search={}", secret[secret.len() - 4..].to_uppercase()), &["Nightly"]),
        ("search=ly".into(), &["Nightly", "weekly"]),
        ("search=%25".into(), &[]),
        (format!("created_by={first}"), &["Nightly", "weekly"]),
        (format!("created_by={}", email.replace('+', "%2B")), &["Sign up"]),
        (format!("expires_before={}", in_seconds(7200)), &["Nightly"]),
        (format!("expires_before={}", in_seconds(60)), &[]),
        (format!("environment=test&search=week&created_by={first}"), &[]),
    ] {
        assert_eq!(names(&query).await, expected, "{query}");
    }
    for (query, field) in [("environment=two%20words", "environment"), ("expires_before=soon", "expires_before")] {
        let reply = api.get(&owner, &format!("/api-keys/?{query}")).await.expect(400);
        assert!(reply["detail"][field].is_array(), "{reply}");
    }
}

/// Cases: 192.
async fn key_policy_applies_to_old_and_new_keys(store: &Store) {
    let server = store.start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let path = "/organization/key-policy/";
    let put = async |key: &str, body: Value| api.call(Method::PUT, key, path, Some(body)).await;
    assert_eq!(api.get(&owner, path).await.expect(200), json!({"max_key_age_seconds": null}));
    for invalid in [json!({}), json!({"max_key_age_seconds": 0}), json!({"max_key_age_seconds": "1"})] {
        assert!(put(&owner, invalid).await.expect(400)["detail"]["max_key_age_seconds"].is_array());
    }
    let scoped = text(&api.make_key(&owner, json!({"name": "x", "scopes": ["tasks.read"]})).await["api_key"]);
    put(&scoped, json!({"max_key_age_seconds": null})).await.expect_text(403, FORBIDDEN);
    let policy = json!({"max_key_age_seconds": 3600});
    assert_eq!(put(&owner, policy.clone()).await.expect(200), policy);
    assert_eq!(api.get(&owner, path).await.expect(200), policy);
    let listed = api.get(&owner, "/api-keys/").await.expect(200);
    assert!(listed["results"].as_array().unwrap().iter().all(|key| key["expires_at"].is_string()), "{listed}");
    let none = json!({"max_key_age_seconds": null});
    assert_eq!(put(&owner, none.clone()).await.expect(200), none);
    assert_eq!(api.make_key(&owner, json!({"name": "y", "full_access": true})).await["expires_at"], json!(null));
}

/// Cases: 184.
#[tokio::test]
async fn key_from_other_network_is_403() {
    let server = Server::start(&["--trusted-proxy", "127.0.0.1", "--requests-per-minute", "2"]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let new = json!({"name": "office", "scopes": ["tasks.read"], "allowed_networks": ["192.0.2.0/24"]});
    let made = api.make_key(&owner, new).await;
    let key = text(&made["api_key"]);
    let from = async |address: &str| api.send(Method::GET, &key, "/tasks/", &[("x-forwarded-for", address)], "").await;
    // Does not count against the limit.
    for address in ["198.51.100.7", "2001:db8::1", "unknown", "198.51.100.7"] {
        let reply = from(address).await;
        assert_eq!((reply.status, &*reply.body), (403, FORBIDDEN), "{address}");
    }
    from("192.0.2.7").await.expect(200);
    from("192.0.2.8").await.expect(200);
    assert_eq!(from("192.0.2.9").await.status, 429);
}
