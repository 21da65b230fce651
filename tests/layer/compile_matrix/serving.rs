//! `axum::serve` of a guarded router, over real sockets.
#![cfg(all(feature = "axum", feature = "transport"))]

use std::future::IntoFuture;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::Layer;
use tower_api_key::ApiKey;
use tower_api_key::transport::{ClientInfoLayer, Connection};

use super::check::key_layer;
use crate::support::keys::KEY;

/// Serves one request with a key and one without, and returns both responses.
macro_rules! serve {
    ($service:expr) => {{
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(axum::serve(listener, $service).into_future());
        let responses = [ask(address, KEY).await, ask(address, "").await];
        server.abort();
        responses
    }};
}

async fn ask(address: SocketAddr, key: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let key = if key.is_empty() { String::new() } else { format!("X-Avala-Api-Key: {key}\r\n") };
    let request = format!("GET / HTTP/1.1\r\nHost: test\r\n{key}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

/// Cases: 168.
#[tokio::test]
async fn guarded_router_is_served_by_one_line() {
    let greet = async |key: ApiKey| key.organization().to_string();
    let peer = async |ConnectInfo(peer): ConnectInfo<SocketAddr>, _: ApiKey| peer.ip().to_string();
    let guard = |router: Router| key_layer().layer(router);
    let client = || {
        ClientInfoLayer::new()
            .connection_from(|ConnectInfo(peer): &ConnectInfo<SocketAddr>| Connection::plain(peer.ip()))
    };
    let whole = |router: Router| client().layer(key_layer().layer(router));

    let plain = serve!(guard(Router::new().route("/", get(greet))).into_make_service());
    let connected =
        serve!(guard(Router::new().route("/", get(peer))).into_make_service_with_connect_info::<SocketAddr>());
    let outside =
        serve!(whole(Router::new().route("/", get(peer))).into_make_service_with_connect_info::<SocketAddr>());
    let unconnected = serve!(whole(Router::new().route("/", get(greet))).into_make_service());
    for ([accepted, rejected], body) in
        [(plain, "acme"), (connected, "127.0.0.1"), (outside, "127.0.0.1"), (unconnected, "acme")]
    {
        assert!(accepted.starts_with("HTTP/1.1 200 OK\r\n") && accepted.ends_with(body), "{accepted}");
        assert!(rejected.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{rejected}");
    }
}
