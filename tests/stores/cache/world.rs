//! A store that can be watched, a cache in front of it, and the clocks by which that one counts.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use tokio::task::unconstrained;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::manage::IssuedKey;
use tower_api_key::scope::avala;
use tower_api_key::store::{CachedStore, CachedStoreBuilder, Lookup};
use tower_api_key::{Access, ApiKeyLayer, KeyStore, NewKey, OrganizationId};

use super::probe::Probe;
use crate::support::clock::Hands;
use crate::support::manage::Manage;
use crate::support::poll::poll;
use crate::support::reply::Reply;
use crate::support::request::request;

pub(crate) const TIME_TO_LIVE: Duration = Duration::from_secs(5);
pub(crate) const UNKNOWN_TIME_TO_LIVE: Duration = Duration::from_secs(1);

pub(crate) struct World {
    pub(crate) store: Probe,
    pub(crate) cache: CachedStore<Probe>,
    pub(crate) clocks: Clocks,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|cache| cache)
    }

    pub(crate) fn with(configure: impl FnOnce(CachedStoreBuilder<Probe>) -> CachedStoreBuilder<Probe>) -> Self {
        Self::over(Probe::default(), configure)
    }

    pub(crate) fn over(
        store: Probe,
        configure: impl FnOnce(CachedStoreBuilder<Probe>) -> CachedStoreBuilder<Probe>,
    ) -> Self {
        let clocks = Clocks::new();
        Self { cache: clocks.build(configure(CachedStore::builder(store.clone()))), store, clocks }
    }

    /// A key that the store knows and the cache has not seen.
    pub(crate) async fn key(&self) -> IssuedKey {
        issue(self.store.elsewhere(), &acme()).await
    }

    /// A key that the cache remembers.
    pub(crate) async fn cached_key(&self) -> IssuedKey {
        let key = self.key().await;
        let found = find(&self.cache, key.record.digest()).await.unwrap();
        assert!(found.is_some() && self.remembers(&key));
        key
    }

    /// Whether this key is answered from memory.
    pub(crate) fn remembers(&self, key: &IssuedKey) -> bool {
        matches!(self.cache.try_find(key.record.digest()), Lookup::Found(_))
    }

    /// A request with this key, to a service that any key may use.
    pub(crate) async fn request(&self, key: &str) -> Reply {
        ask(ApiKeyLayer::new(self.cache.clone()).clock(self.clocks.wall.clone()), key).await
    }
}

/// Both clocks of a cache, each of which a test moves alone.
#[derive(Clone)]
pub(crate) struct Clocks {
    monotonic: Arc<Mutex<Instant>>,
    pub(crate) wall: Hands,
}

impl Clocks {
    pub(crate) fn new() -> Self {
        // In whole seconds, as records keep their times.
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Self { monotonic: Arc::new(Mutex::new(Instant::now())), wall: Hands::at(wall) }
    }

    pub(crate) fn build<S: KeyStore>(&self, cache: CachedStoreBuilder<S>) -> CachedStore<S> {
        let Self { monotonic, wall } = self.clone();
        cache.clocks(move || *monotonic.lock().unwrap(), wall).build()
    }

    pub(crate) fn now(&self) -> SystemTime {
        tower_api_key::time::Clock::now(&self.wall)
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.pass_monotonic(time);
        self.wall.set(self.now() + time);
    }

    pub(crate) fn pass_monotonic(&self, time: Duration) {
        *self.monotonic.lock().unwrap() += time;
    }
}

pub(crate) fn acme() -> OrganizationId {
    "acme".parse().unwrap()
}

pub(crate) async fn issue(keys: &impl Manage, organization: &OrganizationId) -> IssuedKey {
    keys.manage().issue(organization, NewKey::new("key", Access::scoped(avala::ALL)).unwrap()).await.unwrap()
}

/// A digest that no key has.
pub(crate) fn unknown_digest(number: usize) -> KeyDigest {
    KeyDigest::hash(format!("unknown {number}").as_bytes())
}

/// As the layer looks keys up.
pub(crate) async fn find<S: KeyStore>(store: &S, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, S::Error> {
    match store.try_find(digest) {
        Lookup::Found(record) => Ok(Some(record)),
        Lookup::NotFound => Ok(None),
        Lookup::Pending => store.find(digest).await,
    }
}

/// Takes the first step of something that must then wait, for more than its share of the runtime's time.
pub(crate) fn begin<'a, T>(future: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T>
where
    T: fmt::Debug,
{
    let mut future = unconstrained(future).boxed();
    let first = poll(Pin::new(&mut future));
    assert!(first.is_pending(), "{first:?}");
    future
}

/// A request through this layer, to a handler that answers 200.
pub(crate) async fn ask(layer: ApiKeyLayer, key: &str) -> Reply {
    let handler = service_fn(|_: Request<String>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    Reply::of(layer.layer(handler).oneshot(request(key)).await.unwrap()).await
}
