//! A metrics layer around a guarded router, where axum has not matched the request: it labels by the line of the route table.
#![cfg(all(feature = "axum", feature = "metrics", feature = "routes"))]

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::{get, post};
use http::{Method, Request, StatusCode};
use tower::{ServiceBuilder, ServiceExt};
use tower_api_key::request::MatchedRoute;
use tower_api_key::routes::RouteTable;
use tower_api_key::scope::avala;
use tower_api_key::{Access, ApiKeyLayer, observe};
use tower_http::compression::CompressionLayer;
use tower_http::trace::TraceLayer;

use super::counted;
use crate::support::keys::KEY;
use crate::support::store::store;

/// Counts responses by the matched line, which the layer puts into the response.
fn count(response: Response) -> Response {
    let route = response.extensions().get::<MatchedRoute>().map_or("unlisted", MatchedRoute::as_str).to_owned();
    metrics::counter!("responses", "route" => route, "status" => response.status().as_u16().to_string()).increment(1);
    response
}

fn app() -> Router {
    let table = RouteTable::builder()
        .public(Method::GET, "/health")
        .route(Method::GET, "/datasets/{uid}", avala::DATASETS_READ)
        .route(Method::POST, "/datasets", avala::DATASETS_WRITE);
    let keys = ApiKeyLayer::new(store(Access::scoped([avala::DATASETS_READ])))
        .routes(table.build().unwrap())
        .expose_route()
        .on_decision(observe::metrics::record_decision);
    let datasets = Router::new().route("/", post(async || StatusCode::CREATED)).route("/{uid}", get(async || "one"));
    let router = Router::new().route("/health", get(async || "ok")).nest("/datasets", datasets);
    let guarded = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .map_response(count)
        .map_response(|response: http::Response<_>| response.map(Body::new))
        .layer(CompressionLayer::new())
        .layer(keys)
        .service(router);
    Router::new().fallback_service(guarded)
}

/// Cases: 168.
#[test]
fn metrics_layer_outside_labels_by_route_of_the_table() {
    let expected =
        ["/datasets 403 1", "/datasets/{uid} 200 2", "/datasets/{uid} 401 1", "/health 200 1", "unlisted 404 1"];
    assert_eq!(counted::responses(requests()), expected);
}

async fn requests() {
    for (method, path, key, status) in [
        ("GET", "/health", "", 200),
        ("GET", "/datasets/7", "", 401),
        ("GET", "/datasets/7", KEY, 200),
        ("GET", "/datasets/8", KEY, 200),
        ("POST", "/datasets", KEY, 403),
        ("GET", "/elsewhere", KEY, 404),
    ] {
        let request = Request::builder().method(method).uri(path).header("X-Avala-Api-Key", key);
        let response = app().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
    }
}
