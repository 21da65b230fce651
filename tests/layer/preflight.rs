//! CORS preflights, which carry no key: let through to a CORS layer only, and only where that was switched on.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get};
use http::{Method, Request};
use tower::{Layer, ServiceExt};
use tower_api_key::auth::RequireScopesLayer;
use tower_api_key::observe::Outcome;
use tower_api_key::rejection::CredentialError;
use tower_api_key::scope::avala;
use tower_api_key::{Access, ApiKey, ApiKeyLayer, MemoryStore, Rejection};
use tower_http::cors::CorsLayer;

use crate::support::handler::Handler;
use crate::support::keys::{KEY, record};
use crate::support::reply::{INVALID, Reply};

const MISSING: &str = r#"{"detail":"Authentication credentials were not provided."}"#;

/// Cases: 30.
/// Each header of a preflight, present or not, with each method: only the one combination is a preflight.
#[tokio::test]
async fn only_true_preflight_reaches_only_a_cors_layer() {
    for (switched_on, method, origin, asks) in combinations() {
        let layer = ApiKeyLayer::new(MemoryStore::new());
        let layer = if switched_on { layer.allow_preflight() } else { layer };
        let handler = Handler::default();
        let service = layer.layer(CorsLayer::permissive().layer(handler.service()));
        let request = of(&method, origin, asks, None).map(|()| String::new());
        let reply = Reply::of(service.oneshot(request).await.unwrap()).await;
        let through = switched_on && method == Method::OPTIONS && origin && asks;
        let context = format!("{switched_on} {method} {origin} {asks}");
        assert_eq!(reply.status, if through { 200 } else { 401 }, "{context}");
        assert_eq!(reply.headers.contains_key("access-control-allow-origin"), through, "{context}");
        let body = if through || method == Method::HEAD { "" } else { MISSING };
        assert_eq!(reply.body, body, "{context}");
        assert_eq!(handler.calls(), 0, "{context}");
    }
}

#[tokio::test]
async fn invalid_key_on_non_preflight_is_rejected() {
    let service = ApiKeyLayer::new(MemoryStore::new()).allow_preflight().layer(Handler::default().service());
    let request = of(&Method::OPTIONS, true, false, Some("bad")).map(|()| String::new());
    assert_eq!(Reply::of(service.oneshot(request).await.unwrap()).await.body, INVALID);
}

#[tokio::test]
async fn preflight_without_cors_layer_is_401() {
    let router = Router::new().route("/any", any(async || "leaked")).route("/get", get(async || "leaked"));
    let app = ApiKeyLayer::new(MemoryStore::new()).allow_preflight().layer(router);
    for path in ["/any", "/get", "/nowhere"] {
        let mut request = of(&Method::OPTIONS, true, true, None).map(|()| Body::empty());
        *request.uri_mut() = path.parse().unwrap();
        let reply = Reply::of(app.clone().oneshot(request).await.unwrap()).await;
        assert_eq!((reply.status, &*reply.body), (401, MISSING), "{path}");
        assert_eq!(reply.headers["www-authenticate"], r#"ApiKey realm="api", header="X-Avala-Api-Key""#, "{path}");
        assert!(!reply.headers.contains_key("allow"), "{path}");
    }
}

#[tokio::test]
async fn preflight_passes_no_key_to_inner_service() {
    let keys = MemoryStore::new();
    keys.add(record(Access::Full)).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let seen = Arc::clone(&seen);
        tower::service_fn(move |request: Request<String>| {
            let key = request.extensions().get::<ApiKey>().is_some();
            seen.lock().unwrap().push((key, request.headers().contains_key("x-avala-api-key")));
            let response = http::Response::builder().header("access-control-allow-origin", "*").body(String::new());
            std::future::ready(response)
        })
    };
    let service = ApiKeyLayer::new(keys).allow_preflight().layer(handler);
    let forged = ApiKey::for_test_of(record(Access::Full));
    let mut request = of(&Method::OPTIONS, true, true, Some(KEY)).map(|()| String::new());
    request.extensions_mut().insert(forged);
    assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
    assert_eq!(*seen.lock().unwrap(), [(false, false)]);
}

#[tokio::test]
async fn route_scopes_reject_preflight() {
    let scoped = RequireScopesLayer::new(avala::DATASETS_READ);
    let app = Router::new()
        .route("/", any(async || "leaked").layer(scoped))
        .layer(ApiKeyLayer::new(MemoryStore::new()).allow_preflight());
    let request = of(&Method::OPTIONS, true, true, None).map(|()| Body::empty());
    let reply = Reply::of(app.oneshot(request).await.unwrap()).await;
    assert_eq!((reply.status, &*reply.body), (401, MISSING));
}

#[tokio::test]
async fn event_marks_answered_and_rejected_preflight() {
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let layer = {
        let outcomes = Arc::clone(&outcomes);
        let record = move |outcome, status| outcomes.lock().unwrap().push((outcome, status));
        ApiKeyLayer::new(MemoryStore::new())
            .allow_preflight()
            .on_decision(move |event| record(event.outcome(), event.status().unwrap().as_u16()))
    };
    let preflight = || of(&Method::OPTIONS, true, true, None).map(|()| String::new());
    let handler = Handler::default();
    let answered = layer.layer(CorsLayer::permissive().layer(handler.service()));
    answered.oneshot(preflight()).await.unwrap();
    layer.layer(handler.service()).oneshot(preflight()).await.unwrap();
    let missing = Rejection::from(CredentialError::Missing);
    assert_eq!(*outcomes.lock().unwrap(), [(Outcome::Preflight, 200), (Outcome::Rejected(missing), 401)]);
}

fn combinations() -> impl Iterator<Item = (bool, Method, bool, bool)> {
    let methods = ["OPTIONS", "GET", "POST", "HEAD", "TRACE", "options", "MADEUP"];
    let methods = methods.map(|method| Method::from_bytes(method.as_bytes()).unwrap());
    let flags = |method: Method| (0..8).map(move |bits| (bits & 1 > 0, method.clone(), bits & 2 > 0, bits & 4 > 0));
    methods.into_iter().flat_map(flags)
}

fn of(method: &Method, origin: bool, asks: bool, key: Option<&str>) -> Request<()> {
    let request = Request::builder().method(method).uri("/");
    let request = if origin { request.header("origin", "https://app.example") } else { request };
    let request = if asks { request.header("access-control-request-method", "PUT") } else { request };
    let request = if let Some(key) = key { request.header("x-avala-api-key", key) } else { request };
    request.body(()).unwrap()
}

/// Cases: 126.
/// A handler for any method that sets the CORS headers itself.
#[tokio::test]
async fn preflight_answered_by_handler_has_no_body() {
    let handler = any(async || ([("access-control-allow-origin", "*"), ("content-type", "text/plain")], "leaked"));
    let app = ApiKeyLayer::new(MemoryStore::new()).allow_preflight().layer(Router::new().route("/", handler));
    let request = of(&Method::OPTIONS, true, true, None).map(|()| Body::empty());
    let reply = Reply::of(app.oneshot(request).await.unwrap()).await;
    assert_eq!((reply.status, &*reply.body), (200, ""));
    assert_eq!(reply.headers["access-control-allow-origin"], "*");
    for header in ["content-length", "content-type"] {
        assert!(!reply.headers.contains_key(header), "{header}");
    }
}
