//! A service as people write it with axum: nested routers, and every usual layer.
#![cfg(all(feature = "axum", feature = "metrics"))]

use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Path, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{ACCEPT_ENCODING, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderName, Method, StatusCode};
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt};
use tower_api_key::auth::RequireScopesLayer;
use tower_api_key::scope::avala;
use tower_api_key::{Access, ApiKey, ApiKeyLayer, observe};
use tower_http::compression::CompressionLayer;
use tower_http::cors::{Any, CorsLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use super::counted;
use crate::support::keys::KEY;
use crate::support::seen::Seen;
use crate::support::store::store;

/// Counts responses by the route that matched, which axum knows inside the router.
async fn count(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    metrics::counter!("responses", "route" => route, "status" => response.status().as_u16().to_string()).increment(1);
    response
}

fn datasets() -> Router {
    let one = get(async |Path(uid): Path<String>, key: ApiKey| {
        Json(json!({ "uid": uid, "owner": key.organization().as_str(), "note": "long enough to compress".repeat(9) }))
    });
    let items = Router::new().route("/", get(async || Json(json!([]))));
    let create = post(async || StatusCode::CREATED).layer(RequireScopesLayer::new(avala::DATASETS_WRITE));
    Router::new()
        .route("/", get(async || Json(json!([]))).merge(create))
        .route("/{uid}", one)
        .nest("/{uid}/items", items)
}

fn app() -> Router {
    let keys = ApiKeyLayer::new(store(Access::scoped([avala::DATASETS_READ])))
        .on_decision(observe::tracing::record_decision)
        .on_decision(observe::metrics::record_decision);
    let read = RequireScopesLayer::new(avala::DATASETS_READ);
    let guarded = Router::new().nest("/datasets", datasets().layer(read)).layer(keys);
    let outer = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(CorsLayer::new().allow_origin(Any).allow_headers([HeaderName::from_static("x-avala-api-key")]))
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(5)))
        .layer(middleware::from_fn(count));
    Router::new().route("/health", get(async || "ok")).nest("/api/v1", guarded).layer(outer)
}

async fn ask(method: &str, path: &str, key: &str) -> Seen {
    let request = http::Request::builder().method(method).uri(path).header(ORIGIN, "https://example.com");
    let request = if key.is_empty() { request } else { request.header("X-Avala-Api-Key", key) };
    Seen::of(app().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await.unwrap()
}

/// Cases: 168.
#[test]
fn axum_service_with_all_usual_layers_works() {
    let expected = [
        "/api/v1/datasets 200 1",
        "/api/v1/datasets 401 1",
        "/api/v1/datasets 403 1",
        "/api/v1/datasets/{uid} 200 2",
        "/api/v1/datasets/{uid}/items 200 1",
        "/health 200 2",
    ];
    assert_eq!(counted::responses(requests()), expected);
}

async fn requests() {
    for (method, path, key, status) in [
        ("GET", "/health", "", 200),
        ("GET", "/api/v1/datasets", "", 401),
        ("GET", "/api/v1/datasets", KEY, 200),
        ("POST", "/api/v1/datasets", KEY, 403),
        ("GET", "/api/v1/datasets/7", KEY, 200),
        ("GET", "/api/v1/datasets/7/items", KEY, 200),
    ] {
        let reply = ask(method, path, key).await;
        assert_eq!(reply.status, status, "{method} {path} {reply:?}");
        let allows = reply.headers.iter().any(|line| line == "access-control-allow-origin: *");
        assert!(allows, "scripts can read the rejection too: {reply:?}");
    }
    let reply = ask("GET", "/api/v1/datasets/7", KEY).await;
    let value: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&value["uid"], &value["owner"]), (&json!("7"), &json!("acme")));

    let preflight = http::Request::builder().method(Method::OPTIONS).uri("/api/v1/datasets");
    let preflight = preflight.header(ORIGIN, "https://example.com").header(ACCESS_CONTROL_REQUEST_METHOD, "GET");
    let preflight = preflight.body(Body::empty()).unwrap();
    assert_eq!(app().oneshot(preflight).await.unwrap().status(), 200);
    let compressed = http::Request::get("/health").header(ACCEPT_ENCODING, "gzip").body(Body::empty()).unwrap();
    assert_eq!(app().oneshot(compressed).await.unwrap().status(), 200);
}
