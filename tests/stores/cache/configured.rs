//! One cache for many routes, several caches side by side, a small one, and none at all.

use std::time::Duration;

use futures::future::join_all;
use tower_api_key::key::{KeyDigest, KeyRecord, OrganizationPolicy};
use tower_api_key::manage::StoredCredential;
use tower_api_key::scope::avala;
use tower_api_key::store::{CachedStore, KeyBackend, Lookup};
use tower_api_key::{Access, ApiKeyLayer, KeyStore, MemoryStore, NewKey};

use super::probe::LookupFault;
use super::world::{TIME_TO_LIVE, World, acme, ask, begin, find, issue, unknown_digest};
use crate::support::manage::Manage;
use crate::support::reply::INVALID;

/// Cases: 88.
/// The cache holds what is known of a key, not what was decided about it.
#[tokio::test]
async fn each_route_decides_for_itself() {
    for allowed_first in [true, false] {
        let world = World::new();
        let new = NewKey::new("reader", Access::scoped([avala::DATASETS_READ])).unwrap();
        let key = world.store.elsewhere().manage().issue(&acme(), new).await.unwrap();
        let mut routes = [(avala::DATASETS_READ, 200), (avala::EXPORTS_CREATE, 403)];
        if !allowed_first {
            routes.reverse();
        }
        for _ in 0..3 {
            for (scope, status) in routes.clone() {
                let layer = ApiKeyLayer::new(world.cache.clone()).require(scope);
                assert_eq!(ask(layer, key.secret.expose_secret()).await.status, status);
            }
        }
        assert_eq!(world.store.lookups(), 1);
    }
}

/// Cases: 89.
/// The same key in two stores, as in two environments.
#[tokio::test]
async fn two_caches_share_no_answers() {
    let (one, two) = (World::new(), World::new());
    let credential = StoredCredential::from_plaintext(b"key");
    let mut ids = Vec::new();
    for (world, organization) in [(&one, "one"), (&two, "two")] {
        let key = NewKey::new("the same key", Access::Full).unwrap();
        let organization = organization.parse().unwrap();
        ids.push(world.store.elsewhere().manage().import(&organization, (key, credential.clone())).await.unwrap().id());
    }
    let only_one = issue(one.store.elsewhere(), &acme()).await;

    for _ in 0..3 {
        for (world, id) in [(&one, ids[0]), (&two, ids[1])] {
            assert_eq!(find(&world.cache, &KeyDigest::hash(b"key")).await.unwrap().unwrap().id(), id);
        }
        assert!(find(&one.cache, only_one.record.digest()).await.unwrap().is_some());
        assert!(find(&two.cache, only_one.record.digest()).await.unwrap().is_none());
    }
    assert_eq!((one.store.lookups(), two.store.lookups()), (2, 2));

    one.cache.revoke(&"one".parse().unwrap(), ids[0]).await.unwrap();
    assert_eq!(one.request("key").await.body, INVALID);
    assert_eq!(two.request("key").await.status, 200);
    assert_eq!((one.store.lookups(), two.store.lookups()), (3, 2));
}

/// All handles, and layers that are made of them, share what they remember and what they forget.
#[tokio::test]
async fn clone_is_a_handle_to_the_same_cache() {
    let world = World::new();
    let key = world.cached_key().await;
    let handle = world.cache.clone();
    assert!(matches!(handle.try_find(key.record.digest()), Lookup::Found(_)));
    handle.revoke(&acme(), key.record.id()).await.unwrap();
    assert_eq!(world.request(key.secret.expose_secret()).await.status, 401);
    assert_eq!(handle.get_ref().lookups(), 2);
}

fn off() -> World {
    World::with(|cache| cache.time_to_live(Duration::ZERO))
}

#[tokio::test]
async fn zero_ttl_reads_the_store_on_every_request() {
    let world = off();
    let key = world.key().await;
    for number in 1..=10 {
        assert_eq!(world.request(key.secret.expose_secret()).await.status, 200);
        assert_eq!(world.request("unknown").await.body, INVALID);
        assert_eq!(world.store.lookups(), 2 * number);
        assert!(matches!(world.cache.try_find(key.record.digest()), Lookup::Pending));
    }

    // Also at the same time, without limit, and for first-seen keys.
    world.store.hold();
    let unknown: Vec<_> = (0..50).map(unknown_digest).collect();
    let same = (0..50).map(|_| begin(find(&world.cache, key.record.digest())));
    let mut lookups: Vec<_> = same.collect();
    lookups.extend(unknown.iter().map(|digest| begin(find(&world.cache, digest))));
    assert_eq!(world.store.running(), 100);
    world.store.release();
    assert_eq!(join_all(lookups).await.into_iter().filter(|found| found.as_ref().unwrap().is_some()).count(), 50);

    world.store.fail_lookups(LookupFault::Fails);
    assert_eq!(world.request(key.secret.expose_secret()).await.status, 503);
}

/// Whatever changes in the store, and in whichever process.
#[tokio::test]
async fn zero_ttl_sees_foreign_change_at_next_request() {
    let world = off();
    let key = world.key().await;
    assert_eq!(world.request("new").await.status, 401);
    let new = NewKey::new("new", Access::Full).unwrap();
    world.store.elsewhere().manage().import(&acme(), (new, StoredCredential::from_plaintext(b"new"))).await.unwrap();
    assert_eq!(world.request("new").await.status, 200);

    assert_eq!(world.request(key.secret.expose_secret()).await.status, 200);
    world.store.elsewhere().revoke(&acme(), key.record.id()).await.unwrap();
    assert_eq!(world.request(key.secret.expose_secret()).await.body, INVALID);

    world
        .store
        .elsewhere()
        .set_organization_policy(&acme(), OrganizationPolicy::default().with_disabled(true))
        .await
        .unwrap();
    assert_eq!(world.request("new").await.body, INVALID);
}

/// A store that answers at once still does.
#[tokio::test]
async fn zero_ttl_over_memory_store_answers_at_once() {
    let keys = MemoryStore::new();
    let cache = CachedStore::builder(keys.clone()).time_to_live(Duration::ZERO).build();
    let key = issue(&cache, &acme()).await;
    assert!(matches!(cache.try_find(key.record.digest()), Lookup::Found(_)));
    assert!(matches!(cache.try_find(&unknown_digest(0)), Lookup::NotFound));
    keys.revoke(&acme(), key.record.id()).await.unwrap();
    match cache.try_find(key.record.digest()) {
        Lookup::Found(record) => assert!(record.is_revoked()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn tiny_cache_gives_correct_answers() {
    for capacity in [0, 1, 10] {
        let world = World::with(|cache| cache.capacity(capacity));
        let mut keys = Vec::new();
        for _ in 0..1_000 {
            keys.push(world.key().await);
        }
        // In an order that comes back to each key, to some of them soon.
        let order = (0..5_000_usize).map(|n| if n % 3 == 0 { n % 7 } else { n * 7_919 % 1_000 });
        for (turn, at) in order.enumerate() {
            let key = &keys[at];
            if turn % 10 == 0 {
                world.cache.revoke(&acme(), key.record.id()).await.unwrap();
            }
            let expected = find(world.store.elsewhere(), key.record.digest()).await.unwrap().unwrap();
            let found = find(&world.cache, key.record.digest()).await.unwrap().unwrap();
            assert_eq!(text(&found), text(&expected), "capacity {capacity}");
            assert!(find(&world.cache, &unknown_digest(at)).await.unwrap().is_none());
            if turn % 100 == 0 {
                world.clocks.pass(TIME_TO_LIVE / 10);
            }
        }
        let remembered = keys.iter().filter(|key| world.remembers(key)).count();
        assert!(remembered <= capacity.max(1) + 32, "{remembered} of {capacity}");
    }
}

fn text(record: &KeyRecord) -> String {
    format!("{record:?}")
}

/// Cases: 143.
/// The longest time to live never ends, and a change still evicts the key.
#[tokio::test]
async fn longest_ttl_is_accepted() {
    let world = World::with(|cache| cache.time_to_live(Duration::MAX));
    let key = world.cached_key().await;
    world.clocks.pass(Duration::from_secs(100 * 365 * 24 * 60 * 60));
    assert!(world.remembers(&key));
    world.cache.revoke(&acme(), key.record.id()).await.unwrap();
    assert_eq!(world.request(key.secret.expose_secret()).await.body, INVALID);
}

/// What it prints names neither keys nor what the store is made of.
#[tokio::test]
async fn cache_debug_shows_no_key() {
    let world = World::new();
    let key = world.cached_key().await;
    let printed = format!("{:?} {:?}", world.cache, CachedStore::builder(world.store.clone()));
    assert!(printed.starts_with("CachedStore { id: StoreId("), "{printed}");
    assert!(!printed.contains(&key.secret.expose_secret()[4..]), "{printed}");
}
