//! Response bodies over real sockets: how a client sees the end of each.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Sse;
use axum::response::sse::Event;
use axum::routing::get;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;
use tower_api_key::auth::{EndStreamsLayer, StreamEnded};
use tower_api_key::manage::IssuedKey;
use tower_api_key::routes::RouteTable;
use tower_api_key::scope::avala::{DATASETS_READ, DATASETS_WRITE};
use tower_api_key::store::{KeyBackend, KeyUpdate};
use tower_api_key::test_kit::FaultyStore;
use tower_api_key::{ApiKeyLayer, BoxError, MemoryStore, Requirement};

use crate::support::axum_server::serve_axum;
use crate::support::http1_client::connect_http1;
use crate::support::http2_client::connect_http2;
use crate::support::log_lines::{record_log, take_log};
use crate::support::server::Server;
use crate::world::{ACME, issue};

const TICK: Duration = Duration::from_millis(10);

/// A chunk now and then, without end.
fn ticking() -> Body {
    Body::from_stream(stream::unfold(0_u64, |number| async move {
        sleep(TICK).await;
        Some((Ok::<_, Infallible>(Bytes::from(format!("{number}\n"))), number + 1))
    }))
}

/// A chunk whenever the client can take one.
fn flooding() -> Body {
    Body::from_stream(stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 4_096]))))
}

async fn events() -> Sse<impl stream::Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::unfold((), |()| async {
        sleep(TICK).await;
        Some((Ok(Event::default().data("tick")), ()))
    }))
}

fn app(layer: ApiKeyLayer, ends: bool) -> Router {
    let table = RouteTable::builder()
        .route(Method::GET, "/ticking", DATASETS_READ)
        .route(Method::GET, "/sized", DATASETS_READ)
        .route(Method::GET, "/flooding", DATASETS_READ)
        .route(Method::GET, "/events", DATASETS_READ)
        .route(Method::GET, "/whole", Requirement::any_key())
        .public(Method::GET, "/public")
        .build()
        .unwrap();
    let router = Router::new()
        .route("/ticking", get(async || ticking()))
        .route("/sized", get(async || ([("content-length", "1000000")], ticking())))
        .route("/flooding", get(async || flooding()))
        .route("/events", get(events))
        .route("/whole", get(async || "whole"))
        .route("/public", get(async || ticking()));
    match ends {
        true => router.layer(EndStreamsLayer::new()).layer(layer.routes(table)),
        false => router.layer(layer.routes(table)),
    }
}

async fn open(server: &Server, http2: bool, path: &str, issued: &IssuedKey) -> Incoming {
    let key = issued.secret.expose_secret();
    let request = |address: SocketAddr| {
        let request = Request::get(format!("http://{address}{path}")).header("x-avala-api-key", key);
        request.header("host", address.to_string()).body(Empty::<Bytes>::new()).unwrap()
    };
    let response = if http2 {
        connect_http2(server.http2).await.send_request(request(server.http2)).await
    } else {
        connect_http1(server.http1).await.send_request(request(server.http1)).await
    };
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.into_body()
}

/// How a body has ended.
#[derive(Debug, PartialEq)]
enum End {
    Complete,
    Error,
}

async fn read_to_the_end(mut body: Incoming) -> End {
    loop {
        match body.frame().await {
            Some(Ok(_)) => {}
            Some(Err(_)) => return End::Error,
            None => return End::Complete,
        }
    }
}

/// Cases: 230.
#[tokio::test]
async fn revoked_key_ends_its_bodies_within_a_second() {
    for http2 in [false, true] {
        for (path, expected) in
            [("/ticking", End::Error), ("/sized", End::Error), ("/flooding", End::Error), ("/events", End::Complete)]
        {
            let store = MemoryStore::new();
            let issued = issue(&store).await;
            let server = serve_axum(app(ApiKeyLayer::new(store.clone()), true)).await;
            let mut body = open(&server, http2, path, &issued).await;
            for _ in 0..3 {
                assert!(body.frame().await.unwrap().unwrap().is_data(), "{path}");
            }
            store.revoke(&ACME, issued.record.id()).await.unwrap();
            let revoked = Instant::now();
            let end = timeout(Duration::from_secs(5), read_to_the_end(body)).await.expect("it ends");
            assert_eq!(end, expected, "{path}, HTTP/2: {http2}");
            assert!(revoked.elapsed() < Duration::from_secs(1), "{path}: {:?}", revoked.elapsed());
        }
    }
}

/// Cases: 230.
///
/// The same streams without the layer, and those that no key of theirs can end.
#[tokio::test]
async fn other_bodies_go_on() {
    let store = MemoryStore::new();
    let (revoked, other) = (issue(&store).await, issue(&store).await);
    let plain = serve_axum(app(ApiKeyLayer::new(store.clone()), false)).await;
    let server = serve_axum(app(ApiKeyLayer::new(store.clone()), true)).await;
    let mut bodies = [
        open(&plain, false, "/ticking", &revoked).await,
        open(&plain, true, "/events", &revoked).await,
        open(&server, false, "/public", &revoked).await,
        open(&server, false, "/ticking", &other).await,
        open(&server, true, "/events", &other).await,
    ];
    let narrowed = KeyUpdate::new().with_scopes([DATASETS_READ]);
    store.update(&ACME, other.record.id(), narrowed).await.unwrap();
    store.revoke(&ACME, revoked.record.id()).await.unwrap();
    let until = Instant::now() + Duration::from_millis(1_500);
    for (number, body) in bodies.iter_mut().enumerate() {
        while Instant::now() < until || number > 0 {
            assert!(body.frame().await.expect("it goes on").is_ok(), "{number}");
            if Instant::now() >= until {
                break;
            }
        }
    }
    // And the scope that the route needs.
    store.update(&ACME, other.record.id(), KeyUpdate::new().with_scopes([])).await.unwrap();
    let [.., download, events] = bodies;
    assert_eq!(read_to_the_end(download).await, End::Error);
    assert_eq!(read_to_the_end(events).await, End::Complete);
}

/// Cases: 230.
///
/// A client that does not read keeps nothing open for others, and gets no more than what was under way.
#[tokio::test]
async fn stalled_client_ends_when_it_reads_again() {
    let store = MemoryStore::new();
    let issued = issue(&store).await;
    let server = serve_axum(app(ApiKeyLayer::new(store.clone()), true)).await;
    let mut stalled = open(&server, false, "/flooding", &issued).await;
    let mut reading = open(&server, false, "/ticking", &issued).await;
    assert!(stalled.frame().await.unwrap().is_ok() && reading.frame().await.unwrap().is_ok());
    // Longer than any check, so that its connection cannot take more.
    sleep(Duration::from_millis(1_200)).await;
    store.revoke(&ACME, issued.record.id()).await.unwrap();
    let revoked = Instant::now();
    assert_eq!(read_to_the_end(reading).await, End::Error);
    assert!(revoked.elapsed() < Duration::from_secs(1));
    sleep(Duration::from_millis(500)).await;
    let mut bytes = 0;
    let end = loop {
        match stalled.frame().await {
            Some(Ok(frame)) => bytes += frame.into_data().map_or(0, |data| data.len()),
            Some(Err(_)) => break End::Error,
            None => break End::Complete,
        }
    };
    assert_eq!(end, End::Error);
    // What the buffers of two sockets hold.
    assert!(bytes < 16 << 20, "{bytes} bytes");
}

/// A body that is there as a whole is not watched.
#[tokio::test]
async fn whole_body_costs_no_lookup() {
    let store = FaultyStore::new(MemoryStore::new());
    let issued = issue(&store).await;
    let app = app(ApiKeyLayer::new(store.clone()), true);
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let key = issued.secret.expose_secret();
    let request = Request::get("/whole").header("x-avala-api-key", key).body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    let body = response.into_body();
    assert_eq!(http_body::Body::size_hint(&body).exact(), Some(5));
    assert_eq!(body.collect().await.unwrap().to_bytes(), "whole");
    assert_eq!(store.lookups(), 1);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), tasks);
}

/// What the handler holds for its body is dropped when the key ends, and an outer layer can read the reason.
#[tokio::test(start_paused = true)]
async fn ended_body_is_dropped_with_a_typed_error() {
    struct Held(Arc<AtomicUsize>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let store = MemoryStore::new();
    let issued = issue(&store).await;
    let count = Arc::clone(&dropped);
    let handler = get(async move || {
        let held = Held(count);
        let waiting = stream::pending::<Result<Bytes, Infallible>>().map(move |bytes| {
            let _held = &held;
            bytes
        });
        Body::from_stream(waiting)
    });
    let layer = ApiKeyLayer::new(store.clone()).require(DATASETS_WRITE);
    let app = Router::new().route("/", handler).layer(EndStreamsLayer::new()).layer(layer);
    let key = issued.secret.expose_secret();
    let request = Request::get("/").header("x-avala-api-key", key).body(Body::empty()).unwrap();
    let mut body = app.oneshot(request).await.unwrap().into_body();
    assert!(timeout(Duration::from_secs(10), body.frame()).await.is_err());
    store.update(&ACME, issued.record.id(), KeyUpdate::new().with_suspended(true)).await.unwrap();
    let error: BoxError = body.frame().await.unwrap().unwrap_err().into();
    let chain = std::iter::successors(Some(&*error as &(dyn std::error::Error + 'static)), |error| error.source());
    let ended = chain.filter_map(|error| error.downcast_ref::<StreamEnded>()).next().expect("the error of the layer");
    assert_eq!((ended.rejection().code(), dropped.load(Ordering::SeqCst)), ("suspended", 1));
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn layer_outside_the_key_layer_is_500() {
    let layer = ApiKeyLayer::new(MemoryStore::new());
    let app = Router::new().route("/", get(async || "handled")).layer(layer).layer(EndStreamsLayer::new());
    record_log();
    let response = app.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 500);
    let log = take_log();
    assert!(log.len() == 1 && log[0].contains("an EndStreamsLayer"), "{log:?}");
}
