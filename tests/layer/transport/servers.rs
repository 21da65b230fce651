//! Listeners with and without TLS, for axum and for plain hyper, with HTTP/1.1 and HTTP/2.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client};
use tower::ServiceExt;
use tower_api_key::transport::Connection;

use super::guarded::Service;

/// A certificate for `localhost` that only [`connect`](Self::connect) knows.
pub(crate) struct Certificate(pub(crate) CertifiedKey<KeyPair>);

impl Certificate {
    pub(crate) fn new() -> Self {
        Self(generate_simple_self_signed(["localhost".to_owned()]).unwrap())
    }

    fn der(&self) -> CertificateDer<'static> {
        self.0.cert.der().clone()
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::try_from(self.0.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(config.with_single_cert(vec![self.der()], key).unwrap()).into()
    }

    pub(crate) async fn connect(&self, stream: TcpStream) -> io::Result<client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
        connector.connect(ServerName::try_from("localhost").unwrap(), stream).await
    }
}

/// A listener that axum can serve on.
pub(crate) struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl TlsListener {
    async fn new(certificate: &Certificate) -> Self {
        Self { listener: listener().await, acceptor: certificate.acceptor() }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let Ok((stream, peer)) = self.listener.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// What axum knows about a connection over TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverTls(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, TlsListener>> for OverTls {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

pub(crate) async fn axum_plain(tasks: &mut JoinSet<()>, app: Router) -> SocketAddr {
    let listener = listener().await;
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

pub(crate) async fn axum_tls(tasks: &mut JoinSet<()>, app: Router, certificate: &Certificate) -> SocketAddr {
    let listener = TlsListener::new(certificate).await;
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<OverTls>();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

pub(crate) async fn hyper_plain(tasks: &mut JoinSet<()>, service: Service<Incoming>) -> SocketAddr {
    let listener = listener().await;
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, Connection::plain(peer.ip()), service.clone()));
        }
    });
    address
}

pub(crate) async fn hyper_tls(
    tasks: &mut JoinSet<()>,
    service: Service<Incoming>,
    certificate: &Certificate,
) -> SocketAddr {
    let mut listener = TlsListener::new(certificate).await;
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await;
            tokio::spawn(serve(stream, Connection::tls(peer.ip()), service.clone()));
        }
    });
    address
}

/// The accept loop knows the connection and puts it into each request.
async fn serve<I>(stream: I, connection: Connection, service: Service<Incoming>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(connection);
        request
    });
    let server = auto::Builder::new(TokioExecutor::new());
    // What a connection ends with is the client's to see.
    drop(server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await);
}

async fn listener() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap()
}
