//! Which line decided about a request: in the event, for renderers, for handlers and for outer layers.

use std::sync::{Arc, Mutex};

use axum::handler::Handler;
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::Method;
use tower::{Layer, ServiceExt};
use tower_api_key::auth::RequireScopesLayer;
use tower_api_key::request::MatchedRoute;
use tower_api_key::routes::{RouteTable, Unlisted};
use tower_api_key::scope::avala;
use tower_api_key::{ApiKey, ApiKeyLayer, MemoryStore, Requirement};

use super::world::{FULL, NO_KEY, NOTHING, READ, UNKNOWN, keys, request};
use crate::support::awaited::Awaited;

#[derive(Clone, Default)]
struct Routes(Arc<Mutex<Vec<String>>>);

impl Routes {
    fn note(&self, place: &str, route: Option<&str>) {
        self.0.lock().unwrap().push(format!("{place} {}", route.unwrap_or("none")));
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn table() -> RouteTable {
    RouteTable::builder()
        .unlisted(Unlisted::InsecureAnyKey)
        .public(Method::GET, "/files/{*path}")
        .route(Method::GET, "/items/{id}", avala::DATASETS_READ)
        .route(Method::POST, "/items/{id}", Requirement::any_key())
        .route(Method::GET, "/net/{*rest}", Requirement::full_access())
        .build()
        .unwrap()
}

fn guarded(layer: ApiKeyLayer, routes: &Routes) -> Router {
    let noted = |key: Option<Extension<ApiKey>>, routes: &Routes| {
        routes.note("handler", key.as_ref().and_then(|key| key.matched_route()));
    };
    let handler = {
        let routes = routes.clone();
        move |key: Option<Extension<ApiKey>>| {
            noted(key, &routes);
            std::future::ready("ok")
        }
    };
    let router = Router::new()
        .route("/items/{id}", get(handler.clone()))
        .route("/items/{id}", post(handler.clone().layer(RequireScopesLayer::new(avala::DATASETS_WRITE))))
        .fallback(handler);
    let (event, renderer) = (routes.clone(), routes.clone());
    let layer = layer
        .routes(table())
        .on_decision(move |seen| event.note("event", seen.matched_route()))
        .rejection_response(move |rejected| {
            renderer.note("renderer", rejected.matched_route());
            rejected.response()
        });
    Router::new().fallback_service(layer.layer(router))
}

/// Cases: 153.
#[tokio::test]
async fn matched_route_is_known_everywhere() {
    let stores = [ApiKeyLayer::new(keys()), ApiKeyLayer::new(Awaited(keys()))];
    for layer in stores {
        let routes = Routes::default();
        let service = guarded(layer.expose_route(), &routes);
        for (method, path, key, pattern, inside) in [
            (Method::GET, "/items/1", READ, "/items/{id}", "handler"),
            (Method::HEAD, "/items/1", READ, "/items/{id}", "handler"),
            (Method::GET, "/items/1", NO_KEY, "/items/{id}", "renderer"),
            (Method::GET, "/items/1", UNKNOWN, "/items/{id}", "renderer"),
            (Method::GET, "/items/1", NOTHING, "/items/{id}", "renderer"),
            // Rejected by a layer inside.
            (Method::POST, "/items/1", NOTHING, "/items/{id}", "renderer"),
            (Method::GET, "/net", FULL, "/net/{*rest}", "handler"),
            (Method::GET, "/unlisted", READ, "none", "handler"),
            (Method::GET, "/items/1/", READ, "none", "renderer"),
        ] {
            let response = service.clone().oneshot(request(&method, path, key)).await.unwrap();
            let exposed = response.extensions().get::<MatchedRoute>().map_or("none", MatchedRoute::as_str);
            assert_eq!(exposed, pattern, "{method} {path} {key}");
            assert_eq!(
                routes.take(),
                [format!("{inside} {pattern}"), format!("event {pattern}")],
                "{method} {path} {key}"
            );
        }
        let response = service.clone().oneshot(request(&Method::GET, "/files/x", NO_KEY)).await.unwrap();
        let exposed = response.extensions().get::<MatchedRoute>().map(MatchedRoute::as_str);
        assert_eq!(exposed, Some("/files/{*path}"));
        assert_eq!(routes.take(), ["handler none", "event /files/{*path}"], "a public route has no key to ask");
    }
}

/// Cases: 153.
#[tokio::test]
async fn route_is_exposed_only_by_choice_and_table() {
    let service = guarded(ApiKeyLayer::new(keys()), &Routes::default());
    let response = service.oneshot(request(&Method::GET, "/items/1", READ)).await.unwrap();
    assert!(response.extensions().get::<MatchedRoute>().is_none());

    let bare = ApiKeyLayer::new(MemoryStore::new()).allow_anonymous().expose_route();
    let service = bare.layer(Router::new().fallback(async || "ok"));
    let response = service.oneshot(request(&Method::GET, "/items/1", NO_KEY)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.extensions().get::<MatchedRoute>().is_none());
}
