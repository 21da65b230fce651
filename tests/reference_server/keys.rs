//! Managing keys over JSON.

use std::time::{Duration, SystemTime};

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::{Api, CONFLICT, EXPIRED, FORBIDDEN, INVALID_KEY, NOT_FOUND, text};
use super::server::Server;
use super::stores::Store;

on_every_store!(
    created_key_is_shown_once,
    invalid_new_key_is_400_naming_the_fields,
    key_name_is_kept_unchanged,
    expiry_is_returned_in_utc_and_never_later,
    revoked_key_is_rejected_after_the_response,
    regenerate_replaces_the_key_at_once,
    regenerated_key_expires_as_asked_or_as_before,
    expired_key_is_named_and_can_be_regenerated,
    one_of_hundred_regenerates_wins,
    key_of_other_organization_is_404,
    list_can_be_filtered_by_status,
    keys_expire_at_the_maximum_age,
);

const FIELDS: [&str; 17] = [
    "allowed_networks",
    "created_at",
    "created_by",
    "environment",
    "expires_at",
    "full_access",
    "hint",
    "last_used_at",
    "metadata",
    "name",
    "replaced_by",
    "request_count",
    "revoked_at",
    "scopes",
    "status",
    "suspended",
    "uid",
];

/// Checks that this is RFC 3339 in UTC, in whole seconds: `2026-11-24T10:00:00Z`.
pub(super) fn utc(time: &Value) -> Timestamp {
    let text = text(time);
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00Z", "{text}");
    text.parse().expect("a time")
}

fn in_seconds(seconds: u64) -> String {
    let time = Timestamp::try_from(SystemTime::now() + Duration::from_secs(seconds)).expect("a time");
    format!("{time:.0}")
}

/// Makes a key with a short lifetime, and waits until it has expired.
pub(super) async fn expired(api: &Api, owner: &str, mut new: Value) -> Value {
    new["expires_at"] = json!(in_seconds(3));
    let made = api.make_key(owner, new).await;
    until_expired(api, &text(&made["api_key"])).await;
    made
}

async fn until_expired(api: &Api, key: &str) {
    for _ in 0..200 {
        let reply = api.get(key, "/users/me/permissions/").await;
        if reply.status == 401 {
            return reply.expect_text(401, EXPIRED);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the key does not expire");
}

async fn list(api: &Api, owner: &str, query: &str) -> Vec<Value> {
    api.get(owner, &format!("/api-keys/{query}")).await.expect(200)["results"].as_array().unwrap().clone()
}

/// The key without the fields that change some seconds after a use.
fn settled(mut key: Value) -> Value {
    key.as_object_mut().unwrap().remove("last_used_at").expect("a last use");
    key.as_object_mut().unwrap().remove("request_count").expect("a count");
    key
}

fn without_secret(mut issued: Value) -> Value {
    issued.as_object_mut().unwrap().remove("api_key").expect("a secret");
    issued
}

async fn created_key_is_shown_once(store: &Store) {
    let server = store.start(&[]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;

    let expires_at = in_seconds(3600);
    let new =
        json!({"name": "nightly", "scopes": ["tasks.read", "datasets.read", "tasks.read"], "expires_at": expires_at});
    let reply = api.post(&owner, "/api-keys/", new).await;
    assert_eq!(reply.header("cache-control"), "no-store");
    let scoped = reply.expect(201);
    let secret = text(&scoped["api_key"]);
    let scoped = without_secret(scoped);
    assert_eq!(scoped.as_object().unwrap().keys().collect::<Vec<_>>(), FIELDS);
    assert_eq!(scoped["name"], "nightly");
    assert_eq!(scoped["hint"], format!("avk_...{}", &secret[40..]));
    assert_eq!((&scoped["full_access"], &scoped["scopes"]), (&json!(false), &json!(["datasets.read", "tasks.read"])));
    assert_eq!(scoped["expires_at"], *expires_at);
    assert_eq!((&scoped["last_used_at"], &scoped["revoked_at"]), (&json!(null), &json!(null)));
    assert_eq!(scoped["status"], "active");
    let age = Timestamp::now().duration_since(utc(&scoped["created_at"])).as_secs();
    assert!((0..60).contains(&age), "{age}");

    let full = api.make_key(&owner, json!({"name": "all", "full_access": true, "expires_at": null})).await;
    assert_eq!((&full["full_access"], &full["scopes"]), (&json!(true), &json!([])));
    assert_eq!(full["expires_at"], json!(null));

    // Both documented forms of scoped access at once.
    api.make_key(&owner, json!({"name": "x", "full_access": false, "scopes": ["tasks.read"]})).await;

    let reply = api.get(&owner, "/api-keys/").await;
    assert!(!reply.body.contains(&secret) && !reply.body.contains(&secret[4..]), "{reply:?}");
    let listed = list(&api, &owner, "").await;
    assert_eq!(listed.len(), 4);
    assert!(listed.contains(&scoped) && listed.contains(&without_secret(full)));
    assert!(listed.iter().all(|key| key.as_object().unwrap().keys().eq(FIELDS)));
}

/// Cases: 55, 57, 60.
async fn invalid_new_key_is_400_naming_the_fields(store: &Store) {
    let server = store.start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let neither = "Give at least one scope, or ask for \"full_access\": true.";
    let (both, unknown) = ("A key has scopes or full access, not both.", "Not a scope of this API.");
    let (past, time) = ("This time is in the past.", "Not a time of RFC 3339, such as 2026-11-24T10:00:00Z.");
    let control = "A key name has 1 to 100 characters, not all blank, none a control character.";
    let table = [
        (json!({}), json!({"name": ["This field is required."], "scopes": [neither]})),
        (json!({"name": "x"}), json!({"scopes": [neither]})),
        (json!({"name": "x", "full_access": false}), json!({"scopes": [neither]})),
        (json!({"name": "x", "full_access": null, "scopes": null}), json!({"scopes": [neither]})),
        (json!({"name": "x", "scopes": []}), json!({"scopes": ["This list may not be empty."]})),
        (json!({"name": "x", "scopes": [], "full_access": true}), json!({"scopes": [both]})),
        (json!({"name": "x", "scopes": ["tasks.read"], "full_access": true}), json!({"scopes": [both]})),
        (json!({"name": "x", "full_access": "true"}), json!({"full_access": ["Must be a valid boolean."]})),
        (json!({"name": "x", "full_access": 1}), json!({"full_access": ["Must be a valid boolean."]})),
        (json!({"name": "x", "scopes": "tasks.read"}), json!({"scopes": ["Expected a list of scopes."]})),
        (json!({"name": "x", "scopes": {"tasks.read": true}}), json!({"scopes": ["Expected a list of scopes."]})),
        (json!({"name": "x", "scopes": ["fly"]}), json!({"scopes": [unknown]})),
        (json!({"name": "x", "scopes": ["tasks.read", "fly"]}), json!({"scopes": [unknown]})),
        (json!({"name": "x", "scopes": ["Tasks.Read"]}), json!({"scopes": [unknown]})),
        (json!({"name": "x", "scopes": ["tasks.*"]}), json!({"scopes": [unknown]})),
        (json!({"name": "x", "scopes": ["*"]}), json!({"scopes": [unknown]})),
        (json!({"name": "x", "scopes": [""]}), json!({"scopes": [unknown]})),
        (json!({"name": "x", "scopes": ["tasks.read "]}), json!({"scopes": [unknown]})),
        (json!({"name": "x", "scopes": [null]}), json!({"scopes": [unknown]})),
        (json!({"name": "x", "scopes": [1, 2]}), json!({"scopes": [unknown]})),
        (json!({"name": "", "full_access": true}), json!({"name": ["This field may not be blank."]})),
        (json!({"name": " ", "full_access": true}), json!({"name": ["This field may not be blank."]})),
        (json!({"name": null, "full_access": true}), json!({"name": ["This field may not be null."]})),
        (json!({"name": 7, "full_access": true}), json!({"name": ["Not a valid string."]})),
        (
            json!({"name": "é".repeat(101), "full_access": true}),
            json!({"name": ["Ensure this field has no more than 100 characters."]}),
        ),
        (json!({"name": "a\nb", "full_access": true}), json!({"name": [control]})),
        (json!({"name": "a\u{1b}[31m", "full_access": true}), json!({"name": [control]})),
        (
            json!({"name": "x", "full_access": true, "expires_at": "2020-01-01T00:00:00Z"}),
            json!({"expires_at": [past]}),
        ),
        (json!({"name": "x", "full_access": true, "expires_at": in_seconds(0)}), json!({"expires_at": [past]})),
        (
            json!({"name": "x", "full_access": true, "expires_at": "-9999-01-02T00:00:00Z"}),
            json!({"expires_at": [time]}),
        ),
        (json!({"name": "x", "full_access": true, "expires_at": "tomorrow"}), json!({"expires_at": [time]})),
        (json!({"name": "x", "full_access": true, "expires_at": ""}), json!({"expires_at": [time]})),
        (json!({"name": "x", "full_access": true, "expires_at": "2099-01-01"}), json!({"expires_at": [time]})),
        (json!({"name": "x", "full_access": true, "expires_at": "2099-01-01T00:00:00"}), json!({"expires_at": [time]})),
        (
            json!({"name": "x", "full_access": true, "expires_at": "99999-01-01T00:00:00Z"}),
            json!({"expires_at": [time]}),
        ),
        (
            json!({"name": "x", "full_access": true, "expires_at": 4_102_444_800_u64}),
            json!({"expires_at": ["Not a valid string."]}),
        ),
    ];
    for (body, errors) in table {
        let reply = api.post(&owner, "/api-keys/", body.clone()).await;
        assert_eq!(reply.expect(400), json!({"detail": errors}), "{body}");
    }
    // No key was made.
    assert_eq!(list(&api, &owner, "").await.len(), 1);
}

/// Cases: 69.
async fn key_name_is_kept_unchanged(store: &Store) {
    let server = store.start(&[]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let names = ["'; drop table keys; --", "<img src=x onerror=alert(1)>", "\u{202e}rtl", "\"quoted\\\"", "é", "x"];
    let longest = "é".repeat(100);
    for name in names.into_iter().chain([&*longest]) {
        let made = api.make_key(&owner, json!({"name": name, "scopes": ["tasks.read"]})).await;
        assert_eq!(made["name"], name);
        assert!(list(&api, &owner, "").await.iter().any(|key| key["name"] == name));
    }
}

/// Cases: 75.
async fn expiry_is_returned_in_utc_and_never_later(store: &Store) {
    let server = store.start(&[]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    for (given, shown) in [
        ("2099-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),
        ("2099-01-01T02:30:00+02:30", "2099-01-01T00:00:00Z"),
        ("2099-01-01T00:00:00.999Z", "2099-01-01T00:00:00Z"),
        ("2099-06-30T23:59:60Z", "2099-06-30T23:59:59Z"),
        ("9999-12-30T00:00:00Z", "9999-12-30T00:00:00Z"),
    ] {
        let made = api.make_key(&owner, json!({"name": given, "full_access": true, "expires_at": given})).await;
        assert_eq!(made["expires_at"], shown);
    }
    // A lifetime that ends after the last year of RFC 3339 is no error.
    let last = list(&api, &owner, "").await.into_iter().find(|key| key["name"] == "9999-12-30T00:00:00Z").unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let path = format!("/api-keys/{}/regenerate/", text(&last["uid"]));
    let regenerated = api.post(&owner, &path, json!({})).await.expect(201);
    assert!(utc(&regenerated["expires_at"]) > utc(&last["expires_at"]));
}

/// Cases: 78.
async fn revoked_key_is_rejected_after_the_response(store: &Store) {
    let server = store.start(&[]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let made = api.make_key(&owner, json!({"name": "x", "scopes": ["tasks.read"]})).await;
    let (key, path) = (text(&made["api_key"]), format!("/api-keys/{}/revoke/", text(&made["uid"])));
    api.get(&key, "/tasks/").await.expect(200);

    let first = api.order(&owner, &path).await;
    api.get(&key, "/tasks/").await.expect_text(401, INVALID_KEY);
    let revoked = settled(first.expect(200));
    assert_eq!(revoked["status"], "revoked");
    utc(&revoked["revoked_at"]);
    let mut expected = settled(without_secret(made));
    expected["status"] = json!("revoked");
    expected["revoked_at"] = revoked["revoked_at"].clone();
    assert_eq!(revoked, expected);
    assert!(list(&api, &owner, "").await.into_iter().map(settled).any(|listed| listed == revoked));

    // Final: the same response again, with any body.
    assert_eq!(settled(api.order(&owner, &path).await.expect(200)), revoked);
    assert_eq!(settled(api.post(&owner, &path, json!({"status": "active"})).await.expect(200)), revoked);
    api.get(&key, "/tasks/").await.expect_text(401, INVALID_KEY);
}

/// Cases: 81.
async fn regenerate_replaces_the_key_at_once(store: &Store) {
    let server = store.start(&[]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let old = api.make_key(&owner, json!({"name": "nightly", "scopes": ["tasks.read", "exports.create"]})).await;
    let path = format!("/api-keys/{}/regenerate/", text(&old["uid"]));

    let reply = api.order(&owner, &path).await;
    api.get(&text(&old["api_key"]), "/tasks/").await.expect_text(401, INVALID_KEY);
    assert_eq!(reply.header("cache-control"), "no-store");
    let new = reply.expect(201);
    api.get(&text(&new["api_key"]), "/tasks/").await.expect(200);
    api.get(&text(&new["api_key"]), "/datasets/").await.expect_text(403, FORBIDDEN);
    assert_ne!(new["uid"], old["uid"]);
    assert_ne!(new["api_key"], old["api_key"]);
    for field in ["name", "scopes", "full_access", "expires_at", "environment", "metadata", "allowed_networks"] {
        assert_eq!(new[field], old[field], "{field}");
    }
    assert_eq!(new["status"], "active");
    let listed = list(&api, &owner, "").await;
    assert!(listed.iter().any(|key| key["uid"] == old["uid"] && key["status"] == "revoked"));

    // Replaced or revoked: both are final.
    api.order(&owner, &path).await.expect_text(409, CONFLICT);
    let uid = text(&new["uid"]);
    api.order(&owner, &format!("/api-keys/{uid}/revoke/")).await.expect(200);
    api.order(&owner, &format!("/api-keys/{uid}/regenerate/")).await.expect_text(409, CONFLICT);
    api.get(&text(&new["api_key"]), "/tasks/").await.expect_text(401, INVALID_KEY);
}

async fn regenerated_key_expires_as_asked_or_as_before(store: &Store) {
    let server = store.start(&[]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let lifetime = |key: &Value| utc(&key["expires_at"]).duration_since(utc(&key["created_at"])).as_secs();
    let regenerate = async |key: &Value, body: Value| {
        api.post(&owner, &format!("/api-keys/{}/regenerate/", text(&key["uid"])), body).await
    };

    let hour = json!({"name": "x", "scopes": ["tasks.read"], "expires_at": in_seconds(3600)});
    let old = api.make_key(&owner, hour).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let same = regenerate(&old, json!({})).await.expect(201);
    assert_eq!(lifetime(&same), lifetime(&old));
    assert!(utc(&same["expires_at"]) > utc(&old["expires_at"]), "counted from now");
    // Null counts as absent: a client that sends every field does not remove the expiry by accident.
    let same = regenerate(&same, json!({"expires_at": null})).await.expect(201);
    assert_eq!(lifetime(&same), lifetime(&old));

    let asked = in_seconds(7200);
    let until = regenerate(&same, json!({"expires_at": asked})).await.expect(201);
    assert_eq!(until["expires_at"], *asked);
    for invalid in [json!("2020-01-01T00:00:00Z"), json!("soon"), json!(1)] {
        let reply = regenerate(&until, json!({"expires_at": invalid})).await;
        assert!(reply.expect(400)["detail"]["expires_at"].is_array(), "{reply:?}");
    }
    // A rejected change changes nothing.
    api.get(&text(&until["api_key"]), "/tasks/").await.expect(200);
}

async fn expired_key_is_named_and_can_be_regenerated(store: &Store) {
    let server = store.start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let old = expired(&api, &owner, json!({"name": "short", "scopes": ["tasks.read"]})).await;
    api.get(&text(&old["api_key"]), "/tasks/").await.expect_text(401, EXPIRED);
    let listed = list(&api, &owner, "?status=expired").await;
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["uid"], &listed[0]["status"]), (&old["uid"], &json!("expired")));

    let body = json!({"expires_at": in_seconds(3600)});
    let new = api.post(&owner, &format!("/api-keys/{}/regenerate/", text(&old["uid"])), body).await.expect(201);
    api.get(&text(&new["api_key"]), "/tasks/").await.expect(200);
    // Now it is revoked too, which takes precedence over expired.
    api.get(&text(&old["api_key"]), "/tasks/").await.expect_text(401, INVALID_KEY);
}

/// Cases: 82.
async fn one_of_hundred_regenerates_wins(store: &Store) {
    let server = store.start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let old = api.make_key(&owner, json!({"name": "x", "scopes": ["tasks.read"]})).await;
    let path = format!("/api-keys/{}/regenerate/", text(&old["uid"]));
    let calls = (0..100).map(|_| {
        let (api, owner, path) = (api.clone(), owner.clone(), path.clone());
        tokio::spawn(async move { api.order(&owner, &path).await })
    });
    let replies: Vec<_> = join_all(calls).await.into_iter().map(|reply| reply.expect("a reply")).collect();
    let winners: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(replies.iter().filter(|reply| reply.status == 409 && reply.body == CONFLICT).count(), 99);
    api.get(&text(&winners[0].json()["api_key"]), "/tasks/").await.expect(200);
    assert_eq!(list(&api, &owner, "?status=active").await.len(), 2);
}

/// Cases: 64.
#[tokio::test]
async fn scoped_key_cannot_manage_keys() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let all = ["datasets.read", "datasets.write", "projects.read", "tasks.read", "exports.create"];
    let made = api.make_key(&owner, json!({"name": "all five", "scopes": all})).await;
    let (key, uid) = (text(&made["api_key"]), text(&made["uid"]));
    let wider = json!({"name": "mine", "full_access": true});
    for reply in [
        api.get(&key, "/api-keys/").await,
        api.post(&key, "/api-keys/", wider).await,
        // A key with less access and an invalid body are rejected too.
        api.post(&key, "/api-keys/", json!({"name": "mine", "scopes": ["tasks.read"]})).await,
        api.post(&key, "/api-keys/", json!([])).await,
        api.order(&key, &format!("/api-keys/{uid}/revoke/")).await,
        api.order(&key, &format!("/api-keys/{uid}/regenerate/")).await,
        api.order(&key, "/api-keys/nothing/revoke/").await,
    ] {
        reply.expect_text(403, FORBIDDEN);
    }
    assert_eq!(list(&api, &owner, "?status=active").await.len(), 2);
}

async fn key_of_other_organization_is_404(store: &Store) {
    let server = store.start(&[]);
    let api = Api::of(&server);
    let (ada, bob) = (api.sign_up("ada").await.key, api.sign_up("bob").await.key);
    let made = api.make_key(&ada, json!({"name": "hers", "scopes": ["tasks.read"]})).await;
    let uid = text(&made["uid"]);
    let unknown = "00000000-0000-4000-8000-000000000000";
    for uid in [&*uid, unknown, "x", "%ff", &uid.to_uppercase(), &uid.replace('-', "")] {
        for action in ["revoke", "regenerate"] {
            api.order(&bob, &format!("/api-keys/{uid}/{action}/")).await.expect_text(404, NOT_FOUND);
        }
    }
    api.get(&text(&made["api_key"]), "/tasks/").await.expect(200);
    let listed = list(&api, &bob, "").await;
    assert!(listed.len() == 1 && listed[0]["uid"] != made["uid"]);
}

async fn list_can_be_filtered_by_status(store: &Store) {
    let server = store.start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    for name in ["a", "b", "c"] {
        let made = api.make_key(&owner, json!({"name": name, "scopes": ["tasks.read"]})).await;
        if name != "c" {
            api.order(&owner, &format!("/api-keys/{}/revoke/", text(&made["uid"]))).await.expect(200);
        }
    }
    expired(&api, &owner, json!({"name": "d", "scopes": ["tasks.read"]})).await;
    let names = async |query: &str| {
        let mut names: Vec<_> = list(&api, &owner, query).await.iter().map(|key| text(&key["name"])).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names("?status=active").await, ["Sign up", "c"]);
    assert_eq!(names("?status=expired").await, ["d"]);
    assert_eq!(names("?status=revoked").await, ["a", "b"]);
    assert_eq!(names("").await, ["Sign up", "a", "b", "c", "d"]);

    let page = api.get(&owner, "/api-keys/?status=revoked&limit=1").await.expect(200);
    assert!(text(&page["next"]).starts_with("?status=revoked&limit=1&cursor="));
    let second = api.get(&owner, &format!("/api-keys/{}", text(&page["next"]))).await.expect(200);
    assert_eq!(second["next"], json!(null));
    assert_ne!(second["results"][0]["uid"], page["results"][0]["uid"]);
    for invalid in ["", "dead", "Active"] {
        let reply = api.get(&owner, &format!("/api-keys/?status={invalid}")).await;
        assert_eq!(reply.expect(400), json!({"detail": {"status": ["active, suspended, expired or revoked."]}}));
    }
}

/// Cases: 76.
/// The policy of the organization ends keys that have no expiry of their own, the first one too.
async fn keys_expire_at_the_maximum_age(store: &Store) {
    let server = store.start(&["--max-key-age", "6s", "--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let made = api.make_key(&owner, json!({"name": "x", "full_access": true})).await;
    let later = json!({"name": "y", "full_access": true, "expires_at": in_seconds(3600)});
    let later = api.make_key(&owner, later).await;
    for key in [&made, &later] {
        assert_eq!(utc(&key["expires_at"]).duration_since(utc(&key["created_at"])).as_secs(), 6);
    }
    for key in [&owner, &text(&made["api_key"]), &text(&later["api_key"])] {
        until_expired(&api, key).await;
    }
}
