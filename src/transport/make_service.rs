//! A service behind a [`ClientInfoLayer`](super::ClientInfoLayer) for `axum::serve`.

use std::convert::Infallible;

use axum::Router;
use axum::extract::Request;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::response::IntoResponse;
use axum::routing::IntoMakeService;
use tower::Service;

use super::ClientInfoService;

// `axum::serve` takes services with bodies of axum, which a router makes of ours.
impl<S> ClientInfoService<S>
where
    Self: Service<Request, Response: IntoResponse, Error = Infallible, Future: Send + 'static>,
    Self: Clone + Send + Sync + 'static,
{
    /// Returns what `axum::serve` takes: this service for every connection.
    ///
    /// The listener must put a [`Connection`](super::Connection) into the extensions of each request. Otherwise use
    /// [`into_make_service_with_connect_info`](Self::into_make_service_with_connect_info).
    #[must_use]
    pub fn into_make_service(self) -> IntoMakeService<Router> {
        Router::new().fallback_service(self).into_make_service()
    }

    /// Returns what `axum::serve` takes: this service for every connection, with axum's `ConnectInfo` in the extensions
    /// of each request.
    ///
    /// ```no_run
    /// use std::net::SocketAddr;
    /// use axum::{Router, extract::ConnectInfo, routing::get};
    /// use tower::{Layer, ServiceBuilder};
    /// use tower_api_key::transport::{ClientInfoLayer, Connection};
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    ///
    /// # async fn run() -> std::io::Result<()> {
    /// let client = ClientInfoLayer::new()
    ///     .connection_from(|ConnectInfo(peer): &ConnectInfo<SocketAddr>| Connection::plain(peer.ip()));
    /// let router = Router::new().route("/", get(async || "hello"));
    /// let guarded = ServiceBuilder::new().layer(client).layer(ApiKeyLayer::new(MemoryStore::new())).service(router);
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    /// axum::serve(listener, guarded.into_make_service_with_connect_info::<SocketAddr>()).await
    /// # }
    /// ```
    #[must_use]
    pub fn into_make_service_with_connect_info<C>(self) -> IntoMakeServiceWithConnectInfo<Router, C> {
        Router::new().fallback_service(self).into_make_service_with_connect_info()
    }
}
