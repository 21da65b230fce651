use std::net::IpAddr;

/// The connection that a request came over, as the one who accepted it knows it.
///
/// The server puts it into the extensions of each request, and [`ClientInfoLayer`](super::ClientInfoLayer) reads it there.
/// On plain hyper the accept loop does so:
///
/// ```
/// use http::Request;
/// use tower::util::MapRequest;
/// use tower_api_key::transport::Connection;
/// # use std::net::SocketAddr;
///
/// # fn accepted<S>(service: S, peer: SocketAddr) -> impl Sized {
/// let connection = Connection::plain(peer.ip());
/// let service = MapRequest::new(service, move |mut request: Request<String>| {
///     request.extensions_mut().insert(connection);
///     request
/// });
/// # service }
/// ```
///
/// With axum, [`ClientInfoLayer::connection_from`](super::ClientInfoLayer::connection_from) reads what `ConnectInfo` has.
/// A peer without an address, as on a Unix socket, is a process of this machine: give it the loopback address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    peer: IpAddr,
    tls: bool,
}

impl Connection {
    /// Returns a connection in the clear.
    #[must_use]
    pub const fn plain(peer: IpAddr) -> Self {
        Self { peer, tls: false }
    }

    /// Returns a connection over TLS that this process accepted itself.
    #[must_use]
    pub const fn tls(peer: IpAddr) -> Self {
        Self { peer, tls: true }
    }

    /// Returns who is at its other end: the client, or the last proxy before this process.
    #[must_use]
    pub const fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Returns whether it is TLS.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }
}
