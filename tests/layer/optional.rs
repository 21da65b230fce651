//! Where a key is optional: a request without one is anonymous, and an invalid key is still rejected.
#![cfg(all(feature = "axum", feature = "routes"))]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::handler::Handler;
use axum::routing::get;
use http::{Method, Request};
use tower::{Layer, ServiceExt};
use tower_api_key::auth::RequireScopesLayer;
use tower_api_key::decision::Denial;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::observe::Outcome;
use tower_api_key::rejection::CredentialError;
use tower_api_key::routes::{RouteTable, Unlisted};
use tower_api_key::scope::avala;
use tower_api_key::{Access, ApiKey, ApiKeyLayer, MemoryStore, Requirement};

use crate::support::awaited::Awaited;
use crate::support::keys::{KEY, record};
use crate::support::reply::{INVALID, Reply};
use crate::support::request::request;

const MISSING: &str = r#"{"detail":"Authentication credentials were not provided."}"#;
const FORBIDDEN: &str = r#"{"detail":"You do not have permission to perform this action."}"#;

#[tokio::test]
async fn anonymous_request_passes_only_where_any_key_would() {
    for (requirement, anonymous, empty, full) in [
        (Requirement::any_key(), 200, 200, 200),
        (Requirement::all_of([]), 200, 200, 200),
        (avala::DATASETS_READ.into(), 401, 403, 200),
        (Requirement::any_of([avala::DATASETS_READ]), 401, 403, 200),
        (Requirement::any_of([]), 401, 403, 403),
        (Requirement::full_access(), 401, 403, 200),
    ] {
        // Building a table fails for a requirement that no key can meet.
        for way in 0..if requirement.is_unmeetable() { 2 } else { 3 } {
            let layer = ApiKeyLayer::new(store()).allow_anonymous();
            let wanted = requirement.clone();
            let layer = match way {
                0 => layer.require(wanted),
                1 => layer.require_fn(move |_| wanted.clone()),
                _ => layer.routes(RouteTable::builder().route(Method::GET, "/datasets/", wanted).build().unwrap()),
            };
            for (key, status) in [("", anonymous), (" ", anonymous), (EMPTY, empty), (KEY, full), ("bad", 401)] {
                let reply = call(&layer, request(key)).await;
                assert_eq!(reply.status, status, "{requirement} {way} {key:?}");
                assert_eq!(
                    reply.headers.contains_key("www-authenticate"),
                    status == 401,
                    "{requirement} {way} {key:?}"
                );
                let body = match (status, key) {
                    (200, EMPTY) => "empty",
                    (200, KEY) => "acme",
                    (200, _) => "anonymous",
                    (403, _) => FORBIDDEN,
                    (_, "bad") => INVALID,
                    _ => MISSING,
                };
                assert_eq!(reply.body, body, "{requirement} {way} {key:?}");
            }
        }
    }
}

#[tokio::test]
async fn invalid_key_is_rejected_in_optional_layer() {
    let repeated = Request::builder().header("x-avala-api-key", KEY).header("x-avala-api-key", KEY);
    let bearer = Request::builder().header("x-avala-api-key", "").header("authorization", format!("Bearer {KEY}"));
    let too_long = Request::builder().header("x-avala-api-key", "a".repeat(513));
    let not_text = Request::builder().header("x-avala-api-key", &b"\xff\xfe"[..]);
    for bad in [repeated, bearer, too_long, not_text] {
        let layer = ApiKeyLayer::new(store()).accept_bearer().allow_anonymous();
        let reply = call(&layer, bad.body(String::new()).unwrap()).await;
        assert_eq!((reply.status, &*reply.body), (401, INVALID));
    }
}

#[tokio::test]
async fn outer_identity_does_not_replace_a_key() {
    let mut forged = request("");
    forged.extensions_mut().insert(ApiKey::for_test_of(record(Access::Full)));
    let reply = call(&ApiKeyLayer::new(store()).allow_anonymous(), forged).await;
    assert_eq!((reply.status, &*reply.body), (200, "anonymous"));
}

#[tokio::test]
async fn ambiguous_path_is_closed_to_anonymous() {
    let table = RouteTable::builder().unlisted(Unlisted::InsecureAnyKey).build().unwrap();
    let layer = ApiKeyLayer::new(store()).allow_anonymous().routes(table);
    for (key, status) in [("", 401), (KEY, 404)] {
        let mut request = request(key);
        *request.uri_mut() = "//datasets/".parse().unwrap();
        assert_eq!(call(&layer, request).await.status, status, "{key}");
    }
}

#[tokio::test]
async fn route_scopes_require_a_key() {
    let guarded = |requirement| get(who.layer(RequireScopesLayer::new(requirement)));
    let app = Router::new()
        .route("/open", get(who))
        .route("/any", guarded(Requirement::any_key()))
        .route("/read", guarded(avala::DATASETS_READ.into()))
        .layer(ApiKeyLayer::new(store()).allow_anonymous());
    for (path, key, status, body) in [
        ("/open", "", 200, "anonymous"),
        ("/open", KEY, 200, "acme"),
        ("/any", "", 401, MISSING),
        ("/any", KEY, 200, "acme"),
        ("/read", "", 401, MISSING),
        ("/read", KEY, 200, "acme"),
        ("/read", EMPTY, 403, FORBIDDEN),
    ] {
        let mut request = request(key).map(|_| Body::empty());
        *request.uri_mut() = path.parse().unwrap();
        let reply = Reply::of(app.clone().oneshot(request).await.unwrap()).await;
        assert_eq!((reply.status, &*reply.body), (status, body), "{path} {key}");
    }
}

#[tokio::test]
async fn event_marks_anonymous_requests() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&seen);
    let layer = ApiKeyLayer::new(Awaited(store())).allow_anonymous().on_decision(move |event| {
        hook.lock().unwrap().push((event.outcome(), event.key().map(KeyRecord::id)));
    });
    for key in ["", KEY, "bad"] {
        call(&layer, request(key)).await;
    }
    call(&layer.clone().require(Requirement::full_access()), request("")).await;
    assert_eq!(
        *seen.lock().unwrap(),
        [
            (Outcome::Anonymous, None),
            (Outcome::Accepted, Some(KeyId::from_u128(1))),
            (Outcome::Rejected(Denial::Unknown.into()), None),
            (Outcome::Rejected(CredentialError::Missing.into()), None),
        ]
    );
}

/// The key of [`store`] that opens nothing.
const EMPTY: &str = "a key without scopes";

fn store() -> MemoryStore {
    let keys = MemoryStore::new();
    keys.add(record(Access::Full)).unwrap();
    let digest = KeyDigest::hash(EMPTY.as_bytes());
    let empty = KeyRecord::new(KeyId::from_u128(2), digest, "empty".parse().unwrap(), Access::scoped([]));
    keys.add(empty).unwrap();
    keys
}

async fn who(key: Option<ApiKey>) -> String {
    key.map_or("anonymous".to_owned(), |key| key.organization().to_string())
}

async fn call(layer: &ApiKeyLayer, request: Request<String>) -> Reply {
    let service = layer.layer(Router::new().fallback(who));
    Reply::of(service.oneshot(request.map(Body::from)).await.unwrap()).await
}
