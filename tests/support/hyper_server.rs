//! hyper's own connections, a listener for each version, and nothing between them and the service.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::{BoxError, Service};

use super::server::Server;

pub(crate) async fn serve_hyper<S, B>(service: S) -> Server
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let of_http1 = TowerToHyperService::new(service.clone());
    let http1 = listen(&mut tasks, move |stream| {
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(stream, of_http1.clone());
        // What a connection ends with is the client's to see.
        async { drop(connection.await) }
    });
    let http1 = http1.await;
    let of_http2 = TowerToHyperService::new(service);
    let http2 = listen(&mut tasks, move |stream| {
        let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(stream, of_http2.clone());
        async { drop(connection.await) }
    });
    Server { http1, http2: http2.await, _tasks: tasks }
}

async fn listen<F>(tasks: &mut JoinSet<()>, serve: impl Fn(TokioIo<TcpStream>) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            connections.spawn(serve(TokioIo::new(stream)));
        }
    });
    address
}
