//! Every call, through axum and on bare hyper, over HTTP/1.1 and HTTP/2.

use http::Method;
use serde_json::json;
use tower_api_key::{ApiKeyLayer, MemoryStore};

use super::client::{Client, axum_server, console, hyper_server, keys, text};
use crate::support::calls::{Reply as KeyReply, call};

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

/// Cases: 231.
#[tokio::test]
async fn every_call_works_on_every_server() {
    let (nested, bare) = (keys(), keys());
    let servers = [
        (nested.backend().clone(), axum_server(console(&nested).api()).await),
        (bare.backend().clone(), hyper_server(console(&bare).api()).await),
    ];
    for (store, server) in &servers {
        for client in Client::both(server, "acme/ada@example.com") {
            every_call(&client, store).await;
        }
    }
}

async fn every_call(client: &Client, store: &MemoryStore) {
    let layer = ApiKeyLayer::new(store.clone());
    let before = client.get("/").await.expect(200)["results"].as_array().unwrap().len();
    let new = json!({
        "name": "nightly", "scopes": ["b.read", "a.read"], "expires_at": "2099-01-01T02:30:00+02:30",
        "metadata": {"plan": "pro"}, "allowed_networks": ["192.0.2.1", "192.0.2.0/25"], "environment": null,
    });
    let created = client.post("/", &new).await;
    assert_eq!(created.header("cache-control"), "no-store");
    assert_eq!(created.header("content-type"), "application/json");
    let mut created = created.expect(201);
    let secret = text(&created.as_object_mut().unwrap().remove("api_key").unwrap());
    assert_eq!(created.as_object().unwrap().keys().collect::<Vec<_>>(), FIELDS);
    assert_eq!((&created["scopes"], &created["full_access"]), (&json!(["a.read", "b.read"]), &json!(false)));
    assert_eq!(created["hint"], format!("avk_...{}", &secret[40..]));
    assert_eq!(created["expires_at"], "2099-01-01T00:00:00Z");
    assert_eq!(created["created_by"], "ada@example.com");
    assert_eq!(created["allowed_networks"], json!(["192.0.2.0/25"]));
    let uid = text(&created["uid"]);

    for path in [format!("/{uid}/"), format!("/{uid}")] {
        assert_eq!(client.get(&path).await.expect(200), created);
    }
    let head = client.send(Method::HEAD, &format!("/{uid}/"), &[], "").await;
    assert_eq!((head.status, &*head.body), (200, ""));
    assert!(head.header("content-length").parse::<usize>().unwrap() > 100);
    let list = client.get("/").await;
    assert!(!list.body.contains(&secret[4..40]), "a list shows no key");
    assert!(list.json()["results"].as_array().unwrap().contains(&created));

    let changed = client.patch(&format!("/{uid}/"), &json!({"name": "daily", "suspended": true})).await.expect(200);
    assert_eq!((&changed["name"], &changed["status"]), (&json!("daily"), &json!("suspended")));
    assert_eq!(call(&layer, &secret).await, KeyReply::invalid());
    client.post(&format!("/{uid}/regenerate/"), &json!({})).await.expect(409);
    let less = json!({"suspended": false, "scopes": ["a.read"], "expires_at": "2098-01-01T00:00:00Z", "metadata": {}});
    let less = client.patch(&format!("/{uid}/"), &less).await.expect(200);
    assert_eq!((&less["status"], &less["scopes"]), (&json!("active"), &json!(["a.read"])));

    let body = json!({"overlap_seconds": 3600, "expires_at": "2099-01-01T00:00:00Z"});
    let regenerated = client.post(&format!("/{uid}/regenerate/"), &body).await.expect(201);
    assert_eq!((&regenerated["name"], &regenerated["scopes"]), (&json!("daily"), &json!(["a.read"])));
    assert_ne!(regenerated["api_key"], *secret);
    assert_eq!(client.get(&format!("/{uid}/")).await.json()["replaced_by"], regenerated["uid"]);

    let revoke = format!("/{}/revoke/", text(&regenerated["uid"]));
    let revoked = client.post(&revoke, &json!({})).await.expect(200);
    assert_eq!(revoked["status"], "revoked");
    assert_eq!(
        client.send(Method::POST, &revoke, &[("content-type", "application/json")], "").await.expect(200),
        revoked
    );
    client.patch(&format!("/{}/", text(&regenerated["uid"])), &json!({"name": "x"})).await.expect(409);
    assert_eq!(call(&layer, &text(&regenerated["api_key"])).await, KeyReply::invalid());

    let all = client.get("/").await.expect(200)["results"].as_array().unwrap().len();
    assert_eq!(all, before + 2);
    for (method, path, status, allow) in [
        (Method::PUT, "/".to_owned(), 405, "GET, HEAD, POST"),
        (Method::DELETE, format!("/{uid}/"), 405, "GET, HEAD, PATCH"),
        (Method::GET, format!("/{uid}/revoke/"), 405, "POST"),
        (Method::GET, format!("/{uid}/purge/"), 404, ""),
        (Method::GET, "/unknown/".into(), 404, ""),
        (Method::GET, "/00000000-0000-4000-8000-000000000000/".into(), 404, ""),
    ] {
        let reply = client.send(method, &path, &[], "").await;
        assert_eq!((reply.status, reply.header("allow")), (status, allow), "{path}");
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
    }
}

/// Cases: 231.
#[tokio::test]
async fn pages_add_up_and_filters_agree() {
    let keys = keys();
    let server = axum_server(console(&keys).api()).await;
    let ada = Client::of(&server, "acme/ada@example.com");
    for number in 0..5 {
        let expires = (number % 2 == 0).then_some("2050-01-01T00:00:00Z");
        let new = json!({"name": format!("Key {number}"), "full_access": true, "expires_at": expires});
        ada.as_other(if number < 3 { "acme/ada@example.com" } else { "acme/bob@example.com" })
            .post("/", &new)
            .await
            .expect(201);
    }
    let revoked = text(&ada.get("/?search=key+0").await.json()["results"][0]["uid"]);
    ada.post(&format!("/{revoked}/revoke/"), &json!({})).await.expect(200);

    let whole = ada.get("/").await.expect(200);
    assert_eq!((&whole["next"], &whole["previous"]), (&json!(null), &json!(null)));
    for limit in 1..=6 {
        let (mut found, mut path) = (Vec::new(), format!("/?limit={limit}&search=key"));
        loop {
            let page = ada.get(&path).await.expect(200);
            found.extend(page["results"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else { break };
            assert!(next.starts_with(&format!("?limit={limit}&search=key&cursor=")), "{next}");
            path = format!("/{next}");
        }
        assert_eq!(json!(found), whole["results"], "{limit}");
    }
    for (query, count) in [
        ("status=active", 4),
        ("status=revoked", 1),
        ("created_by=bob%40example.com", 2),
        ("expires_before=2050-01-01T00:00:01Z", 3),
        ("expires_before=2050-01-01T00:00:00Z", 0),
        ("search=KEY%203", 1),
        ("search=%", 0),
        ("environment=live", 0),
        ("organization=acme", 5),
    ] {
        assert_eq!(
            ada.get(&format!("/?{query}")).await.expect(200)["results"].as_array().unwrap().len(),
            count,
            "{query}"
        );
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("status=gone", "status"),
        ("environment=", "environment"),
        ("expires_before=soon", "expires_before"),
    ] {
        let detail = ada.get(&format!("/?{query}")).await.expect(400)["detail"].clone();
        assert!(detail[field][0].is_string(), "{query}: {detail}");
    }
    assert_eq!(ada.get("/?search=%ff").await.expect(400)["detail"], "The query could not be read.");
}
