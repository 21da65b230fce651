//! Connections that become something else: the handshake is a request like any other, and what comes after it is not.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer, service_fn};
use tower_api_key::store::KeyBackend;
use tower_api_key::{Access, ApiKeyLayer, MemoryStore, NewKey};

use crate::support::manage::Manage;

/// Switches to a protocol that echoes.
async fn echo(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.expect("an upgrade"));
        let mut bytes = [0; 64];
        while let Ok(read @ 1..) = stream.read(&mut bytes).await {
            stream.write_all(&bytes[..read]).await.expect("written");
        }
    });
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, "upgrade".parse().unwrap());
    response.headers_mut().insert(UPGRADE, "echo".parse().unwrap());
    Ok(response)
}

async fn serve(layer: ApiKeyLayer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(layer.layer(service_fn(echo)));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
        }
    });
    address
}

/// The connection and the head of the reply.
async fn handshake(address: SocketAddr, key: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n{key}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(head).unwrap())
}

async fn says(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut echoed = vec![0; text.len()];
    stream.read_exact(&mut echoed).await.unwrap();
    String::from_utf8(echoed).unwrap()
}

/// Cases: 39.
#[tokio::test]
async fn upgrade_is_guarded_and_open_stream_continues() {
    let keys = MemoryStore::new();
    let acme = "acme".parse().unwrap();
    let issued = keys.manage().issue(&acme, NewKey::new("socket", Access::Full).unwrap()).await.unwrap();
    let address = serve(ApiKeyLayer::new(keys.clone())).await;
    let good = format!("x-avala-api-key: {}\r\n", issued.secret.expose_secret());

    for key in ["", "x-avala-api-key: unknown\r\n"] {
        let (_, head) = handshake(address, key).await;
        assert!(head.starts_with("HTTP/1.1 401 ") && !head.contains("upgrade"), "{head}");
    }
    let (mut open, head) = handshake(address, &good).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(says(&mut open, "hello").await, "hello");

    keys.revoke(&acme, issued.record.id()).await.unwrap();
    let (_, head) = handshake(address, &good).await;
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    // This handler does not select on `ApiKey::ended`.
    assert_eq!(says(&mut open, "still here").await, "still here");
}
