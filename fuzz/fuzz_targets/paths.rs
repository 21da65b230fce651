//! Any target: no key gets to a handler of axum's router that the table asks more for.
//!
//! The first byte is the method and the key, the rest the target.
#![no_main]

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{get, post};
use futures::executor::block_on;
use http::{Method, Uri};
use libfuzzer_sys::fuzz_target;
use tower::{Layer, ServiceExt};
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::routes::{RouteTable, Unlisted};
use tower_api_key::{Access, ApiKeyLayer, MemoryStore, Requirement, Scope};

/// What a handler of the router asks for, as a number: nothing, any key, the scope, full access.
#[derive(Clone, Copy)]
struct Ran(u8);

static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let runs = |level: u8| move || std::future::ready(axum::Extension(Ran(level)));
    Router::new()
        .route("/", get(runs(1)))
        .route("/open", get(runs(0)))
        .route("/files/{*path}", get(runs(0)))
        .route("/items/{id}", get(runs(2)).merge(post(runs(3))))
        .route("/items/new", get(runs(3)))
        .route("/items/{id}/parts/", get(runs(2)))
        .route("/unlisted", get(runs(3)))
});

static LAYER: LazyLock<ApiKeyLayer> = LazyLock::new(|| {
    let scope = || Scope::from_static("items.read");
    let keys = MemoryStore::new();
    for (id, (key, access)) in
        (1..).zip([("any", Access::scoped([])), ("scoped", Access::scoped([scope()])), ("full", Access::Full)])
    {
        let digest = KeyDigest::hash(key.as_bytes());
        keys.add(KeyRecord::new(KeyId::from_u128(id), digest, "acme".parse().unwrap(), access)).unwrap();
    }
    let table = RouteTable::builder()
        .unlisted(Unlisted::FullAccess)
        .route(Method::GET, "/", Requirement::any_key())
        .public(Method::GET, "/open")
        .public(Method::GET, "/files/{*path}")
        .route(Method::GET, "/items/{id}", scope())
        .route(Method::POST, "/items/{id}", Requirement::full_access())
        .route(Method::GET, "/items/new", Requirement::full_access())
        .route(Method::GET, "/items/{id}/parts/", scope());
    ApiKeyLayer::new(keys).routes(table.build().unwrap())
});

const METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS];
const KEYS: [&str; 4] = ["", "any", "scoped", "full"];

fuzz_target!(|data: &[u8]| {
    let Some((first, target)) = data.split_first() else { return };
    let Ok(uri) = Uri::try_from(target) else { return };
    let method = &METHODS[usize::from(first % 4)];
    let level = first / 4 % 4;
    let request = || {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        if level > 0 {
            request.headers_mut().insert("x-avala-api-key", KEYS[usize::from(level)].parse().unwrap());
        }
        request
    };
    let bare = block_on(ROUTER.clone().oneshot(request())).unwrap().extensions().get::<Ran>().map(|ran| ran.0);
    let guarded = block_on(LAYER.layer(ROUTER.clone()).oneshot(request())).unwrap();
    let guarded = guarded.extensions().get::<Ran>().map(|ran| ran.0);
    if let Some(asked) = guarded {
        assert_eq!(bare, Some(asked), "another handler ran");
        assert!(level >= asked, "{method} {uri} ran what asks for {asked} with a key of {level}");
    }
    // A key with enough access reaches a target of plain segments.
    let plain = target.starts_with(b"/") && target.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'/');
    if plain && !target.windows(2).any(|two| two == b"//") && bare.is_some_and(|asked| level >= asked) {
        assert_eq!(guarded, bare, "{method} {uri} was rejected");
    }
});
