//! Public routes.

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use http::{HeaderMap, Method};
use tower::Layer;
use tower_api_key::routes::{RouteTable, Unlisted};
use tower_api_key::{ApiKey, ApiKeyLayer, Requirement};

use super::world::{FULL, NO_KEY, NOTHING, READ, Ran, UNKNOWN, World, absent, keys};

/// Cases: 37.
/// No prefix, other spelling or other method is public.
#[tokio::test]
async fn public_entry_is_one_method_and_route() {
    for world in World::each(Unlisted::Deny).await {
        for key in [NO_KEY, UNKNOWN, NOTHING, FULL] {
            for target in ["/signup", "/signup?next=/admin"] {
                world.ask("POST", target, key).await.ran("sign up");
            }
            for target in [
                "/signup-admin",
                "/signup/",
                "/signup/x",
                "/signup/../x",
                "/signup/../signup",
                "/SIGNUP",
                "/Signup",
                "/signup%2f",
                "/signup%2F..",
                "/sign%75p",
                "/signup;x",
                "/signup.",
                "/signu",
                "/x/signup",
                "//signup",
                "/signup%20",
                "/signup%3f",
            ] {
                world.ask("POST", target, key).await.is_rejected(absent(key));
            }
            for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post", "POSTS"] {
                world.ask(method, "/signup", key).await.is_rejected(absent(key));
            }
        }
        // A public `{*path}` makes no other path public.
        for target in ["/files/../admin", "/files/x/../../admin", "/files/%2e%2e/admin", "/files/..;/admin"] {
            world.ask("GET", target, NO_KEY).await.is_rejected(401);
        }
    }
}

/// Cases: 37.
/// The handler of a public route never sees a key.
#[tokio::test]
async fn key_on_public_route_is_not_checked_or_passed_on() {
    let table = RouteTable::builder().public(Method::GET, "/open").build().unwrap();
    let app = Router::new().route(
        "/open",
        get(async |headers: HeaderMap, request: Request| {
            let key = headers.contains_key("x-avala-api-key") || request.extensions().get::<ApiKey>().is_some();
            assert!(!key, "{headers:?}");
        }),
    );
    let layer = ApiKeyLayer::new(keys()).require(Requirement::full_access()).routes(table);
    let world = World::of("open", Router::new().fallback_service(layer.layer(app)), Ran::default()).await;
    for (key, lines) in [(NO_KEY, ""), (UNKNOWN, ""), (READ, "X-Avala-Api-Key: full\r\n"), (FULL, "")] {
        assert_eq!(world.ask_with("GET", "/open", key, lines).await.status, 200);
    }
}

/// Cases: 47.
/// The response of a public route belongs to no customer. It may be cached, unless the handler forbids it.
#[tokio::test]
async fn only_guarded_response_is_private() {
    let table = RouteTable::builder()
        .public(Method::GET, "/open")
        .public(Method::POST, "/own")
        .route(Method::GET, "/guarded", Requirement::any_key())
        .build()
        .unwrap();
    let app = || {
        Router::new()
            .route("/open", get(async || "open"))
            .route("/own", post(async || ([("cache-control", "no-store")], "own")))
            .route("/guarded", get(async || "guarded"))
    };
    let layer = ApiKeyLayer::new(keys()).routes(table);
    for (name, layer, private) in [
        ("by default", layer.clone(), Some("cache-control: private")),
        ("left alone", layer.without_cache_control(), None),
    ] {
        let world = World::of(name, Router::new().fallback_service(layer.layer(app())), Ran::default()).await;
        for (method, target, key, expected) in [
            ("GET", "/open", NO_KEY, None),
            ("GET", "/open", FULL, None),
            ("HEAD", "/open", NO_KEY, None),
            ("POST", "/own", NO_KEY, Some("cache-control: no-store")),
            ("GET", "/guarded", FULL, private),
            ("HEAD", "/guarded", FULL, private),
            ("GET", "/guarded", NO_KEY, Some("cache-control: no-store")),
        ] {
            let got = world.ask(method, target, key).await;
            let line = got.headers.iter().find(|line| line.starts_with("cache-control"));
            assert_eq!(line.map(String::as_str), expected, "{name}: {}", got.shown);
        }
    }
}
