//! Encoded characters in the parameters of a line that accepts them.

use axum::Router;
use axum::extract::Path;
use axum::routing::{any, get};
use http::Method;
use tower::Layer;
use tower_api_key::routes::{RoutePattern, RouteTable, Unlisted};
use tower_api_key::scope::avala;
use tower_api_key::{ApiKeyLayer, Requirement};

use super::world::{FULL, NO_KEY, NOTHING, READ, Ran, UNKNOWN, VALID, World, absent, keys};

const VALUES: [&str; 8] = ["a%2Fb", "100%25", "%7Eb", "%61", "a%2fb%2F", "x%3By", "a%5Cb", "%2Ehidden"];

async fn world(encoded: bool, unlisted: Unlisted) -> World {
    let pattern = |text: &str| {
        let pattern = RoutePattern::new(text);
        if encoded { pattern.with_encoded_parameters() } else { pattern }
    };
    let table = RouteTable::builder()
        .unlisted(unlisted)
        .route(Method::GET, pattern("/files/{id}"), avala::DATASETS_READ)
        .route(Method::GET, pattern("/keys/{*key}"), avala::DATASETS_READ)
        .public(Method::GET, pattern("/open/{id}"))
        .route(Method::GET, "/files/{id}/parts", avala::DATASETS_READ)
        .route(Method::POST, "/files/{id}", avala::DATASETS_READ)
        .route(Method::GET, "/admin", Requirement::full_access())
        .build()
        .unwrap();
    let ran = Ran::default();
    let noted = |name: &'static str| {
        let ran = ran.clone();
        async move |Path(value): Path<String>| ran.note(&format!("{name} {value}"))
    };
    let router = Router::new()
        .route("/files/{id}", any(noted("file")))
        .route("/keys/{*key}", get(noted("key")))
        .route("/open/{id}", get(noted("open")))
        .route("/files/{id}/parts", get(noted("parts")))
        .fallback(ran.handler("fallback"));
    let guarded = ApiKeyLayer::new(keys()).routes(table).layer(router);
    World::of("encoded", Router::new().fallback_service(guarded), ran).await
}

/// Cases: 152.
#[tokio::test]
async fn encoded_parameter_is_refused_by_default() {
    let world = world(false, Unlisted::InsecureAnyKey).await;
    for value in VALUES {
        for path in ["/files/", "/keys/", "/keys/x/", "/open/"] {
            for key in [NO_KEY, UNKNOWN, NOTHING, READ, FULL] {
                world.ask("GET", &format!("{path}{value}"), key).await.is_rejected(absent(key));
            }
        }
    }
    world.ask("GET", "/files/a%20b", READ).await.ran("file a b");
}

/// Cases: 152.
/// The handler gets the one segment that the client sent.
#[tokio::test]
async fn encoded_parameter_is_accepted_by_choice() {
    for unlisted in [Unlisted::Deny, Unlisted::InsecureAnyKey] {
        let world = world(true, unlisted).await;
        for (value, decoded) in VALUES.iter().zip(["a/b", "100%", "~b", "a", "a/b/", "x;y", "a\\b", ".hidden"]) {
            for (path, name) in [("/files/", "file "), ("/keys/", "key "), ("/keys/x/", "key x/")] {
                let target = format!("{path}{value}");
                for (key, status) in [(NO_KEY, 401), (UNKNOWN, 401), (NOTHING, 403)] {
                    world.ask("GET", &target, key).await.is_rejected(status);
                }
                world.ask("GET", &target, READ).await.ran(&format!("{name}{decoded}"));
            }
            world.ask("GET", &format!("/open/{value}"), NO_KEY).await.ran(&format!("open {decoded}"));
        }
    }
}

/// Cases: 152.
/// Not in the text of a pattern, not by a line without the choice, and never what decodes to a dot segment or a control
/// character.
#[tokio::test]
async fn choice_is_for_parameters_of_one_line() {
    for unlisted in [Unlisted::Deny, Unlisted::InsecureAnyKey] {
        let world = world(true, unlisted).await;
        for target in [
            "/fil%65s/a",
            "/fil%65s/a%2Fb",
            "/files%2Fa",
            "/%61dmin",
            "/admin%2F",
            "/files/a%2Fb/parts",
            "/files/a%2Fb/",
            "/files/%2e%2e",
            "/files/..%2Fadmin",
            "/files/x%2F%2e%2e%2Fadmin",
            "/files/%252e%252e%252fadmin",
            "/files/..%3B",
            "/files/..%5Cadmin",
            "/files/%00",
            "/files/a%0a",
            "/files/a%7f",
            "/files/a%",
            "/files/a%zz",
            "/files/a;b",
            "/keys/a/../b",
            "/keys/a//b",
            "/keys/%2e%2e/admin",
        ] {
            for key in VALID {
                world.ask("GET", target, key).await.is_rejected(404);
            }
            world.ask("GET", target, NO_KEY).await.is_rejected(401);
        }
        world.ask("POST", "/files/a", READ).await.ran("file a");
        world.ask("POST", "/files/a%2Fb", READ).await.is_rejected(404);
    }
}
