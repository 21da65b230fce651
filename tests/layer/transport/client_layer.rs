//! Where a `ClientInfo` comes from, and that nothing else can bring one.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::client::ClientInfo;
use tower_api_key::transport::{ClientInfoLayer, Connection};

use super::guarded::MISCONFIGURED;
use super::spoofing::{address, headers, proxies};
use crate::support::log_lines::{record_log, take_log};
use crate::support::reply::Reply;

/// The client that a layer found.
async fn found(layer: ClientInfoLayer, request: Request<()>) -> Option<ClientInfo> {
    let found = Arc::new(Mutex::new(None));
    let place = Arc::clone(&found);
    let service = layer.layer(service_fn(move |request: Request<()>| {
        *place.lock().unwrap() = request.extensions().get::<ClientInfo>().copied();
        async { Ok::<_, Infallible>(Response::new(())) }
    }));
    service.oneshot(request).await.unwrap();
    found.lock().unwrap().take()
}

fn request(connection: Option<Connection>) -> Request<()> {
    let mut request = Request::new(());
    *request.headers_mut() = headers(&["x-forwarded-for: 6.6.6.6", "forwarded: for=6.6.6.6;proto=https"]);
    connection.map(|connection| request.extensions_mut().insert(connection));
    request
}

#[tokio::test]
async fn client_is_the_connection_unless_proxy_is_trusted() {
    let proxy = Connection::plain(address("127.0.0.1"));
    let client = found(ClientInfoLayer::new(), request(Some(proxy))).await.unwrap();
    assert_eq!((client.address(), client.is_https()), (Some(address("127.0.0.1")), false));
    let client = found(ClientInfoLayer::default().trust(proxies()), request(Some(proxy))).await.unwrap();
    assert_eq!(client.address(), Some(address("6.6.6.6")));
    assert_eq!(found(ClientInfoLayer::new(), request(None)).await, None);
}

#[tokio::test]
async fn existing_client_extension_is_replaced() {
    let layer = ClientInfoLayer::new();
    let outer = found(layer.clone(), request(Some(Connection::tls(address("192.0.2.9"))))).await.unwrap();
    let mut forged = request(Some(Connection::plain(address("192.0.2.1"))));
    forged.extensions_mut().insert(outer);
    let client = found(layer.clone(), forged).await.unwrap();
    assert_eq!((client.address(), client.is_https()), (Some(address("192.0.2.1")), false));
    let mut forged = request(None);
    forged.extensions_mut().insert(outer);
    assert_eq!(found(layer, forged).await, None);
}

#[tokio::test]
async fn handler_extracts_the_client() {
    let app = Router::new().route("/", get(async |client: ClientInfo| client.network().to_string()));
    let ask = async |app: Router| {
        let request =
            Request::get("/").extension(Connection::plain(address("2001:db8::1"))).body(Body::empty()).unwrap();
        Reply::of(app.oneshot(request).await.unwrap()).await
    };
    assert_eq!(ask(app.clone().layer(ClientInfoLayer::new())).await.body, "2001:db8::/64");
    record_log();
    let reply = ask(app).await;
    assert_eq!((reply.status, &*reply.body), (500, MISCONFIGURED));
    assert!(take_log()[0].contains("a handler got a request without a ClientInfo"));
}
