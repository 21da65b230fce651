//! Which line decides about a path that no line names: the prefix of a catch-all, and a method that the most specific
//! pattern lacks.

use axum::Router;
use axum::routing::{any, get};
use http::Method;
use tower::Layer;
use tower_api_key::routes::{RouteTable, RouteTableBuilder, Unlisted};
use tower_api_key::scope::avala;
use tower_api_key::{ApiKeyLayer, Requirement};

use super::world::{FULL, NO_KEY, NOTHING, READ, Ran, UNKNOWN, WRITE, World, keys};

async fn world(name: &'static str, table: RouteTableBuilder, router: impl Fn(&Ran) -> Router) -> World {
    let ran = Ran::default();
    let guarded = ApiKeyLayer::new(keys()).routes(table.build().unwrap()).layer(router(&ran));
    World::of(name, Router::new().fallback_service(guarded), ran).await
}

/// A site with a public page for every path, and an API below `/api`.
fn site(ran: &Ran) -> Router {
    let api = Router::new().route("/", any(ran.handler("api"))).route("/x", get(ran.handler("x")));
    Router::new()
        .route("/api/", any(ran.handler("api/")))
        .nest("/api", api)
        .route("/", get(ran.handler("root")))
        .fallback(ran.handler("page"))
}

/// Cases: 134.
#[tokio::test]
async fn guarded_catch_all_covers_its_own_prefix() {
    for unlisted in [Unlisted::Deny, Unlisted::InsecureAnyKey] {
        let table = RouteTable::builder().unlisted(unlisted).public(Method::GET, "/{*path}").route(
            Method::GET,
            "/api/{*path}",
            Requirement::full_access(),
        );
        let world = world("site", table, site).await;
        for (target, name) in [("/api", "api"), ("/api/", "api/"), ("/api/x", "x")] {
            for method in ["GET", "HEAD"] {
                for (key, status) in [(NO_KEY, 401), (UNKNOWN, 401), (NOTHING, 403), (READ, 403)] {
                    world.ask(method, target, key).await.is_rejected(status);
                }
                world.ask(method, target, FULL).await.ran(name);
            }
        }
        world.ask("GET", "/index.html", NO_KEY).await.ran("page");
        // Like any other method below `/api`.
        for target in ["/api", "/api/", "/api/x"] {
            world.ask("POST", target, NO_KEY).await.is_rejected(401);
        }
    }
}

/// Cases: 134.
///
/// axum runs the handler of `/{*path}` at the prefix of `/api/{*path}`.
#[tokio::test]
async fn covered_prefix_opens_no_less_specific_line() {
    let router = |ran: &Ran| {
        Router::new().route("/{*path}", get(ran.handler("page"))).route("/api/{*path}", get(ran.handler("api")))
    };
    let table = RouteTable::builder().route(Method::GET, "/{*path}", Requirement::full_access());
    let table = table.route(Method::GET, "/api/{*path}", avala::DATASETS_READ);
    let world = world("site", table, router).await;
    for target in ["/api", "/api/"] {
        for (key, status) in [(NO_KEY, 401), (NOTHING, 403), (READ, 403)] {
            world.ask("GET", target, key).await.is_rejected(status);
        }
        world.ask("GET", target, FULL).await.ran("page");
    }
    world.ask("GET", "/api/x", READ).await.ran("api");
}

/// Cases: 134.
///
/// As are other methods below the prefix, which axum answers with 405.
#[tokio::test]
async fn covered_prefix_is_unlisted_for_other_methods() {
    let router = |ran: &Ran| Router::new().route("/{*path}", any(ran.handler("page")));
    let table = RouteTable::builder().route(Method::POST, "/{*path}", Requirement::any_key());
    let table = table.route(Method::GET, "/api/{*path}", Requirement::full_access());
    let world = world("site", table, router).await;
    for target in ["/api", "/api/", "/api/x"] {
        world.ask("POST", target, FULL).await.is_rejected(404);
    }
    world.ask("POST", "/about", NOTHING).await.ran("page");
}

/// Cases: 134.
#[tokio::test]
async fn catch_all_of_root_covers_root() {
    let table = RouteTable::builder().unlisted(Unlisted::InsecureAnyKey).route(
        Method::GET,
        "/{*path}",
        Requirement::full_access(),
    );
    let world = world("site", table, site).await;
    for (key, status) in [(NO_KEY, 401), (NOTHING, 403), (READ, 403)] {
        world.ask("GET", "/", key).await.is_rejected(status);
    }
    world.ask("GET", "/", FULL).await.ran("root");
}

/// Cases: 134.
#[tokio::test]
async fn public_catch_all_opens_no_prefix() {
    let table = RouteTable::builder().public(Method::GET, "/api/{*path}");
    let world = world("site", table, site).await;
    world.ask("GET", "/api/x", NO_KEY).await.ran("x");
    for target in ["/api", "/api/", "/"] {
        world.ask("GET", target, NO_KEY).await.is_rejected(401);
        world.ask("GET", target, FULL).await.is_rejected(404);
    }
}

/// Cases: 134.
/// A line for the prefix itself counts, also where its parameter has another name.
#[tokio::test]
async fn line_for_prefix_beats_catch_all() {
    let table = RouteTable::builder()
        .public(Method::GET, "/{*path}")
        .public(Method::GET, "/of/{organization}")
        .route(Method::POST, "/of/{organization}", avala::DATASETS_WRITE)
        .route(Method::GET, "/of/{id}/{*rest}", Requirement::full_access())
        .route(Method::DELETE, "/of/{id}/{*rest}", avala::DATASETS_WRITE);
    let router = |ran: &Ran| {
        Router::new().route("/of/{id}", any(ran.handler("one"))).route("/of/{id}/{*rest}", any(ran.handler("rest")))
    };
    let world = world("organizations", table, router).await;
    world.ask("GET", "/of/acme", NO_KEY).await.ran("one");
    world.ask("POST", "/of/acme", READ).await.is_rejected(403);
    world.ask("POST", "/of/acme", WRITE).await.ran("one");
    for target in ["/of/acme", "/of/acme/x"] {
        world.ask("DELETE", target, NO_KEY).await.is_rejected(401);
        world.ask("DELETE", target, READ).await.is_rejected(403);
    }
    world.ask("DELETE", "/of/acme", WRITE).await.ran("one");
    world.ask("DELETE", "/of/acme/x", WRITE).await.ran("rest");
    world.ask("GET", "/of/acme/x", READ).await.is_rejected(403);
}

/// Cases: 135.
#[tokio::test]
async fn specific_pattern_hides_no_other_method() {
    let router = |ran: &Ran| {
        Router::new()
            .route("/admin/{page}", any(ran.handler("page")))
            .route("/admin/users", any(ran.handler("users")))
            .route("/admin/users/", any(ran.handler("users/")))
    };
    for (unlisted, full) in [(Unlisted::InsecureAnyKey, 200), (Unlisted::FullAccess, 200), (Unlisted::Deny, 404)] {
        for open in [false, true] {
            let table = RouteTable::builder()
                .unlisted(unlisted)
                .route(Method::GET, "/admin/{page}", Requirement::full_access())
                .route(Method::OPTIONS, "/admin/{page}", Requirement::full_access());
            let table = if open {
                table.public(Method::POST, "/admin/users")
            } else {
                table.route(Method::POST, "/admin/users", Requirement::any_key())
            };
            let world = world("admin", table, router).await;
            for method in ["GET", "HEAD", "OPTIONS"] {
                for key in [NO_KEY, UNKNOWN] {
                    world.ask(method, "/admin/users", key).await.is_rejected(401);
                }
                for key in [NOTHING, READ] {
                    let rejected = if unlisted == Unlisted::Deny { 404 } else { 403 };
                    world.ask(method, "/admin/users", key).await.is_rejected(rejected);
                }
                let got = world.ask(method, "/admin/users", FULL).await;
                assert_eq!((got.status, got.ran.len()), (full, usize::from(full == 200)), "{}", got.shown);
                // The other form of a listed route.
                for key in [NOTHING, FULL] {
                    world.ask(method, "/admin/users/", key).await.is_rejected(404);
                }
            }
            world.ask("POST", "/admin/users", NOTHING).await.ran("users");
        }
    }
}

/// Cases: 135.
/// A public line behind a more specific pattern opens nothing, and of several lines the most specific one counts.
#[tokio::test]
async fn hidden_line_opens_nothing() {
    let router = |ran: &Ran| {
        Router::new()
            .route("/a/{x}/c", any(ran.handler("param")))
            .route("/a/b/c", any(ran.handler("specific")))
            .route("/open/{page}", any(ran.handler("open")))
            .route("/open/users", any(ran.handler("users")))
    };
    for (unlisted, any_key) in [(Unlisted::Deny, 404), (Unlisted::FullAccess, 403), (Unlisted::InsecureAnyKey, 200)] {
        let table = RouteTable::builder()
            .unlisted(unlisted)
            .public(Method::GET, "/open/{page}")
            .route(Method::POST, "/open/users", Requirement::full_access())
            .route(Method::GET, "/a/{x}/{y}", Requirement::full_access())
            .route(Method::GET, "/a/{x}/c", Requirement::any_key())
            .route(Method::POST, "/a/b/c", Requirement::full_access());
        let world = world("hidden", table, router).await;
        world.ask("GET", "/open/users", NO_KEY).await.is_rejected(401);
        for target in ["/open/users", "/a/b/c"] {
            let got = world.ask("GET", target, NOTHING).await;
            assert_eq!((got.status, got.ran.len()), (any_key, usize::from(any_key == 200)), "{}", got.shown);
        }
        world.ask("GET", "/a/x/c", NOTHING).await.ran("param");
        world.ask("GET", "/open/page", NO_KEY).await.ran("open");
    }
}
