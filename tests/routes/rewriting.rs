//! Layers that rewrite paths, on either side of the table.

use axum::Router;
use axum::routing::{get, post};
use http::Method;
use tower::Layer;
use tower_api_key::routes::{RouteTable, Unlisted};
use tower_api_key::scope::avala;
use tower_api_key::{ApiKeyLayer, Requirement};
use tower_http::normalize_path::NormalizePathLayer;

use super::world::{FULL, NO_KEY, NOTHING, READ, Ran, WRITE, World, keys, router as plain_router};

/// Entries that differ in their trailing slashes, and a public one for every other path.
fn layer() -> ApiKeyLayer {
    let table = RouteTable::builder()
        .unlisted(Unlisted::InsecureAnyKey)
        .public(Method::GET, "/{*path}")
        .route(Method::GET, "/admin", Requirement::full_access())
        .route(Method::GET, "/notes/", avala::DATASETS_READ)
        .route(Method::GET, "/notes/{id}", avala::DATASETS_READ)
        .route(Method::GET, "/notes/new/", avala::DATASETS_WRITE);
    ApiKeyLayer::new(keys()).routes(table.build().unwrap())
}

fn router(ran: &Ran) -> Router {
    Router::new()
        .route("/{*path}", get(ran.handler("any")))
        .route("/admin", get(ran.handler("admin")))
        .route("/notes/", get(ran.handler("notes")))
        .route("/notes/{id}", get(ran.handler("note")))
        .route("/notes/new/", get(ran.handler("new note")))
}

/// Cases: 26.
/// The scope of the route that runs is enforced, whichever form of the path the client sends.
#[tokio::test]
async fn rewrite_inside_layer_enforces_scope_of_new_route() {
    let needs = [("any", &[NO_KEY, NOTHING, READ, WRITE, FULL][..]), ("admin", &[FULL]), ("notes", &[READ, FULL])];
    let needs = [&needs[..], &[("note", &[READ, FULL]), ("new note", &[WRITE, FULL])]].concat();
    for (name, rewrite) in [
        ("trimmed inside", NormalizePathLayer::trim_trailing_slash()),
        ("appended inside", NormalizePathLayer::append_trailing_slash()),
    ] {
        let ran = Ran::default();
        let guarded = layer().layer(rewrite.layer(router(&ran)));
        let world = World::of(name, Router::new().fallback_service(guarded), ran).await;
        let mut seen = Vec::new();
        for target in [
            "/admin",
            "/admin/",
            "//admin",
            "/admin//",
            "/notes",
            "/notes/",
            "/notes/1",
            "/notes/1/",
            "/notes/new",
            "/notes/new/",
            "/x",
            "/x/",
            "/",
        ] {
            for key in [NO_KEY, NOTHING, READ, WRITE, FULL] {
                let got = world.ask("GET", target, key).await;
                for handler in &got.ran {
                    let (_, may) = needs.iter().find(|(name, _)| name == handler).unwrap();
                    assert!(may.contains(&key), "{}", got.shown);
                    seen.push(handler.clone());
                }
            }
        }
        // Every route that is reachable behind the rewrite ran at least once.
        let expected: &[&str] =
            if name.starts_with("trimmed") { &["admin", "any", "note"] } else { &["any", "new note", "notes"] };
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, expected, "{name}");
        world.ask("GET", "/x", NO_KEY).await.ran("any");
    }
}

/// Cases: 26.
/// The matcher accepts an empty parameter behind a prefix if something follows it.
#[tokio::test]
async fn empty_parameter_does_not_bypass_the_table() {
    let table =
        RouteTable::builder().unlisted(Unlisted::InsecureAnyKey).route(Method::GET, "/a{x}/", avala::DATASETS_READ);
    let layer = ApiKeyLayer::new(keys()).routes(table.build().unwrap());
    let ran = Ran::default();
    let app = Router::new().route("/a{x}/", get(ran.handler("a")));
    let guarded = layer.layer(NormalizePathLayer::append_trailing_slash().layer(app));
    let world = World::of("appended inside", Router::new().fallback_service(guarded), ran).await;
    world.ask("GET", "/a", NOTHING).await.is_rejected(404);
    world.ask("GET", "/a/", NOTHING).await.is_rejected(403);
    world.ask("GET", "/a/", READ).await.ran("a");
}

/// Cases: 26.
/// A path whose own entry has another method may match an entry with `{*rest}`.
#[tokio::test]
async fn other_method_does_not_bypass_the_table() {
    let table = RouteTable::builder()
        .unlisted(Unlisted::InsecureAnyKey)
        .route(Method::GET, "/a/b", Requirement::any_key())
        .route(Method::POST, "/a/{*rest}", Requirement::full_access());
    let layer = ApiKeyLayer::new(keys()).routes(table.build().unwrap());
    let ran = Ran::default();
    let app = Router::new().route("/a/b", get(ran.handler("get"))).route("/a/{*rest}", post(ran.handler("post")));
    let guarded = layer.layer(NormalizePathLayer::append_trailing_slash().layer(app));
    let world = World::of("appended inside", Router::new().fallback_service(guarded), ran).await;
    world.ask("POST", "/a/b", NOTHING).await.is_rejected(404);
    world.ask("POST", "/a/b/", NOTHING).await.is_rejected(403);
    world.ask("POST", "/a/b/", FULL).await.ran("post");
}

/// Cases: 26.
/// The table sees what the router sees.
#[tokio::test]
async fn rewrite_outside_layer_changes_nothing() {
    let table = super::world::lines(Unlisted::Deny).build().unwrap();
    let layer = ApiKeyLayer::new(keys()).routes(table);
    let ran = Ran::default();
    let guarded = NormalizePathLayer::trim_trailing_slash().layer(layer.layer(plain_router(&ran)));
    let world = World::of("trimmed outside", Router::new().fallback_service(guarded), ran).await;
    for target in ["/admin", "/admin/", "//admin", "/admin//", "//admin//"] {
        for (key, status) in [(NO_KEY, 401), (READ, 403)] {
            world.ask("GET", target, key).await.is_rejected(status);
        }
        world.ask("GET", target, FULL).await.ran("admin");
    }
    for target in ["/x//admin", "/%61dmin/", "/admin%2f", "/admin;x/"] {
        for (key, status) in [(NO_KEY, 401), (READ, 404), (FULL, 404)] {
            world.ask("GET", target, key).await.is_rejected(status);
        }
    }
}

/// Cases: 26.
/// Without a rewrite too, and whichever setting unlisted routes have.
#[tokio::test]
async fn listed_path_with_other_slash_is_absent() {
    for unlisted in [Unlisted::Deny, Unlisted::FullAccess, Unlisted::InsecureAnyKey] {
        for world in World::each(unlisted).await {
            for target in ["/admin/", "/items/1/"] {
                for key in [NOTHING, READ, FULL] {
                    world.ask("GET", target, key).await.is_rejected(404);
                }
                world.ask("GET", target, NO_KEY).await.is_rejected(401);
            }
        }
    }
}
