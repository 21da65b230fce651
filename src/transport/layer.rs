use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Extensions, Request};
use tower::Service;
use tower_layer::Layer;

use super::{Connection, TrustedProxies};
use crate::client::ClientInfo;

/// Determines the client's address and protocol, and puts a [`ClientInfo`] into the extensions of each request.
///
/// The layer rejects nothing. Layers that need the client are inside of it, so add it last to an axum router. The address
/// comes from the [`Connection`] that the server put into the extensions. Forwarding headers are ignored unless
/// [`trust`](Self::trust) names proxies. Without a connection, inner layers that need a client respond 500, and the log
/// names the missing layer.
///
/// ```
/// use std::net::SocketAddr;
/// use axum::{Router, extract::ConnectInfo, routing::get};
/// use tower_api_key::transport::{ClientInfoLayer, Connection, TrustedProxies};
///
/// let layer = ClientInfoLayer::new()
///     .connection_from(|ConnectInfo(peer): &ConnectInfo<SocketAddr>| Connection::plain(peer.ip()))
///     .trust(TrustedProxies::new(["10.0.0.0/8"])?);
/// let app = Router::new().route("/", get(|| async { "hello" })).layer(layer);
/// let app = app.into_make_service_with_connect_info::<SocketAddr>();
/// # drop(app);
/// # Ok::<(), tower_api_key::transport::InvalidProxy>(())
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct ClientInfoLayer {
    proxies: Arc<TrustedProxies>,
    connection: Arc<ConnectionFn>,
}

type ConnectionFn = dyn Fn(&Extensions) -> Option<Connection> + Send + Sync;

impl ClientInfoLayer {
    /// Creates a layer that ignores forwarding headers.
    pub fn new() -> Self {
        Self { proxies: Arc::default(), connection: Arc::new(|extensions| extensions.get().copied()) }
    }

    /// Trusts the forwarding headers of these proxies. Replaces those of an earlier call.
    pub fn trust(self, proxies: TrustedProxies) -> Self {
        Self { proxies: Arc::new(proxies), ..self }
    }

    /// Makes the [`Connection`] from another type in the extensions, such as axum's `ConnectInfo`.
    ///
    /// Return [`Connection::tls`] only if this process ends TLS: the result is trusted.
    pub fn connection_from<T, F>(self, connection: F) -> Self
    where
        T: Send + Sync + 'static,
        F: Fn(&T) -> Connection + Send + Sync + 'static,
    {
        Self { connection: Arc::new(move |extensions| extensions.get().map(&connection)), ..self }
    }

    fn client<B>(&self, request: &Request<B>) -> Option<ClientInfo> {
        let connection = (self.connection)(request.extensions())?;
        Some(self.proxies.client(connection, request.headers()))
    }
}

impl Default for ClientInfoLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for ClientInfoLayer {
    type Service = ClientInfoService<S>;

    fn layer(&self, inner: S) -> ClientInfoService<S> {
        ClientInfoService { inner, layer: self.clone() }
    }
}

impl fmt::Debug for ClientInfoLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientInfoLayer").field("proxies", &self.proxies).finish_non_exhaustive()
    }
}

/// The service of a [`ClientInfoLayer`].
#[derive(Clone, Debug)]
pub struct ClientInfoService<S> {
    inner: S,
    layer: ClientInfoLayer,
}

impl<S, B> Service<Request<B>> for ClientInfoService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        // A `ClientInfo` of an outer layer is always replaced or removed.
        let client = self.layer.client(&request);
        match client {
            Some(client) => drop(request.extensions_mut().insert(client)),
            None => drop(request.extensions_mut().remove::<ClientInfo>()),
        }
        self.inner.call(request)
    }
}
