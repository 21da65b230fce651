//! What the inner service does is passed on: its replies, its errors and its panics.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use futures::executor::block_on;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_api_key::auth::RequireScopesLayer;
use tower_api_key::scope::avala;

use super::keys::Keys;
use super::stack::PATH;
use crate::support::axum_server::serve_axum;
use crate::support::http2_client::connect_http2;
use crate::support::hyper_server::serve_hyper;
use crate::support::wire::Wire;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the inner service broke: {0}")]
struct Broke(u8);

/// Cases: 51.
#[tokio::test]
async fn inner_error_is_passed_on_unchanged() {
    for awaited in [false, true] {
        let keys = Keys::new(awaited).await;
        let breaks = service_fn(|_: Request<()>| async { Err::<Response<String>, _>(Broke(7)) });
        let beside = RequireScopesLayer::new(avala::DATASETS_READ);
        let error = keys.layer().layer(beside.layer(breaks)).oneshot(request(&keys.good)).await.unwrap_err();
        assert_eq!(error, Broke(7));
    }
}

/// Cases: 51.
#[test]
fn inner_panic_is_passed_on_unchanged() {
    for awaited in [false, true] {
        let keys = block_on(Keys::new(awaited));
        let layer = keys.layer().without_lookup_timeout();
        let at_once = service_fn(|_: Request<()>| -> std::future::Ready<Result<Response<String>, Broke>> {
            panic!("the inner service broke")
        });
        let later = service_fn(|_: Request<()>| async { panic!("the inner service broke") });
        let text = panic_of(layer.clone().layer(at_once), &keys);
        assert_eq!(text, "the inner service broke", "awaited: {awaited}");
        let later = later.map_result(|result: Result<Response<String>, Broke>| result);
        assert_eq!(panic_of(layer.layer(later), &keys), "the inner service broke", "awaited: {awaited}");
    }
}

/// Cases: 51.
/// The client sees a connection or stream that ends, as it would without a layer. A response would reveal something
/// about its key.
#[tokio::test]
async fn error_or_panic_on_socket_gives_no_response() {
    let keys = Keys::new(false).await;
    let fails = service_fn(|_: Request<Incoming>| async { Err::<Response<Full<Bytes>>, _>(Broke(7)) });
    let panics = service_fn(|_: Request<Incoming>| async { broken::<Result<Response<Full<Bytes>>, Broke>>() });
    let router = Router::new().route(PATH, get(async || broken::<String>()));
    for (name, server) in [
        ("an error on hyper", serve_hyper(keys.layer().layer(fails)).await),
        ("a panic on hyper", serve_hyper(keys.layer().layer(panics)).await),
        ("a panic on axum", serve_axum(router.layer(keys.layer())).await),
    ] {
        // Twice, since the first one must not have broken the server.
        for _ in 0..2 {
            let mut wire = Wire::connect(server.http1).await;
            let text = |key: &str| format!("GET {PATH} HTTP/1.1\r\nHost: test\r\nX-Avala-Api-Key: {key}\r\n\r\n");
            wire.send(text(&keys.unknown).as_bytes()).await.unwrap();
            assert_eq!(wire.reply(&Method::GET).await.expect("a rejection").0.status, 401, "{name}");
            wire.send(text(&keys.good).as_bytes()).await.unwrap();
            assert_eq!(wire.rest().await, "", "{name}");

            let mut sender = connect_http2(server.http2).await;
            let request = Request::get(format!("http://test{PATH}")).header("X-Avala-Api-Key", &keys.good);
            let result = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await;
            assert!(result.is_err(), "{name}: {result:?}");
        }
    }
}

proptest! {
    /// Cases: 47, 52.
    /// Any response of the handler, including 401 and 403: its head and body, with what it lacks for shared caches.
    #[test]
    fn guarded_response_equals_bare_response(
        status in 200_u16..600,
        headers in vec((select(NAMES), select(VALUES)), 0..6),
        body in vec(any::<u8>(), 0..50),
        awaited: bool,
    ) {
        let keys = block_on(Keys::new(awaited));
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
        let reply = Arc::new((StatusCode::from_u16(status).unwrap(), headers, Bytes::from(body)));
        let inner = service_fn(move |_: Request<()>| {
            let (status, headers, body) = (*reply).clone();
            let mut response = Response::new(Full::new(body));
            (*response.status_mut(), *response.headers_mut()) = (status, headers);
            async { Ok::<_, Infallible>(response) }
        });
        let layer = keys.layer().without_lookup_timeout();
        let beside = RequireScopesLayer::new(avala::DATASETS_READ);
        let mut bare = block_on(seen(inner.clone(), &keys));
        prop_assert_eq!(&block_on(seen(layer.clone().without_cache_control().layer(inner.clone()), &keys)), &bare);
        keep_private(&mut bare.1);
        prop_assert_eq!(&block_on(seen(layer.clone().layer(inner.clone()), &keys)), &bare);
        prop_assert_eq!(&block_on(seen(layer.layer(beside.layer(inner)), &keys)), &bare);
    }
}

fn keep_private(headers: &mut HeaderMap) {
    let rules: Vec<_> = headers.get_all("cache-control").iter().cloned().collect();
    if rules.is_empty() {
        headers.insert("cache-control", HeaderValue::from_static("private"));
    } else if !rules.iter().any(|rule| rule == "no-store") {
        let first = headers.get_mut("cache-control").unwrap();
        if !rules.iter().any(|rule| rule == "public") {
            let list = format!("private, {}", first.to_str().unwrap());
            *first = list.trim_end_matches(", ").parse().unwrap();
        }
        let others = headers.get_all("vary").iter().filter(|name| !name.is_empty());
        let names: Vec<_> = others.map(|name| name.to_str().unwrap()).collect();
        let names = [vec!["X-Avala-Api-Key"], names].concat().join(", ");
        headers.insert("vary", names.parse().unwrap());
    }
}

const NAMES: &[&str] = &["cache-control", "www-authenticate", "retry-after", "set-cookie", "content-type", "vary"];
const VALUES: &[&str] = &["", "1", "no-store", "public", "Basic realm=\"x\"", "text/html"];

async fn seen<S, B>(service: S, keys: &Keys) -> (StatusCode, HeaderMap, Bytes)
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes, Error = Infallible>,
{
    let Ok(response) = service.oneshot(request(&keys.good)).await;
    let (head, body) = response.into_parts();
    let Ok(body) = body.collect().await;
    (head.status, head.headers, body.to_bytes())
}

fn request(key: &str) -> Request<()> {
    Request::get(PATH).header("X-Avala-Api-Key", key).body(()).unwrap()
}

fn panic_of<S: Service<Request<()>>>(service: S, keys: &Keys) -> &'static str {
    let call = || drop(block_on(service.oneshot(request(&keys.good))));
    catch_unwind(AssertUnwindSafe(call)).expect_err("a panic").downcast_ref::<&str>().unwrap()
}

fn broken<T>() -> T {
    panic!("the inner service broke")
}
