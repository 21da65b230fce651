//! A guarded router for `axum::serve`.

use std::convert::Infallible;

use axum::Router;
use axum::extract::Request;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::response::IntoResponse;
use axum::routing::IntoMakeService;
use tower::Service;

use super::service::ApiKeyService;

// `axum::serve` takes services with bodies of axum, which a router makes of ours.
impl<S> ApiKeyService<S>
where
    Self: Service<Request, Response: IntoResponse, Error = Infallible, Future: Send + 'static>,
    Self: Clone + Send + Sync + 'static,
{
    /// Returns what `axum::serve` takes: this service for every connection.
    ///
    /// ```no_run
    /// use axum::{Router, routing::get};
    /// use tower::Layer;
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    ///
    /// # async fn run() -> std::io::Result<()> {
    /// let router = Router::new().route("/", get(async || "hello"));
    /// let guarded = ApiKeyLayer::new(MemoryStore::new()).layer(router);
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    /// axum::serve(listener, guarded.into_make_service()).await
    /// # }
    /// ```
    #[must_use]
    pub fn into_make_service(self) -> IntoMakeService<Router> {
        Router::new().fallback_service(self).into_make_service()
    }

    /// Returns what `axum::serve` takes: this service for every connection, with axum's `ConnectInfo` in the extensions
    /// of each request.
    ///
    /// ```no_run
    /// use std::net::SocketAddr;
    ///
    /// # type Guarded = tower_api_key::auth::ApiKeyService<axum::Router>;
    /// # async fn run(guarded: Guarded) -> std::io::Result<()> {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    /// axum::serve(listener, guarded.into_make_service_with_connect_info::<SocketAddr>()).await
    /// # }
    /// ```
    #[must_use]
    pub fn into_make_service_with_connect_info<C>(self) -> IntoMakeServiceWithConnectInfo<Router, C> {
        Router::new().fallback_service(self).into_make_service_with_connect_info()
    }
}
