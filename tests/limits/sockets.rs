//! Over real sockets, from several addresses of this machine at once.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_api_key::throttle::ThrottleLayer;
use tower_api_key::transport::{ClientInfoLayer, Connection};
use tower_api_key::{Access, ApiKeyLayer};

use super::world::{Hand, MINUTE};
use crate::support::keys::KEY;
use crate::support::store::store;

/// Five a minute of each client.
async fn serve(tasks: &mut JoinSet<()>, hand: &Hand) -> SocketAddr {
    let listener = TcpListener::bind(("0.0.0.0", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = ServiceBuilder::new()
        .layer(ClientInfoLayer::new())
        .layer(ThrottleLayer::new(hand.per_client(5)))
        .layer(ApiKeyLayer::new(store(Access::Full)))
        .service(service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(http::Response::new(String::new()))));
    tasks.spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let connection = Connection::plain(peer.ip());
            let service = service.clone().map_request(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(connection);
                request
            });
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // The client sees how the connection ends.
                drop(server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await);
            });
        }
    });
    address
}

/// The status of one request, on a connection of its own.
async fn status(from: Ipv4Addr, port: u16) -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.into(), 0)).unwrap();
    let mut stream = socket.connect(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\nx-avala-api-key: {KEY}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Cases: 40.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_address_gets_exactly_five_requests() {
    let (hand, mut tasks) = (Hand::default(), JoinSet::new());
    let port = serve(&mut tasks, &hand).await.port();
    let round = async |at: u64| {
        hand.set(at);
        let mut requests = JoinSet::new();
        for host in 1..=8_u8 {
            for _ in 0..10 {
                requests.spawn(async move { (host, status(Ipv4Addr::new(127, 1, 2, host), port).await) });
            }
        }
        let replies = requests.join_all().await;
        (1..=8).map(|host| replies.iter().filter(|&&reply| reply == (host, 200)).count()).collect::<Vec<_>>()
    };
    // At the edge of a minute, after it, and when the first requests leave the window.
    assert_eq!(round(MINUTE - 1).await, [5; 8]);
    assert_eq!(round(MINUTE).await, [0; 8]);
    assert_eq!(round(2 * MINUTE - 2).await, [0; 8]);
    assert_eq!(round(2 * MINUTE - 1).await, [5; 8]);
    assert_eq!(round(2 * MINUTE).await, [0; 8]);
}
