//! A server on real sockets.

use std::net::SocketAddr;

use tokio::task::JoinSet;

/// Where it listens. It ends when this is dropped.
pub(crate) struct Server {
    pub(crate) http1: SocketAddr,
    pub(crate) http2: SocketAddr,
    pub(crate) _tasks: JoinSet<()>,
}
