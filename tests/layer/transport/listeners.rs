//! Real connections, in the clear and over TLS, to axum and to plain hyper.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tower_api_key::transport::{ClientInfoLayer, Connection};

use super::guarded::{HTTPS_REQUIRED, Seen};
use super::servers::{Certificate, OverTls, axum_plain, axum_tls, hyper_plain, hyper_tls};
use crate::support::http2_client::connect_http2;
use crate::support::keys::KEY;
use crate::support::reply::Reply;

/// From another address of this machine.
pub(crate) async fn connect_from(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// Status and body of `GET /` with the key and these header lines.
pub(crate) async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, lines: &[&str]) -> (u16, String) {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let request =
        format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-avala-api-key: {KEY}\r\nconnection: close\r\n{lines}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    // A server may end TLS without marking the connection.
    let _ = stream.read_to_end(&mut reply).await;
    let reply = String::from_utf8(reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply: {reply:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

const FORGED: [&str; 3] =
    ["x-forwarded-for: 10.0.0.1", "x-forwarded-proto: https", "forwarded: for=10.0.0.1;proto=https"];

/// The same guard over plain HTTP and over TLS: each listener of axum states which it is.
struct World {
    seen: Seen,
    certificate: Certificate,
    plain: [SocketAddr; 2],
    tls: [SocketAddr; 2],
    _tasks: JoinSet<()>,
}

impl World {
    async fn new() -> Self {
        let (seen, certificate, mut tasks) = (Seen::default(), Certificate::new(), JoinSet::new());
        let in_the_clear = |ConnectInfo(peer): &ConnectInfo<SocketAddr>| Connection::plain(peer.ip());
        let over_tls = |ConnectInfo(OverTls(peer)): &ConnectInfo<OverTls>| Connection::tls(peer.ip());
        let app = |layer: ClientInfoLayer| Router::new().fallback_service(seen.service(layer));
        let plain = [
            axum_plain(&mut tasks, app(ClientInfoLayer::new().connection_from(in_the_clear))).await,
            hyper_plain(&mut tasks, seen.service(ClientInfoLayer::new())).await,
        ];
        let tls = [
            axum_tls(&mut tasks, app(ClientInfoLayer::new().connection_from(over_tls)), &certificate).await,
            hyper_tls(&mut tasks, seen.service(ClientInfoLayer::new()), &certificate).await,
        ];
        Self { seen, certificate, plain, tls, _tasks: tasks }
    }
}

/// Cases: 41, 42.
#[tokio::test]
async fn tls_is_accepted_and_plain_http_is_rejected() {
    let world = World::new().await;
    for from in ["127.0.0.1", "127.0.0.77"] {
        for lines in [&[][..], &FORGED] {
            for address in world.plain {
                let reply = ask(connect_from(from, address).await, lines).await;
                assert_eq!(reply, (403, HTTPS_REQUIRED.to_owned()));
            }
            assert_eq!((world.seen.lookups(), world.seen.calls()), (0, 0));
        }
    }
    for from in ["127.0.0.1", "127.0.0.77"] {
        for lines in [&[][..], &FORGED] {
            for address in world.tls {
                let stream = world.certificate.connect(connect_from(from, address).await).await.unwrap();
                assert_eq!(ask(stream, lines).await, (200, format!("{from} https=true")));
            }
        }
    }
}

/// Cases: 43.
/// The scheme is a word of the client, over HTTP/2 as in the target of HTTP/1.1.
#[tokio::test]
async fn scheme_of_clear_text_http_2_is_not_trusted() {
    let world = World::new().await;
    for address in world.plain {
        let mut client = connect_http2::<Full<Bytes>>(address).await;
        for scheme in ["https", "http"] {
            let request = Request::get(format!("{scheme}://localhost/")).header("x-avala-api-key", KEY);
            let reply = client.send_request(request.body(Full::default()).unwrap()).await.unwrap();
            let reply = Reply::of(reply).await;
            assert_eq!((reply.status, &*reply.body), (403, HTTPS_REQUIRED));
        }
    }
    assert_eq!((world.seen.lookups(), world.seen.calls()), (0, 0));
}
