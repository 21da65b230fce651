//! Methods: `HEAD`, unlisted ones, and those that a header names.

use axum::Router;
use axum::extract::Request;
use axum::middleware::map_request;
use http::{HeaderValue, Method};
use tower::Layer;
use tower_api_key::ApiKeyLayer;
use tower_api_key::routes::Unlisted;
use tower_http::cors::CorsLayer;

use super::world::{FULL, NO_KEY, NOTHING, READ, Ran, UNKNOWN, VALID, WRITE, World, absent, keys, lines, router};

/// Cases: 28.
#[tokio::test]
async fn head_requires_what_get_requires() {
    for world in World::each(Unlisted::InsecureAnyKey).await {
        for method in ["GET", "HEAD"] {
            for (key, status) in [(NO_KEY, 401), (UNKNOWN, 401), (NOTHING, 403), (WRITE, 403)] {
                world.ask(method, "/items/1", key).await.is_rejected(status);
            }
            for key in [READ, FULL] {
                world.ask(method, "/items/1", key).await.ran("read");
            }
            world.ask(method, "/files/x", NO_KEY).await.ran("file");
            world.ask(method, "/admin", READ).await.is_rejected(403);
        }
        world.ask("DELETE", "/items/1", READ).await.is_rejected(403);
        world.ask("DELETE", "/items/1", WRITE).await.ran("delete");
    }
}

/// Cases: 28.
#[tokio::test]
async fn other_method_is_another_route() {
    for world in World::each(Unlisted::Deny).await {
        for path in ["/items/1", "/admin", "/files/x", "/signup", "/nowhere"] {
            for method in ["OPTIONS", "TRACE", "PUT", "PATCH", "BREW", "get", "GETS"] {
                for key in [NO_KEY, UNKNOWN, NOTHING, FULL] {
                    world.ask(method, path, key).await.is_rejected(absent(key));
                }
            }
        }
        // `HEAD` requires what `GET` requires, and no other method.
        for key in [NO_KEY, UNKNOWN, FULL] {
            world.ask("HEAD", "/signup", key).await.is_rejected(absent(key));
        }
    }
}

/// Cases: 29.
/// A rewrite inside the layer comes after the check, like any other code of the service, and the table cannot see it. A
/// rewrite outside the layer gives no more access.
#[tokio::test]
async fn method_override_header_is_ignored_or_checked() {
    let overrides = "X-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\nX-Method-Override: DELETE\r\n";
    for world in World::each(Unlisted::Deny).await {
        for target in ["/items/1", "/items/1?_method=DELETE"] {
            world.ask_with("GET", target, READ, overrides).await.ran("read");
            world.ask_with("GET", target, WRITE, overrides).await.is_rejected(403);
            world.ask_with("OPTIONS", target, READ, overrides).await.is_rejected(404);
        }
    }
    let ran = Ran::default();
    let layer = ApiKeyLayer::new(keys()).routes(lines(Unlisted::Deny).build().unwrap());
    let app = Router::new().fallback_service(layer.layer(router(&ran))).layer(map_request(overridden));
    let world = World::of("rewritten outside", app, ran).await;
    world.ask_with("GET", "/items/1", READ, overrides).await.is_rejected(403);
    world.ask_with("GET", "/items/1", WRITE, overrides).await.ran("delete");
    world.ask_with("GET", "/files/x", NO_KEY, overrides).await.is_rejected(401);
    world.ask("GET", "/items/1", READ).await.ran("read");
}

/// As some frameworks do by default.
async fn overridden(mut request: Request) -> Request {
    if let Some(method) = request.headers().get("x-http-method-override").map(HeaderValue::as_bytes) {
        *request.method_mut() = Method::from_bytes(method).unwrap();
    }
    request
}

/// Cases: 30.
#[tokio::test]
async fn preflight_passes_only_if_allowed() {
    let preflight = "Origin: https://example.com\r\nAccess-Control-Request-Method: DELETE\r\n";
    for world in World::each(Unlisted::Deny).await {
        world.ask_with("OPTIONS", "/items/1", NO_KEY, preflight).await.is_rejected(401);
    }

    let ran = Ran::default();
    let layer = ApiKeyLayer::new(keys()).routes(lines(Unlisted::Deny).build().unwrap());
    let app = Router::new().fallback_service(layer.layer(router(&ran))).layer(CorsLayer::permissive());
    let outside = World::of("CORS outside", app, ran).await;

    let ran = Ran::default();
    let table = lines(Unlisted::Deny).public(Method::OPTIONS, "/items/{id}").build().unwrap();
    let layer = ApiKeyLayer::new(keys()).routes(table);
    let app = Router::new().fallback_service(layer.layer(router(&ran).layer(CorsLayer::permissive())));
    let listed = World::of("CORS inside, and listed", app, ran).await;

    for world in [outside, listed] {
        world.ask_with("OPTIONS", "/items/1", NO_KEY, preflight).await.is_rejected(200);
        // The request after the preflight requires a key, and these headers do not make it a preflight.
        for method in ["GET", "DELETE", "PUT"] {
            world.ask_with(method, "/items/1", NO_KEY, preflight).await.is_rejected(401);
        }
        world.ask_with("GET", "/items/1", READ, preflight).await.ran("read");
        for key in VALID {
            assert_ne!(world.ask_with("DELETE", "/admin", key, preflight).await.status, 200);
        }
    }
}

#[test]
fn path_has_exactly_its_listed_methods() {
    let table = lines(Unlisted::Deny).build().unwrap();
    let methods = |path| table.methods(path).map(Method::as_str).collect::<Vec<_>>();
    assert_eq!(methods("/items/1"), ["GET", "DELETE"]);
    for other in ["/nowhere", "/items/1/../1", "//items/1"] {
        assert!(methods(other).is_empty(), "{other}");
    }
}
