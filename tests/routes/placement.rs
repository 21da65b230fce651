//! Where the table is in a stack, and routes that no table lists.

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::map_request;
use axum::routing::get;
use http::Method;
use tower::Layer;
use tower_api_key::routes::{RouteTable, Unlisted};
use tower_api_key::scope::avala;
use tower_api_key::{ApiKeyLayer, Requirement};

use super::world::{FULL, NO_KEY, NOTHING, READ, Ran, UNKNOWN, VALID, WRITE, World, absent, keys, lines, router};

fn layer(unlisted: Unlisted) -> ApiKeyLayer {
    ApiKeyLayer::new(keys()).routes(lines(unlisted).build().unwrap())
}

/// Cases: 31.
/// The layer wraps the finished router, and the result has no `route` method (the documentation of the table shows that the
/// call does not compile). A route of an outer router is not guarded.
#[tokio::test]
async fn route_added_after_table_is_absent() {
    let ran = Ran::default();
    let late = router(&ran).route("/late", get(ran.handler("late")));
    let world = World::of("late", Router::new().fallback_service(layer(Unlisted::Deny).layer(late)), ran).await;
    for path in ["/late", "/forgotten"] {
        for key in [NO_KEY, UNKNOWN, NOTHING, READ, FULL] {
            world.ask("GET", path, key).await.is_rejected(absent(key));
        }
    }

    let ran = Ran::default();
    let guarded = layer(Unlisted::Deny).layer(router(&ran));
    let app = Router::new().fallback_service(guarded).route("/health", get(ran.handler("health")));
    let world = World::of("outer router", app, ran).await;
    world.ask("GET", "/health", NO_KEY).await.ran("health");
    world.ask("GET", "/admin", NO_KEY).await.is_rejected(401);

    // With `Router::layer`, a route that is added later is public, with or without a table.
    let ran = Ran::default();
    let app = router(&ran).layer(layer(Unlisted::Deny)).route("/late", get(ran.handler("late")));
    World::of("Router::layer", app, ran).await.ask("GET", "/late", NO_KEY).await.ran("late");
}

/// Cases: 32.
#[tokio::test]
async fn invalid_key_does_not_learn_which_routes_exist() {
    for world in World::each(Unlisted::Deny).await {
        for key in [NO_KEY, UNKNOWN] {
            let first = world.ask("GET", "/nowhere", key).await;
            first.is_rejected(401);
            for (method, target) in [
                ("GET", "/admin"),
                ("GET", "/forgotten"),
                ("GET", "/items/1"),
                ("DELETE", "/items/1"),
                ("PUT", "/items/1"),
                ("GET", "/signup"),
                ("POST", "/nowhere"),
                ("GET", "/admin/x"),
            ] {
                assert_eq!(world.ask(method, target, key).await.text, first.text, "{method} {target}");
            }
        }
        for key in VALID {
            world.ask("GET", "/nowhere", key).await.is_rejected(404);
        }
    }
}

/// Cases: 33.
/// Nested and merged routers with fallbacks of their own at every level.
#[tokio::test]
async fn unlisted_nested_or_merged_route_never_runs() {
    let table = || {
        RouteTable::builder()
            .route(Method::GET, "/api/x", avala::DATASETS_READ)
            .route(Method::GET, "/api/deep/{id}", avala::DATASETS_READ)
            .route(Method::GET, "/service/x", avala::DATASETS_READ)
            .route(Method::GET, "/merged", avala::DATASETS_READ)
            .build()
            .unwrap()
    };
    let ran = Ran::default();
    let fallback = || ran.handler("fallback");
    let deep = Router::new().route("/{id}", get(ran.handler("deep"))).fallback(fallback());
    let nested = Router::new().route("/x", get(ran.handler("x"))).nest("/deep", deep).fallback(fallback());
    let service = Router::new().route("/x", get(ran.handler("x"))).fallback(fallback());
    let merged = Router::new().route("/merged", get(ran.handler("merged")));
    let router = Router::new()
        .nest("/api", nested)
        .nest_service("/service", service)
        .merge(merged)
        .method_not_allowed_fallback(fallback())
        .fallback(fallback());
    let guarded = ApiKeyLayer::new(keys()).routes(table()).layer(router);
    let world = World::of("nested", Router::new().fallback_service(guarded), ran).await;
    for (target, name) in [("/api/x", "x"), ("/api/deep/1", "deep"), ("/service/x", "x"), ("/merged", "merged")] {
        for (key, status) in [(NO_KEY, 401), (UNKNOWN, 401), (WRITE, 403)] {
            world.ask("GET", target, key).await.is_rejected(status);
        }
        world.ask("GET", target, READ).await.ran(name);
        world.ask("POST", target, FULL).await.is_rejected(404);
    }
    for target in [
        "/",
        "/api",
        "/api/",
        "/api/y",
        "/api/deep",
        "/api/deep/",
        "/api/deep/1/2",
        "/service",
        "/service/",
        "/service/y",
        "/x",
        "/deep/1",
        "/merged/",
    ] {
        for key in [NO_KEY, UNKNOWN, READ, FULL] {
            world.ask("GET", target, key).await.is_rejected(absent(key));
        }
    }
}

/// Cases: 34.
/// A public entry for files or pages also matches routes that the table lacks. A second entry requires full access for
/// everything below `/api/`.
#[tokio::test]
async fn public_fallback_must_be_listed() {
    let ran = Ran::default();
    let app = || {
        Router::new()
            .route("/api/x", get(ran.handler("x")))
            .route("/api/forgotten", get(ran.handler("forgotten")))
            .fallback(ran.handler("page"))
    };
    let lines = || RouteTable::builder().route(Method::GET, "/api/x", avala::DATASETS_READ);
    let page = || lines().public(Method::GET, "/").public(Method::GET, "/{*path}");
    let with_api = page().route(Method::GET, "/api/{*path}", Requirement::full_access());
    for (name, table, statuses) in [
        ("no entry for the page", lines(), [401, 401, 401, 401]),
        ("an entry for the page", page(), [200, 200, 401, 200]),
        ("and an entry for the API", with_api, [200, 200, 401, 401]),
    ] {
        let layer = ApiKeyLayer::new(keys()).routes(table.build().unwrap());
        let world = World::of(name, Router::new().fallback_service(layer.layer(app())), ran.clone()).await;
        for (target, status) in ["/", "/index.html", "/api/x", "/api/forgotten"].iter().zip(statuses) {
            let got = world.ask("GET", target, NO_KEY).await;
            assert_eq!((got.status, got.ran.len()), (status, usize::from(status == 200)), "{}", got.shown);
        }
        world.ask("GET", "/api/x", READ).await.ran("x");
        // The page is for `GET` only.
        world.ask("POST", "/index.html", NO_KEY).await.is_rejected(401);
    }
}

/// Cases: 35.
/// Outside the router, axum has not matched the request yet, and a lookup by `MatchedPath` finds no route. The table has a
/// matcher of its own.
#[tokio::test]
async fn table_works_without_matched_path() {
    let by_matched_path = ApiKeyLayer::new(keys()).require_fn(|head| {
        let path = head.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        match path {
            Some("/items/{id}") => avala::DATASETS_READ.into(),
            // Without a known path, no scoped key is accepted.
            _ => Requirement::full_access(),
        }
    });
    let ran = Ran::default();
    let seen = Ran::default();
    let noted = map_request({
        let seen = seen.clone();
        move |request: Request| {
            seen.note(request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str));
            std::future::ready(request)
        }
    });
    let outside = Router::new().fallback_service(noted.layer(by_matched_path.layer(router(&ran))));
    let world = World::of("by MatchedPath, outside", outside, ran.clone()).await;
    world.ask("GET", "/items/1", READ).await.is_rejected(403);
    assert_eq!(seen.take(), ["none"]);

    let inside = World::of("by MatchedPath, inside", router(&ran).layer(by_matched_path), ran.clone()).await;
    inside.ask("GET", "/items/1", READ).await.ran("read");

    let table = Router::new().fallback_service(noted.layer(layer(Unlisted::Deny).layer(router(&ran))));
    let world = World::of("by the table", table, ran).await;
    world.ask("GET", "/items/1", READ).await.ran("read");
    world.ask("GET", "/items/1", WRITE).await.is_rejected(403);
    assert_eq!(seen.take(), ["none", "none"]);
}

/// Cases: 36.
#[tokio::test]
async fn unlisted_route_follows_the_setting() {
    for (unlisted, statuses) in [
        (Unlisted::Deny, [404, 404, 404, 404]),
        (Unlisted::FullAccess, [200, 403, 403, 403]),
        (Unlisted::InsecureAnyKey, [200, 200, 200, 200]),
    ] {
        for world in World::each(unlisted).await {
            for (key, status) in VALID.iter().zip(statuses) {
                let got = world.ask("GET", "/forgotten", key).await;
                assert_eq!((got.status, got.ran.len()), (status, usize::from(status == 200)), "{}", got.shown);
            }
            for key in [NO_KEY, UNKNOWN] {
                world.ask("GET", "/forgotten", key).await.is_rejected(401);
            }
            // Listed routes do not change.
            world.ask("GET", "/admin", READ).await.is_rejected(403);
            world.ask("GET", "/files/x", NO_KEY).await.ran("file");
        }
    }
}
