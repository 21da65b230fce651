//! The places that axum has for a layer, and what they leave out.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::handler::Handler;
use axum::routing::{any_service, get};
use tower::ServiceBuilder;
use tower_api_key::auth::RequireScopesLayer;
use tower_api_key::scope::avala;

use super::check::{HANDLED, PATH, ask, assert_answers, key_layer, request, scopes_layer};
use crate::support::keys::KEY;

#[tokio::test]
async fn layer_guards_in_each_router_position() {
    let (key, scopes) = (key_layer, scopes_layer);
    let both = || ServiceBuilder::new().layer(key()).layer(scopes());
    let empty = Router::new;
    let method = || get(handle);
    let routes = || empty().route(PATH, method());
    let nested = || empty().route("/datasets", method());
    for (name, router) in [
        ("Router::layer", routes().layer(key())),
        ("Router::layer, twice", routes().layer(scopes()).layer(key())),
        ("Router::layer of a ServiceBuilder", routes().layer(both())),
        ("Router::route_layer", routes().route_layer(key())),
        ("Router::route_layer, twice", routes().route_layer(scopes()).route_layer(key())),
        ("Router::route_layer within Router::layer", routes().route_layer(scopes()).layer(key())),
        ("MethodRouter::layer", empty().route(PATH, method().layer(key()))),
        ("MethodRouter::layer of a ServiceBuilder", empty().route(PATH, method().layer(both()))),
        ("MethodRouter::layer within Router::layer", empty().route(PATH, method().layer(scopes())).layer(key())),
        ("MethodRouter::route_layer", empty().route(PATH, method().route_layer(key()))),
        ("Handler::layer", empty().route(PATH, get(handle.layer(key())))),
        ("Handler::layer of a ServiceBuilder", empty().route(PATH, get(handle.layer(both())))),
        ("Handler::layer within Router::layer", empty().route(PATH, get(handle.layer(scopes()))).layer(key())),
        ("a service as a route", empty().route_service(PATH, both().service(method()))),
        ("a service as a method", empty().route(PATH, any_service(both().service(method())))),
        ("nest of a guarded router", empty().nest("/v1", nested().layer(key()))),
        ("nest within a guarded router", empty().nest("/v1", nested()).layer(key())),
        ("nest of scopes within a guarded router", empty().nest("/v1", nested().layer(scopes())).layer(key())),
        ("nest_service", empty().nest_service("/v1", both().service(nested()))),
        ("merge of a guarded router", empty().merge(routes().layer(key()))),
        ("merge within a guarded router", empty().merge(routes()).layer(key())),
        ("a fallback within a guarded router", empty().fallback(handle).layer(key())),
        ("a guarded fallback", empty().fallback(handle.layer(both()))),
        ("a service as a fallback", empty().fallback_service(both().service(routes()))),
        ("a router with state", Router::new().route(PATH, get(text)).layer(key()).with_state(HANDLED)),
        ("a handler with state", Router::new().route(PATH, get(text.layer(both()))).with_state(HANDLED)),
    ] {
        assert_answers(name, router, Body::empty).await;
    }
    assert_answers("a router as a service", both().service(routes()), Body::empty).await;
    assert_answers("a method router as a service", both().service(method()), Body::empty).await;
}

/// Cases: 31.
/// `layer` wraps the routes that are there, so one that is added later is open to everybody. Two routers that are
/// merged leave no doubt about what is guarded.
#[tokio::test]
async fn route_added_after_layer_is_open() {
    let late = Router::new().route("/early", get(handle)).layer(key_layer()).route("/late", get(handle));
    assert_statuses("the mistake", late, &[("/early", 401, 200), ("/late", 200, 200)]).await;

    let guarded = || Router::new().route("/early", get(handle)).route("/late", get(handle)).layer(key_layer());
    let public = || Router::new().route("/health", get(handle));
    for (name, merged) in [("public first", public().merge(guarded())), ("guarded first", guarded().merge(public()))] {
        let expected = [("/early", 401, 200), ("/late", 401, 200), ("/health", 200, 200)];
        assert_statuses(name, merged, &expected).await;
    }

    // The same holds for scopes. There, what was forgotten is open to any valid key.
    let writes = RequireScopesLayer::new(avala::DATASETS_WRITE);
    let late = Router::new().route("/early", get(handle)).layer(writes).route("/late", get(handle)).layer(key_layer());
    assert_statuses("scopes", late, &[("/early", 401, 403), ("/late", 401, 200)]).await;

    // Outside the layer that authenticates, a layer of scopes accepts nothing.
    let reversed = Router::new().route("/early", get(handle)).layer(key_layer()).layer(scopes_layer());
    assert_statuses("the wrong order", reversed, &[("/early", 500, 500)]).await;
}

/// Cases: 32.
/// `route_layer` reveals which routes exist; `layer` does not.
#[tokio::test]
async fn unknown_path_is_401_in_layer_404_in_route_layer() {
    let routes = || Router::new().route("/known", get(handle));
    let layer = routes().layer(key_layer());
    assert_statuses("layer", layer, &[("/known", 401, 200), ("/unknown", 401, 404), ("/", 401, 404)]).await;
    let route_layer = routes().route_layer(key_layer());
    assert_statuses("route_layer", route_layer, &[("/known", 401, 200), ("/unknown", 404, 404), ("/", 404, 404)]).await;
}

/// Cases: 33.
/// No handler behind the layer runs without a key. What is not behind it, a fallback further out above all, is
/// open, and takes more paths of a nested router than one might think.
#[tokio::test]
async fn nested_router_guard_covers_its_routes() {
    let empty = Router::new;
    let nested = || empty().route("/x", get(handle));
    let with_fallback = || nested().fallback(handle);
    let guarded = || nested().layer(key_layer());

    let apart = empty().nest("/api", guarded());
    let nothing = [("/api", 404, 404), ("/api/", 404, 404), ("/api/unknown", 404, 404), ("/", 404, 404)];
    assert_statuses("alone", apart, &[&[("/api/x", 401, 200)], &nothing[..]].concat()).await;

    let beside = empty().nest("/api", guarded()).fallback(handle);
    let open = [("/api", 200, 200), ("/api/", 200, 200), ("/api/unknown", 200, 200), ("/", 200, 200)];
    assert_statuses("beside an open fallback", beside, &[&[("/api/x", 401, 200)], &open[..]].concat()).await;

    let own = empty().nest("/api", with_fallback().layer(key_layer())).fallback(handle);
    let mostly = [("/api/x", 401, 200), ("/api", 401, 200), ("/api/", 200, 200), ("/api/unknown", 401, 200)];
    assert_statuses("with a fallback of its own", own, &mostly).await;

    let as_service = empty().nest_service("/api", with_fallback().layer(key_layer())).fallback(handle);
    let all = [("/api/x", 401, 200), ("/api", 401, 200), ("/api/", 401, 200), ("/api/unknown", 401, 200)];
    assert_statuses("as a service", as_service, &[&all[..], &[("/", 200, 200)]].concat()).await;

    let outermost = empty().nest("/api", nested()).fallback(handle).layer(key_layer());
    assert_statuses("from outside", outermost, &[&all[..], &[("/", 401, 200)]].concat()).await;

    let too_late = empty().nest("/api", guarded().fallback(handle));
    assert_statuses("a fallback added late", too_late, &[("/api/x", 401, 200), ("/api/unknown", 200, 200)]).await;

    let merged = empty().route("/open", get(handle)).merge(with_fallback().layer(key_layer()));
    assert_statuses("merged", merged, &[("/x", 401, 200), ("/open", 200, 200), ("/", 401, 200)]).await;
    let merged = empty().route("/open", get(handle)).fallback(handle).merge(guarded());
    assert_statuses("merged with an open fallback", merged, &[("/x", 401, 200), ("/", 200, 200)]).await;
}

/// What the router answers to `GET` on each path, without a key and with one.
async fn assert_statuses(name: &str, router: Router, expected: &[(&str, u16, u16)]) {
    for (path, without_key, with_key) in expected {
        for (key, status) in [("", without_key), (KEY, with_key)] {
            let mut request = request(key, Body::empty());
            *request.uri_mut() = path.parse().unwrap();
            assert_eq!(ask(router.clone(), request).await.status, *status, "{name}: {path}, key: {key:?}");
        }
    }
}

async fn handle() -> &'static str {
    HANDLED
}

async fn text(State(text): State<&'static str>) -> &'static str {
    text
}
