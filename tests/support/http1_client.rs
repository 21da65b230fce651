//! hyper's client for HTTP/1.1, on one connection.

use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub(crate) async fn connect_http1<B>(address: SocketAddr) -> http1::SendRequest<B>
where
    B: Body<Data = Bytes, Error: Error + Send + Sync> + Send + 'static,
{
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}
