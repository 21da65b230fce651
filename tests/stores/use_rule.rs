//! What counts as a use of a key: each request whose key a layer has authenticated, whatever becomes of it.
#![cfg(all(feature = "routes", feature = "throttle"))]

use std::convert::Infallible;
use std::future::pending;
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use http::{Method, Request, Response};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_api_key::auth::{Attempt, Limit, LimitCaller, LimitState, Limiter, RequireScopesLayer};
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::request::RequestHead;
use tower_api_key::routes::RouteTable;
use tower_api_key::scope::avala::{DATASETS_READ, EXPORTS_CREATE};
use tower_api_key::store::KeyBackend;
use tower_api_key::throttle::ThrottleLayer;
use tower_api_key::usage::UsageTracker;
use tower_api_key::{Access, ApiKeyLayer, MemoryStore, OrganizationId};

use crate::support::request::request;

const KEY: &str = "a valid key";
const EXPIRED: &str = "an expired key";
const REVOKED: &str = "a revoked key";
const IDS: [KeyId; 3] = [KeyId::from_u128(1), KeyId::from_u128(2), KeyId::from_u128(3)];

/// A store with three keys, which have one scope.
#[derive(Clone)]
struct World {
    store: MemoryStore,
    usage: UsageTracker,
}

impl World {
    fn new() -> Self {
        let store = MemoryStore::new();
        for (id, key) in IDS.into_iter().zip([KEY, EXPIRED, REVOKED]) {
            let record = KeyRecord::new(id, KeyDigest::hash(key.as_bytes()), acme(), Access::scoped([DATASETS_READ]));
            let record = match key {
                EXPIRED => record.with_expires_at(SystemTime::UNIX_EPOCH),
                REVOKED => record.with_revoked_at(SystemTime::UNIX_EPOCH),
                _ => record,
            };
            store.add(record).unwrap();
        }
        Self { store, usage: UsageTracker::new() }
    }

    fn layer(&self) -> ApiKeyLayer {
        ApiKeyLayer::new(self.store.clone()).track_usage(&self.usage)
    }

    /// Reports, and returns how many uses of all keys there were.
    async fn uses(&self) -> u64 {
        self.usage.flush(&self.store).await.unwrap();
        let mut uses = 0;
        for id in IDS {
            uses += self.store.get(&acme(), id).await.unwrap().request_count();
        }
        uses
    }

    /// Returns the status of the response, and how many uses were counted.
    async fn call<S, B>(&self, service: S, request: Request<String>) -> (u16, u64)
    where
        S: Service<Request<String>, Response = Response<B>, Error = Infallible>,
    {
        let before = self.uses().await;
        let status = service.oneshot(request).await.unwrap().status().as_u16();
        (status, self.uses().await - before)
    }
}

fn acme() -> OrganizationId {
    "acme".parse().unwrap()
}

/// Responds with this status.
fn handler(
    status: u16,
) -> impl Service<Request<String>, Response = Response<String>, Error = Infallible, Future: Send> + Clone {
    service_fn(
        move |_: Request<String>| async move { Ok(Response::builder().status(status).body(String::new()).unwrap()) },
    )
}

/// A limit that every key has used up.
struct UsedUp;

impl Limiter for UsedUp {
    fn try_acquire(&self, _: RequestHead<'_>, _: LimitCaller<'_>) -> Attempt {
        Attempt::Limited(LimitState::new(Limit::per_minute(1), 0, Duration::from_secs(60)))
    }
}

/// Cases: 142.
#[tokio::test]
async fn request_of_valid_key_is_a_use() {
    let world = World::new();
    let layer = || world.layer();
    for status in [200, 403, 404, 500] {
        assert_eq!(world.call(layer().layer(handler(status)), request(KEY)).await, (status, 1));
    }
    let missing = layer().require(EXPORTS_CREATE).layer(handler(200));
    assert_eq!(world.call(missing, request(KEY)).await, (403, 1));
    let missing = layer().layer(RequireScopesLayer::new(EXPORTS_CREATE).layer(handler(200)));
    assert_eq!(world.call(missing, request(KEY)).await, (403, 1));
    let missing = RouteTable::builder().route(Method::GET, "/datasets/", EXPORTS_CREATE).build().unwrap();
    assert_eq!(world.call(layer().routes(missing).layer(handler(200)), request(KEY)).await, (403, 1));
    let elsewhere = RouteTable::builder().public(Method::GET, "/health").build().unwrap();
    assert_eq!(world.call(layer().routes(elsewhere).layer(handler(200)), request(KEY)).await, (404, 1));
    assert_eq!(world.call(layer().layer(ThrottleLayer::new(UsedUp).layer(handler(200))), request(KEY)).await, (429, 1));
    let anonymous = layer().allow_anonymous();
    assert_eq!(world.call(anonymous.layer(handler(200)), request(KEY)).await, (200, 1));

    // The client goes away.
    let before = world.uses().await;
    let hangs = layer().layer(service_fn(|_: Request<String>| pending::<Result<Response<String>, Infallible>>()));
    assert!(hangs.oneshot(request(KEY)).now_or_never().is_none());
    assert_eq!(world.uses().await - before, 1);
}

/// Cases: 142.
#[tokio::test]
async fn request_without_valid_key_is_no_use() {
    let world = World::new();
    let layer = || world.layer();
    for key in ["", "an unknown key", EXPIRED, REVOKED] {
        assert_eq!(world.call(layer().layer(handler(200)), request(key)).await, (401, 0), "{key}");
    }
    assert_eq!(world.call(layer().allow_anonymous().layer(handler(200)), request("")).await, (200, 0));
    let public = RouteTable::builder().public(Method::GET, "/datasets/").build().unwrap();
    assert_eq!(world.call(layer().routes(public).layer(handler(200)), request(KEY)).await, (200, 0));
    assert_eq!(world.call(ThrottleLayer::new(UsedUp).layer(layer().layer(handler(200))), request(KEY)).await, (429, 0));
}

/// Cases: 142.
///
/// Side by side and nested, with trackers of their own and with one in common.
#[tokio::test]
async fn two_trackers_of_one_store_add_up() {
    let (world, other) = (World::new(), UsageTracker::new());
    let others = ApiKeyLayer::new(world.store.clone()).track_usage(&other);
    for _ in 0..3 {
        assert_eq!(world.call(world.layer().layer(handler(200)), request(KEY)).await, (200, 1));
        assert_eq!(world.call(others.layer(handler(200)), request(KEY)).await, (200, 0));
    }
    other.flush(&world.store).await.unwrap();
    assert_eq!(world.uses().await, 6);

    for (outer, inner) in [(world.layer(), others.clone()), (others, world.layer())] {
        assert_eq!(world.call(outer.layer(inner.layer(handler(200))), request(KEY)).await, (200, 1));
        let before = world.uses().await;
        other.flush(&world.store).await.unwrap();
        assert_eq!(world.uses().await - before, 1);
    }
    let twice = world.layer().layer(world.layer().layer(handler(200)));
    assert_eq!(world.call(twice, request(KEY)).await, (200, 1));
    let inner_only = ApiKeyLayer::new(world.store.clone()).layer(world.layer().layer(handler(200)));
    assert_eq!(world.call(inner_only, request(KEY)).await, (200, 1));
}
