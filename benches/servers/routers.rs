//! Servers with this crate, and the bare route.

use std::hint::black_box;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::Method;
use tokio::net::TcpListener;
use tower::Layer;
use tower_api_key::auth::ApiKeyService;
use tower_api_key::background::Background;
use tower_api_key::routes::RouteTable;
use tower_api_key::scope::avala;
use tower_api_key::store::{CachedStore, SqliteStore};
use tower_api_key::throttle::{Limit, LimitRule};
use tower_api_key::{ApiKeyLayer, BoxError, KeyStore, MemoryStore};

use crate::keys;

pub(crate) enum App {
    Router(Router),
    /// A layer around the whole router.
    Guarded(ApiKeyService<Router>),
}

impl App {
    pub(crate) async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        match self {
            Self::Router(router) => axum::serve(listener, router).await,
            Self::Guarded(service) => axum::serve(listener, service.into_make_service()).await,
        }
    }
}

impl From<Router> for App {
    fn from(router: Router) -> Self {
        Self::Router(router)
    }
}

impl From<ApiKeyService<Router>> for App {
    fn from(service: ApiKeyService<Router>) -> Self {
        Self::Guarded(service)
    }
}

pub(crate) fn bare() -> Router {
    Router::new().route("/datasets", get(|| async { "{\"ok\":true}" }))
}

pub(crate) fn guarded(store: impl KeyStore) -> Result<Router, BoxError> {
    Ok(bare().layer(ApiKeyLayer::new(store).require(avala::DATASETS_READ)))
}

pub(crate) fn cached<S: KeyStore>(store: S) -> CachedStore<S> {
    // Servers take turns. Longer than a pause between two turns, so that no turn begins with an empty cache.
    CachedStore::builder(store).time_to_live(Duration::from_secs(3_600)).build()
}

pub(crate) fn memory() -> Result<Router, BoxError> {
    guarded(store()?)
}

/// As in the README.
pub(crate) fn table() -> Result<ApiKeyService<Router>, BoxError> {
    Ok(ApiKeyLayer::new(store()?).routes(routes()?).layer(bare()))
}

/// As a part of a larger router.
pub(crate) fn table_in_fallback() -> Result<Router, BoxError> {
    Ok(Router::new().fallback_service(table()?))
}

/// A cache, a route table, a limit for each key, its use, and a hook.
pub(crate) async fn recommended(url: &str) -> Result<ApiKeyService<Router>, BoxError> {
    let cache = cached(SqliteStore::connect(url).await?);
    // It refreshes the cache and reports the use of keys for as long as the process runs.
    Box::leak(Box::new(Background::of(cache.clone())));
    let layer = ApiKeyLayer::new(cache).routes(routes()?).limit(LimitRule::per_key(Limit::per_day(u32::MAX)));
    let layer = layer.on_decision(|event| {
        black_box(event.outcome());
    });
    Ok(layer.layer(bare()))
}

fn store() -> Result<MemoryStore, BoxError> {
    let store = MemoryStore::new();
    for record in keys::records() {
        store.add(record)?;
    }
    Ok(store)
}

fn routes() -> Result<RouteTable, BoxError> {
    let table = (1..100).fold(RouteTable::builder(), |table, number| {
        table.route(Method::GET, format!("/resource{number}/{{uid}}/"), avala::DATASETS_READ)
    });
    Ok(table.route(Method::GET, "/datasets", avala::DATASETS_READ).build()?)
}
