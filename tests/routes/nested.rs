//! A layer inside a router that removes a prefix from the path.

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use http::{Method, Uri};
use tower::Layer;
use tower::util::MapRequestLayer;
use tower_api_key::routes::{RouteTable, RouteTableBuilder, Unlisted};
use tower_api_key::scope::avala;
use tower_api_key::{ApiKeyLayer, Requirement, axum::original_uri};
use tower_http::normalize_path::NormalizePathLayer;

use super::world::{FULL, NO_KEY, NOTHING, READ, Ran, UNKNOWN, VALID, World, absent, keys};
use crate::support::log_lines::{record_log, take_log};

/// The full paths, and lines that are less strict for the paths without the prefix.
fn lines(unlisted: Unlisted) -> RouteTableBuilder {
    RouteTable::builder()
        .unlisted(unlisted)
        .route(Method::GET, "/api", avala::DATASETS_READ)
        .route(Method::GET, "/api/items/{id}", avala::DATASETS_READ)
        .route(Method::GET, "/api/v1/notes", avala::DATASETS_READ)
        .route(Method::GET, "/api/admin/{*rest}", Requirement::full_access())
        .public(Method::GET, "/")
        .public(Method::GET, "/items/{id}")
        .route(Method::GET, "/notes", Requirement::any_key())
}

fn inner(ran: &Ran) -> Router {
    Router::new()
        .route("/", get(ran.handler("index")))
        .route("/items/{id}", get(ran.handler("item")))
        .route("/v1/notes", get(ran.handler("notes")))
        .route("/admin/x", get(ran.handler("admin")))
        .route("/unlisted", get(ran.handler("unlisted")))
}

type Nested = fn(&Ran, &ApiKeyLayer) -> Router;

/// The layer inside `nest`, inside two of them, inside `nest_service`, and inside it with a layer in between that trims
/// slashes.
async fn each(layer: &ApiKeyLayer) -> Vec<World> {
    let routers: [(&str, Nested); 4] = [
        ("nest", |ran, layer| Router::new().nest("/api", inner(ran).layer(layer.clone()))),
        ("nest twice", |ran, layer| {
            let deep = Router::new().route("/notes", get(ran.handler("notes"))).layer(layer.clone());
            let inner = Router::new()
                .route("/", get(ran.handler("index")))
                .route("/items/{id}", get(ran.handler("item")))
                .route("/admin/x", get(ran.handler("admin")))
                .route("/unlisted", get(ran.handler("unlisted")))
                .layer(layer.clone());
            Router::new().nest("/api", inner.nest("/v1", deep))
        }),
        ("nest_service", |ran, layer| Router::new().nest_service("/api", layer.layer(inner(ran)))),
        ("trimmed", |ran, layer| {
            let trim = NormalizePathLayer::trim_trailing_slash();
            Router::new().nest_service("/api", trim.layer(layer.layer(inner(ran))))
        }),
    ];
    let mut worlds = Vec::new();
    for (name, router) in routers {
        let ran = Ran::default();
        worlds.push(World::of(name, router(&ran, layer), ran).await);
    }
    worlds
}

const ROUTES: [(&str, &str); 3] = [("/api", "index"), ("/api/items/1", "item"), ("/api/v1/notes", "notes")];

/// Cases: 136.
#[tokio::test]
async fn original_path_decides_inside_nest() {
    for unlisted in [Unlisted::Deny, Unlisted::FullAccess, Unlisted::InsecureAnyKey] {
        record_log();
        let layer = ApiKeyLayer::new(keys()).routes(lines(unlisted).build().unwrap()).path_from(original_uri);
        for world in each(&layer).await {
            for (target, name) in ROUTES {
                for (key, status) in [(NO_KEY, 401), (UNKNOWN, 401), (NOTHING, 403)] {
                    world.ask("GET", target, key).await.is_rejected(status);
                }
                world.ask("GET", target, READ).await.ran(name);
            }
            world.ask("GET", "/api/admin/x", READ).await.is_rejected(403);
            world.ask("GET", "/api/admin/x", FULL).await.ran("admin");
            let got = world.ask("GET", "/api/unlisted", NOTHING).await;
            let status = match unlisted {
                Unlisted::Deny => 404,
                Unlisted::FullAccess => 403,
                Unlisted::InsecureAnyKey => 200,
            };
            assert_eq!(got.status, status, "{}", got.shown);
            for target in ["/api/items/1/", "/api//items/1", "/api/items/%2e%2e/admin/x"] {
                for key in VALID {
                    world.ask("GET", target, key).await.is_rejected(404);
                }
            }
        }
        assert_eq!(errors(), [""; 0]);
    }
}

/// Cases: 136.
#[tokio::test]
async fn require_fn_has_the_path_of_the_table() {
    let layer = ApiKeyLayer::new(keys()).path_from(original_uri).require_fn(|head| match head.path() {
        "/api/items/1" | "/api" | "/api/v1/notes" => avala::DATASETS_READ.into(),
        _ => Requirement::full_access(),
    });
    for world in each(&layer).await {
        for (target, name) in ROUTES {
            world.ask("GET", target, NOTHING).await.is_rejected(403);
            world.ask("GET", target, READ).await.ran(name);
        }
        world.ask("GET", "/api/unlisted", READ).await.is_rejected(403);
    }
}

/// Cases: 136, 154.
/// Whatever the lines grant to the path without its prefix.
#[tokio::test]
async fn nested_layer_without_setter_opens_nothing() {
    for unlisted in [Unlisted::Deny, Unlisted::FullAccess, Unlisted::InsecureAnyKey] {
        let worlds = each(&ApiKeyLayer::new(keys()).routes(lines(unlisted).build().unwrap())).await;
        record_log();
        for world in &worlds {
            for (target, _) in ROUTES.into_iter().chain([("/api/admin/x", "")]) {
                for key in [NO_KEY, UNKNOWN, NOTHING, READ, FULL] {
                    world.ask("GET", target, key).await.is_rejected(absent(key));
                }
            }
            assert_eq!(world.ask("GET", "/api/items/1/", FULL).await.ran, [""; 0]);
        }
        let line = "ERROR the route table lists \"/api\", and this ApiKeyLayer is inside a router that removed the prefix \
                    \"/api\": requests to such routes get 404; call path_from(tower_api_key::axum::original_uri) on the \
                    layer, or list the paths without the prefix and call path_from(|_| None)";
        assert_eq!(errors(), [line], "once, since all are clones of one layer");
    }
}

/// Cases: 136, 154.
#[tokio::test]
async fn table_of_paths_without_prefix_is_not_refused() {
    let table = |net: &str| {
        RouteTable::builder()
            .route(Method::GET, "/items/{id}", avala::DATASETS_READ)
            .route(Method::GET, net, Requirement::full_access())
            .build()
            .unwrap()
    };
    let layer = |table| ApiKeyLayer::new(keys()).routes(table);
    for (name, layer) in [
        ("without the prefix", layer(table("/{*net}"))),
        ("a line also matches full paths", layer(table("/{tenant}/items/{id}")).path_from(|_| None)),
    ] {
        record_log();
        let ran = Ran::default();
        let world = World::of(name, Router::new().nest("/api", inner(&ran).layer(layer)), ran).await;
        world.ask("GET", "/api/items/1", NOTHING).await.is_rejected(403);
        world.ask("GET", "/api/items/1", READ).await.ran("item");
        for target in ["/api", "/api/unlisted"] {
            let got = world.ask("GET", target, READ).await;
            assert!([403, 404].contains(&got.status), "{}", got.shown);
        }
        assert_eq!(errors(), [""; 0], "{name}");
    }
}

/// Cases: 136.
/// Between the outer router and the layer, only a prefix and a slash at the end may go.
#[tokio::test]
async fn rewritten_path_is_absent_by_its_original() {
    let rewrite = MapRequestLayer::new(|mut request: Request| {
        if request.uri().path() == "/items/1" {
            *request.uri_mut() = Uri::from_static("/admin/x");
        }
        request
    });
    let layer =
        ApiKeyLayer::new(keys()).routes(lines(Unlisted::InsecureAnyKey).build().unwrap()).path_from(original_uri);
    let ran = Ran::default();
    let app = Router::new().nest_service("/api", rewrite.layer(layer.layer(inner(&ran))));
    let world = World::of("rewritten", app, ran).await;
    for key in [NO_KEY, READ, FULL] {
        world.ask("GET", "/api/items/1", key).await.is_rejected(absent(key));
    }
    world.ask("GET", "/api/items/2", READ).await.ran("item");
}

/// What was logged as an error since the last call.
fn errors() -> Vec<String> {
    take_log().into_iter().filter(|line| line.starts_with("ERROR")).collect()
}
