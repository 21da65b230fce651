//! Bodies and fields that are not as they should be.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_api_key::console::Operator;

use super::client::{Client, axum_server, console, keys, text};

/// Cases: 235.
#[tokio::test]
async fn body_that_is_no_json_object_is_rejected() {
    let server = axum_server(console(&keys()).api()).await;
    let long = format!(r#"{{"name": "{}"}}"#, "x".repeat(64 * 1024));
    for client in Client::both(&server, "acme/ada@example.com") {
        for (kind, body, status) in [
            ("application/json; charset=utf-8", "{}", 400),
            ("APPLICATION/JSON", "{}", 400),
            ("application/json", "", 400),
            ("application/json", "[]", 400),
            ("application/json", "{\"name\": \"\\ud800\"}", 400),
            ("application/json", "{\"name\": \"x\"", 400),
            ("application/json", &long, 413),
            ("application/jsonx", "{}", 415),
            ("text/json", "{}", 415),
        ] {
            let reply = client.send(Method::POST, "/", &[("content-type", kind)], body).await;
            assert_eq!(reply.status, status, "{kind} {body:.40}");
            assert_eq!(reply.header("cache-control"), "no-store");
        }
        let twice = [("content-type", "application/json"), ("content-type", "text/plain")];
        assert_eq!(client.send(Method::POST, "/", &twice, "{}").await.status, 415);
    }
}

/// Cases: 235.
#[tokio::test(start_paused = true)]
async fn body_that_does_not_arrive_is_408() {
    let api = console(&keys()).timeout(Duration::from_secs(3)).api();
    let start = Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"{\"name\": ")));
    let stream = futures::stream::iter([start]);
    let never = StreamBody::new(futures::StreamExt::chain(stream, futures::stream::pending()));
    let request = Request::post("/").header("content-type", "application/json");
    let request = request.extension(Operator::new("acme".parse().unwrap(), "ada")).body(never).unwrap();
    assert_eq!(api.oneshot(request).await.unwrap().status(), 408);
}

/// Cases: 235.
#[tokio::test]
async fn body_that_breaks_off_is_rejected() {
    let api = console(&keys()).api();
    let cut = futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"{"))), Err(std::io::Error::other("cut"))]);
    let request = Request::post("/").header("content-type", "application/json");
    let request = request.extension(Operator::new("acme".parse().unwrap(), "ada")).body(StreamBody::new(cut)).unwrap();
    assert_eq!(api.oneshot(request).await.unwrap().status(), 400);
}

/// Cases: 235.
#[tokio::test]
async fn invalid_field_is_named_and_changes_nothing() {
    let keys = keys();
    let server = axum_server(console(&keys).api()).await;
    let ada = Client::of(&server, "acme/ada@example.com");
    let new =
        json!({"name": "x", "scopes": ["a"], "expires_at": "2098-01-01T00:00:00Z", "allowed_networks": ["192.0.2.1"]});
    let made = ada.post("/", &new).await.expect(201);
    let path = format!("/{}/", text(&made["uid"]));
    let full = |field: &str, value: Value| {
        let mut body = json!({"name": "x", "full_access": true});
        body[field] = value;
        body
    };
    let creates = [
        (json!({}), "name"),
        (json!({"name": "x"}), "scopes"),
        (json!({"name": "x", "scopes": []}), "scopes"),
        (json!({"name": "x", "scopes": ["a b"]}), "scopes"),
        (json!({"name": "x", "scopes": ["a"], "full_access": true}), "scopes"),
        (json!({"name": "x", "full_access": "true"}), "full_access"),
        (full("name", json!("")), "name"),
        (full("name", json!("é".repeat(101))), "name"),
        (full("name", json!("a\nb")), "name"),
        (full("expires_at", json!("2020-01-01T00:00:00Z")), "expires_at"),
        (full("expires_at", json!("2099-01-01")), "expires_at"),
        (full("expires_at", json!(4_102_444_800_u64)), "expires_at"),
        (full("metadata", json!([])), "metadata"),
        (full("metadata", json!({"a": 1})), "metadata"),
        (full("metadata", json!({"": "x"})), "metadata"),
        (full("allowed_networks", json!([])), "allowed_networks"),
        (full("allowed_networks", json!(["*"])), "allowed_networks"),
        (full("allowed_networks", json!(["192.0.2.0/33"])), "allowed_networks"),
        (full("environment", json!("live")), "environment"),
    ];
    for (body, field) in creates {
        let detail = ada.post("/", &body).await.expect(400)["detail"].clone();
        assert!(detail[field][0].is_string(), "{body}: {detail}");
        assert_eq!(detail.as_object().unwrap().len(), if body == json!({}) { 2 } else { 1 }, "{body}: {detail}");
    }
    let updates = [
        (json!({"scopes": ["b"]}), "scopes"),
        (json!({"scopes": []}), "scopes"),
        (json!({"expires_at": "2099-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"allowed_networks": ["192.0.2.0/24"]}), "allowed_networks"),
        (json!({"name": null}), "name"),
        (json!({"suspended": "yes", "name": "y"}), "suspended"),
    ];
    for (body, field) in updates {
        let detail = ada.patch(&path, &body).await.expect(400)["detail"].clone();
        assert!(detail[field][0].is_string(), "{body}: {detail}");
    }
    for (body, field) in [
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"overlap_seconds": -1}), "overlap_seconds"),
        (json!({"overlap_seconds": 0.5}), "overlap_seconds"),
    ] {
        let detail = ada.post(&format!("{path}regenerate/"), &body).await.expect(400)["detail"].clone();
        assert!(detail[field][0].is_string(), "{body}: {detail}");
    }
    let mut expected = made;
    expected.as_object_mut().unwrap().remove("api_key");
    assert_eq!(ada.get("/").await.json()["results"], json!([expected]));
}

/// Cases: 235.
#[tokio::test]
async fn rejected_value_is_never_repeated() {
    let server = axum_server(console(&keys()).api()).await;
    let ada = Client::of(&server, "acme/ada@example.com");
    let secret = "avk_0123456789abcdef0123456789abcdef01234567";
    for field in ["name", "scopes", "full_access", "expires_at", "metadata", "allowed_networks", "environment"] {
        for value in [json!(secret), json!([secret]), json!({secret: [secret]})] {
            let mut body = json!({"name": "x".repeat(101), "full_access": true});
            body[field] = value;
            let reply = ada.post("/", &body).await;
            assert!(!reply.body.contains(secret) || reply.status == 201, "{body}: {reply:?}");
        }
    }
    let reply = ada.send(Method::POST, "/", &[("content-type", "application/json")], secret).await;
    assert_eq!((reply.status, reply.body.contains(secret)), (400, false));
    let reply = ada.get(&format!("/?status={secret}&cursor={secret}")).await;
    assert_eq!((reply.status, reply.body.contains(secret)), (400, false));
}
