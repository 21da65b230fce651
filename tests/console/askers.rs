//! Who may ask, and for whose keys.

use std::convert::Infallible;
use std::pin::pin;

use axum::Router;
use bytes::Bytes;
use futures::channel::mpsc;
use http::{Method, Request};
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::json;
use tower::Layer;
use tower::util::{MapRequestLayer, ServiceExt};
use tower_api_key::console::Operator;
use tower_api_key::scope::avala;
use tower_api_key::{Access, ApiKey, ApiKeyLayer, NewKey};

use super::client::{BASE, Client, axum_server, console, keys, log_in, text};
use crate::support::axum_server::serve_axum;
use crate::support::reply::{INVALID, Reply};

const MISSING: &str = r#"{"detail":"Authentication credentials were not provided."}"#;
const FORBIDDEN: &str = r#"{"detail":"You do not have permission to perform this action."}"#;
const NOT_FOUND: &str = r#"{"detail":"Not found."}"#;

/// Cases: 232.
#[tokio::test]
async fn nothing_a_client_sends_is_an_identity() {
    let keys = keys();
    let full = keys.issue(&"acme".parse().unwrap(), NewKey::new("full", Access::Full).unwrap()).await.unwrap();
    let server = axum_server(console(&keys).api()).await;
    let anyone = Client::of(&server, "");
    // Without a layer that has authenticated it, a key is a header like any other.
    let headers = [
        ("content-type", "application/json"),
        ("x-avala-api-key", full.secret.expose_secret()),
        ("authorization", "Bearer acme"),
        ("operator", "acme"),
        ("x-operator", "acme/ada@example.com"),
        ("x-organization", "acme"),
        ("cookie", "operator=acme; organization=acme"),
    ];
    for (method, path) in [
        (Method::GET, "/".to_owned()),
        (Method::GET, "/?organization=acme".into()),
        (Method::POST, "/".into()),
        (Method::PATCH, format!("/{}/", full.record.id())),
        (Method::POST, format!("/{}/revoke/", full.record.id())),
        (Method::POST, format!("/{}/regenerate/", full.record.id())),
        (Method::GET, "/unknown/".into()),
        (Method::DELETE, "/".into()),
    ] {
        let reply =
            anyone.send(method, &path, &headers, r#"{"name": "x", "full_access": true, "operator": "acme"}"#).await;
        assert_eq!((reply.status, &*reply.body), (401, MISSING), "{path}");
    }
    assert_eq!(keys.counts_all().await.unwrap().active, 1);
}

/// Cases: 232.
#[tokio::test]
async fn key_with_full_access_manages_its_organization() {
    let keys = keys();
    let acme = "acme".parse().unwrap();
    let full = keys.issue(&acme, NewKey::new("full", Access::Full).unwrap()).await.unwrap();
    let scoped = keys.issue(&acme, NewKey::new("scoped", Access::scoped(avala::ALL)).unwrap()).await.unwrap();
    let guarded = Router::new().nest_service(BASE, console(&keys).api());
    let guarded = guarded.layer(ApiKeyLayer::new(keys.backend().clone()));
    let server = serve_axum(guarded.layer(MapRequestLayer::new(log_in::<axum::body::Body>))).await;
    let (full, scoped) = (full.secret.expose_secret(), scoped.secret.expose_secret());
    let header = |key| [("x-avala-api-key", key), ("content-type", "application/json")];

    for client in Client::both(&server, "") {
        let new = json!({"name": "by a key", "full_access": true}).to_string();
        let made = client.send(Method::POST, "/", &header(full), &new).await.expect(201);
        let owner = keys.identify(full.as_bytes()).await.unwrap().unwrap().id();
        assert_eq!(made["created_by"], owner.to_string());
        // A program needs no content type where there is no content.
        let revoke = format!("/{}/revoke/", text(&made["uid"]));
        client.send(Method::POST, &revoke, &[("x-avala-api-key", full)], "").await.expect(200);
        let foreign = [("x-avala-api-key", full), ("origin", "https://evil.example")];
        client.send(Method::GET, "/", &foreign, "").await.expect(200);
        let reply = client.send(Method::GET, "/?organization=other", &header(full), "").await;
        assert_eq!((reply.status, &*reply.body), (404, NOT_FOUND));
        for method in [Method::GET, Method::POST] {
            let reply = client.send(method, "/", &header(scoped), &new).await;
            assert_eq!((reply.status, &*reply.body), (403, FORBIDDEN));
        }
        // Of a key and a login, the key decides, and a browser may have sent both.
        let both = client.as_other("other/eve@example.com");
        assert_eq!(both.send(Method::GET, "/", &header(scoped), "").await.status, 403);
        let listed = both.send(Method::GET, "/?search=scoped", &header(full), "").await.expect(200);
        assert_eq!(listed["results"].as_array().unwrap().len(), 1);
        assert_eq!(both.send(Method::GET, "/", &foreign, "").await.status, 403);
    }
}

/// Cases: 232.
#[tokio::test]
async fn identity_in_the_extensions_is_enough() {
    let api = console(&keys()).api();
    for (request, status) in [
        (Request::get("/"), 401),
        (Request::get("/").extension(ApiKey::for_test("acme", Access::scoped([]))), 403),
        (Request::get("/").extension(ApiKey::for_test("acme", Access::Full)), 200),
        (Request::get("/").extension(Operator::new("acme".parse().unwrap(), "ada")), 200),
    ] {
        let response = api.clone().oneshot(request.body(String::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status);
    }
}

/// Cases: 234.
#[tokio::test]
async fn key_of_another_organization_is_not_found() {
    let keys = keys();
    let server = axum_server(console(&keys).api()).await;
    let ada = Client::of(&server, "acme/ada@example.com");
    let eve = ada.as_other("other/eve@example.com");
    let made = ada.post("/", &json!({"name": "of acme", "full_access": true})).await.expect(201);
    let uid = text(&made["uid"]);

    let not_found = |reply: Reply| assert_eq!((reply.status, &*reply.body), (404, NOT_FOUND));
    assert_eq!(eve.get("/").await.expect(200)["results"], json!([]));
    not_found(eve.get(&format!("/{uid}/")).await);
    not_found(eve.patch(&format!("/{uid}/"), &json!({"name": "mine"})).await);
    not_found(eve.post(&format!("/{uid}/revoke/"), &json!({})).await);
    not_found(eve.post(&format!("/{uid}/regenerate/"), &json!({})).await);
    for path in ["/", &format!("/{uid}/")] {
        not_found(eve.get(&format!("{path}?organization=acme")).await);
    }
    not_found(eve.post("/?organization=acme", &json!({"name": "x", "full_access": true})).await);
    let after = ada.get(&format!("/{uid}/")).await.expect(200);
    assert_eq!((&after["name"], &after["status"]), (&json!("of acme"), &json!("active")));
}

/// Cases: 234.
#[tokio::test]
async fn operator_of_all_names_the_organization() {
    let keys = keys();
    let server = axum_server(console(&keys).api()).await;
    let ada = Client::of(&server, "acme/ada@example.com");
    let staff = ada.as_other("*/staff@example.com");
    ada.post("/", &json!({"name": "of acme", "full_access": true})).await.expect(201);
    let made = staff.post("/?organization=other", &json!({"name": "by staff", "full_access": true})).await.expect(201);
    assert_eq!((&made["organization"], &made["created_by"]), (&json!("other"), &json!("staff@example.com")));
    let uid = text(&made["uid"]);

    let all = staff.get("/").await.expect(200);
    let mut organizations: Vec<_> =
        all["results"].as_array().unwrap().iter().map(|key| text(&key["organization"])).collect();
    organizations.sort();
    assert_eq!(organizations, ["acme", "other"]);
    assert_eq!(staff.get("/?organization=acme").await.expect(200)["results"].as_array().unwrap().len(), 1);
    // The id alone is not enough, so that a change of the wrong organization's key takes two mistakes.
    for reply in [
        staff.get(&format!("/{uid}/")).await,
        staff.post("/", &json!({"name": "x", "full_access": true})).await,
        staff.post(&format!("/{uid}/revoke/?organization="), &json!({})).await,
    ] {
        assert!(reply.expect(400)["detail"]["organization"][0].is_string());
    }
    staff.post(&format!("/{uid}/revoke/?organization=acme"), &json!({})).await.expect(404);
    assert_eq!(
        staff.post(&format!("/{uid}/revoke/?organization=other"), &json!({})).await.expect(200)["status"],
        "revoked"
    );
    // Others do not see which organization it is.
    assert!(ada.get("/").await.json()["results"][0].get("organization").is_none());
}

/// Cases: 232.
///
/// A stolen key must not outlive its revocation in a key that it makes meanwhile.
#[tokio::test]
async fn key_revoked_while_body_arrives_is_401() {
    let keys = keys();
    let acme = "acme".parse().unwrap();
    let issue = async |name| keys.issue(&acme, NewKey::new(name, Access::Full).unwrap()).await.unwrap();
    let target = issue("target").await.record;
    let service = ApiKeyLayer::new(keys.backend().clone()).layer(console(&keys).api());
    for (method, path) in [
        (Method::POST, "/".to_owned()),
        (Method::PATCH, format!("/{}/", target.id())),
        (Method::POST, format!("/{}/regenerate/", target.id())),
        (Method::POST, format!("/{}/revoke/", target.id())),
    ] {
        let caller = issue("caller").await;
        let (sender, frames) = mpsc::unbounded();
        let request = Request::builder().method(method).uri(&path).header("content-type", "application/json");
        let request = request.header("x-avala-api-key", caller.secret.expose_secret());
        let mut call = pin!(service.clone().oneshot(request.body(StreamBody::new(frames)).unwrap()));
        assert!(futures::poll!(&mut call).is_pending(), "{path}");

        keys.revoke(&acme, caller.record.id()).await.unwrap();
        let body = Bytes::from_static(br#"{"name": "x", "full_access": true}"#);
        sender.unbounded_send(Ok::<_, Infallible>(Frame::data(body))).unwrap();
        drop(sender);
        let reply = Reply::of(call.await.unwrap()).await;
        assert_eq!((reply.status, &*reply.body), (401, INVALID), "{path}");
    }
    assert_eq!(*keys.get(&acme, target.id()).await.unwrap(), *target);
    assert_eq!(keys.counts_all().await.unwrap().active, 1);
}
