//! Layers of tower-http, inside and outside of ours. None of them needs anything between: ours adds no errors, and
//! its body has a default value where the inner one has.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::Instant;
use tower::{Service, ServiceBuilder, service_fn};
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::{ApiKeyLayer, KeyStore};
use tower_http::compression::CompressionLayer;
use tower_http::cors::{Any, CorsLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use super::check::{HANDLED, PATH, ask, assert_answers, assert_is_rejection, key_layer, request, scopes_layer};
use crate::support::keys::KEY;
use crate::support::seen::Seen;

/// A layer in each place around ours, as plain services and in an axum router. A macro, since each place gives it
/// another type to wrap.
macro_rules! assert_every_place {
    ($name:literal, $layer:expr) => {{
        let (name, other, key, scopes) = ($name, || $layer, key_layer, scopes_layer);
        let stack = ServiceBuilder::new;
        let text = String::new;
        assert_answers(name, stack().layer(other()).layer(key()).service_fn(handle), text).await;
        assert_answers(name, stack().layer(key()).layer(other()).service_fn(handle), text).await;
        assert_answers(name, stack().layer(other()).layer(key()).layer(scopes()).service_fn(handle), text).await;
        assert_answers(name, stack().layer(key()).layer(other()).layer(scopes()).service_fn(handle), text).await;
        assert_answers(name, stack().layer(key()).layer(scopes()).layer(other()).service_fn(handle), text).await;

        let routes = || Router::new().route(PATH, get(async || HANDLED));
        let around = stack().layer(other()).layer(key()).layer(other()).layer(scopes()).layer(other());
        let empty = Body::empty;
        assert_answers(name, routes().layer(key()).layer(other()), empty).await;
        assert_answers(name, routes().layer(other()).layer(key()), empty).await;
        assert_answers(name, routes().layer(scopes()).layer(key()).layer(other()), empty).await;
        assert_answers(name, routes().layer(scopes()).layer(other()).layer(key()), empty).await;
        assert_answers(name, routes().layer(other()).layer(scopes()).layer(key()), empty).await;
        assert_answers(name, routes().layer(around.clone()), empty).await;
        assert_answers(name, Router::new().route(PATH, get(async || HANDLED).layer(around)), empty).await;
    }};
}

#[tokio::test]
async fn tower_http_layer_works_in_each_position() {
    assert_every_place!("trace", TraceLayer::new_for_http());
    assert_every_place!("compression", CompressionLayer::new());
    assert_every_place!("timeout", timeout());
    assert_every_place!("cors", cors());
}

#[tokio::test]
async fn all_tower_http_layers_work_together() {
    // CORS and timeouts make replies of their own, for which the body within must have a default value. The body
    // of a trace has none, so it is further out (a router, whose bodies are all of one type, takes any order).
    let others = || {
        let outer = ServiceBuilder::new().layer(TraceLayer::new_for_http()).layer(CompressionLayer::new());
        outer.layer(timeout()).layer(cors())
    };
    let (key, scopes) = (key_layer, scopes_layer);
    let outside = others().layer(key()).layer(scopes()).service_fn(handle);
    assert_answers("outside", outside, String::new).await;
    let inside = ServiceBuilder::new().layer(key()).layer(scopes()).layer(others()).service_fn(handle);
    assert_answers("inside", inside, String::new).await;

    let routes = Router::new().route(PATH, get(async || HANDLED));
    let around = routes.layer(others()).layer(scopes()).layer(others()).layer(key()).layer(others());
    assert_answers("around, in a router", around, Body::empty).await;
}

/// Cases: 30.
/// A script of another origin can read a rejection only if the CORS layer is outside.
#[tokio::test]
async fn preflight_is_rejected_without_outer_cors_layer() {
    let routes = || Router::new().route(PATH, get(async || HANDLED));
    let outside = routes().layer(key_layer()).layer(cors());
    let inside = routes().layer(cors()).layer(key_layer());
    let preflight = || {
        let mut request = request("", Body::empty());
        *request.method_mut() = Method::OPTIONS;
        request.headers_mut().insert(ORIGIN, HeaderValue::from_static("https://example.com"));
        request.headers_mut().insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("GET"));
        request
    };
    let reply = ask(outside.clone(), preflight()).await;
    assert_eq!((reply.status, &*reply.body), (200, &b""[..]), "{reply:?}");
    assert_is_rejection("a preflight", &ask(inside.clone(), preflight()).await);

    let allows = |reply: &Seen| reply.headers.iter().any(|line| line == "access-control-allow-origin: *");
    assert!(allows(&ask(outside, request("", Body::empty())).await));
    assert!(!allows(&ask(inside.clone(), request("", Body::empty())).await));
    assert!(allows(&ask(inside, request(KEY, Body::empty())).await));
}

#[tokio::test]
async fn compressed_rejection_stays_a_rejection() {
    let service = ServiceBuilder::new().layer(CompressionLayer::new()).layer(key_layer()).service_fn(handle);
    for (key, status, kept) in [
        ("", 401, &["cache-control: no-store", "content-type: application/json"][..]),
        (KEY, 200, &["cache-control: private"]),
    ] {
        let mut request = request(key, String::new());
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let reply = ask(service.clone(), request).await;
        assert_eq!((reply.status, &reply.body[..2]), (status, &[0x1f, 0x8b][..]), "{reply:?}");
        for line in kept.iter().chain(&["content-encoding: gzip"]) {
            assert!(reply.headers.iter().any(|header| header == line), "{reply:?}");
        }
        assert_eq!(
            reply.headers.iter().filter(|line| line.starts_with("www-authenticate: ")).count(),
            usize::from(status == 401)
        );
    }
}

/// The layer's own timeout limits the store. One of tower-http limits its inner service.
#[tokio::test(start_paused = true)]
async fn timeout_layer_ends_its_inner_service() {
    let hangs = || service_fn(|_: Request<String>| pending::<Result<Response<String>, Infallible>>());
    let (inside, outside) =
        (ServiceBuilder::new().layer(key_layer()).layer(timeout()), ServiceBuilder::new().layer(timeout()));
    let stuck = || ApiKeyLayer::new(Stuck);
    let patient = outside.clone().layer(stuck().without_lookup_timeout()).service_fn(handle);
    assert_eq!(elapsed(inside.service(hangs())).await, (504, 5));
    assert_eq!(elapsed(outside.clone().layer(key_layer()).service(hangs())).await, (504, 5));
    assert_eq!(elapsed(outside.layer(stuck()).service_fn(handle)).await, (503, 1));
    assert_eq!(elapsed(patient).await, (504, 5));
}

/// The status, and after how many seconds.
async fn elapsed<S, R>(service: S) -> (u16, u64)
where
    S: Service<Request<String>, Response = Response<R>, Error = Infallible>,
    R: http_body::Body<Data = Bytes, Error = Infallible>,
{
    let began = Instant::now();
    let status = ask(service, request(KEY, String::new())).await.status;
    (status, began.elapsed().as_secs())
}

struct Stuck;

impl KeyStore for Stuck {
    type Error = Infallible;

    async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        pending().await
    }
}

async fn handle(_: Request<String>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from(HANDLED)))
}

fn timeout() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(5))
}

fn cors() -> CorsLayer {
    CorsLayer::new().allow_origin(Any).allow_methods([Method::GET]).allow_headers(Any)
}
