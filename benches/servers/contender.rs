//! The servers that are compared.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use futures::FutureExt;
use futures::future::BoxFuture;
use tower_api_key::scope::avala;
use tower_api_key::store::{CachedStore, PostgresStore, SqliteStore};
use tower_api_key::{ApiKeyLayer, BoxError, KeyStore, MemoryStore};

use crate::databases::Urls;
use crate::{hand_written, keys};

pub(crate) const BARE: &str = "bare";
pub(crate) const BARE_AGAIN: &str = "bare, again";

pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// Makes the router, once every connection is open that is opened before a server accepts requests.
    pub(crate) router: fn(Urls) -> BoxFuture<'static, Result<Router, BoxError>>,
    /// The server that does the same without this crate, and what its figures are multiplied by for the bars.
    pub(crate) peer: Option<Peer>,
}

#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) most_cpu: f64,
    pub(crate) least_requests: f64,
    pub(crate) least_requests_of_one_connection: f64,
}

const ON_SQLITE: Peer =
    Peer { name: HAND_SQLITE, most_cpu: 0.67, least_requests: 1.5, least_requests_of_one_connection: 1.0 };
const ON_SQLITE_ANALYZED: Peer = Peer { name: HAND_SQLITE_ANALYZED, ..ON_SQLITE };
const ON_POSTGRES: Peer =
    Peer { name: HAND_POSTGRES, most_cpu: 0.75, least_requests: 1.5, least_requests_of_one_connection: 1.0 };

const HAND_SQLITE: &str = "hand-written on SQLite";
const HAND_SQLITE_ANALYZED: &str = "hand-written on SQLite, after ANALYZE";
const HAND_POSTGRES: &str = "hand-written on Postgres";

macro_rules! contender {
    ($name:expr, $peer:expr, $router:expr) => {
        Contender { name: $name, peer: $peer, router: |urls| async move { $router(urls).await }.boxed() }
    };
}

pub(crate) const CONTENDERS: &[Contender] = &[
    contender!(BARE, None, bare),
    contender!(BARE_AGAIN, None, bare),
    contender!("MemoryStore", None, async |_| guarded(memory().await?)),
    contender!("SqliteStore", Some(ON_SQLITE), async |urls: Urls| guarded(SqliteStore::connect(&urls.sqlite).await?)),
    contender!(HAND_SQLITE, None, async |urls: Urls| hand_written::sqlite(&urls.sqlite).await),
    contender!("SqliteStore, after ANALYZE", Some(ON_SQLITE_ANALYZED), async |urls: Urls| {
        guarded(SqliteStore::connect(&urls.sqlite_analyzed).await?)
    }),
    contender!(HAND_SQLITE_ANALYZED, None, async |urls: Urls| hand_written::sqlite(&urls.sqlite_analyzed).await),
    contender!("SqliteStore and CachedStore", None, async |urls: Urls| {
        guarded(cached(SqliteStore::connect(&urls.sqlite).await?))
    }),
    contender!("PostgresStore", Some(ON_POSTGRES), async |urls: Urls| {
        guarded(PostgresStore::connect(&urls.postgres).await?)
    }),
    contender!(HAND_POSTGRES, None, async |urls: Urls| hand_written::postgres(&urls.postgres).await),
    contender!("PostgresStore and CachedStore", None, async |urls: Urls| {
        guarded(cached(PostgresStore::connect(&urls.postgres).await?))
    }),
];

pub(crate) fn find(name: &str) -> Option<&'static Contender> {
    CONTENDERS.iter().find(|contender| contender.name == name)
}

pub(crate) fn route() -> Router {
    Router::new().route("/datasets", get(|| async { "{\"ok\":true}" }))
}

async fn bare(_: Urls) -> Result<Router, BoxError> {
    Ok(route())
}

fn guarded(store: impl KeyStore) -> Result<Router, BoxError> {
    Ok(route().layer(ApiKeyLayer::new(store).require(avala::DATASETS_READ)))
}

fn cached<S: KeyStore>(store: S) -> CachedStore<S> {
    // Servers take turns. Longer than a pause between two turns, so that no turn begins with an empty cache.
    CachedStore::builder(store).time_to_live(Duration::from_secs(3_600)).build()
}

async fn memory() -> Result<MemoryStore, BoxError> {
    let store = MemoryStore::new();
    for record in keys::records() {
        store.add(record)?;
    }
    Ok(store)
}
