//! First-seen keys take turns, so that connections are left for known keys.

use futures::future::join_all;
use tokio::task::JoinSet;
use tower_api_key::ApiKeyLayer;
use tower_api_key::key::KeyDigest;
use tower_api_key::store::{CacheError, KeyBackend};

use super::world::{TIME_TO_LIVE, World, acme, ask, begin, find, unknown_digest};

/// How many lookups of first-seen keys may wait for their turn.
const QUEUE: usize = 1024;

#[tokio::test]
async fn first_lookups_are_limited_but_known_keys_are_not() {
    for limit in [1, 2, 5, 50] {
        let world = World::with(|cache| cache.first_seen_limit(limit));
        let mut known = Vec::new();
        for _ in 0..20 {
            known.push(world.cached_key().await);
        }
        world.clocks.pass(TIME_TO_LIVE);
        world.store.hold();
        let digests: Vec<_> = (0..100).map(unknown_digest).collect();
        let unknown: Vec<_> = digests.iter().map(|digest| begin(find(&world.cache, digest))).collect();
        assert_eq!(world.store.running(), limit);

        let known: Vec<_> = known.iter().map(|key| begin(find(&world.cache, key.record.digest()))).collect();
        assert_eq!(world.store.running(), limit + 20, "known keys do not wait, however old they are");
        world.store.release();
        assert!(join_all(known).await.into_iter().all(|found| found.unwrap().is_some()));
        assert!(join_all(unknown).await.into_iter().all(|found| found.unwrap().is_none()));
    }
}

/// An invalidated key is looked up anew, and is known nevertheless.
#[tokio::test]
async fn invalidated_key_does_not_queue() {
    let world = World::with(|cache| cache.first_seen_limit(1));
    let key = world.cached_key().await;
    world.store.hold();
    let (first, second) = (unknown_digest(1), unknown_digest(2));
    let _unknown = [begin(find(&world.cache, &first)), begin(find(&world.cache, &second))];
    assert_eq!(world.store.running(), 1);
    world.cache.flush();
    let _lookup = begin(find(&world.cache, key.record.digest()));
    assert_eq!(world.store.running(), 2);
}

#[tokio::test]
async fn limit_is_five_by_default_and_never_zero() {
    for (asked, limit) in [(None, 5), (Some(0), 1), (Some(usize::MAX), 100)] {
        let world = World::with(|cache| match asked {
            Some(asked) => cache.first_seen_limit(asked),
            None => cache,
        });
        world.store.hold();
        let digests: Vec<_> = (0..100).map(unknown_digest).collect();
        let _unknown: Vec<_> = digests.iter().map(|digest| begin(find(&world.cache, digest))).collect();
        assert_eq!(world.store.running(), limit, "{asked:?}");
    }
}

/// On several threads. With a limit that is none, the same crowd takes every connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limit_holds_on_several_threads() {
    for (limit, bounded) in [(1, true), (3, true), (17, true), (usize::MAX, false)] {
        let world = World::with(|cache| cache.first_seen_limit(limit));
        world.store.slow_down();
        let mut crowd = JoinSet::new();
        for number in 0..1_000 {
            let cache = world.cache.clone();
            crowd.spawn(async move { find(&cache, &unknown_digest(number)).await });
        }
        assert!(crowd.join_all().await.into_iter().all(|found| found.unwrap().is_none()));
        assert_eq!(world.store.lookups(), 1_000);
        let most = world.store.most_running();
        assert_eq!(most <= limit.min(17), bounded, "{most} at once with a limit of {limit}");
    }
}

#[tokio::test]
async fn full_queue_rejects_at_once() {
    for limit in [1, 5] {
        let world = World::with(|cache| cache.first_seen_limit(limit));
        let known = world.cached_key().await;
        world.clocks.pass(TIME_TO_LIVE);
        world.store.hold();
        let digests: Vec<_> = (0..=limit + QUEUE).map(unknown_digest).collect();
        let (overflow, digests) = digests.split_last().unwrap();
        let mut waiting: Vec<_> = digests.iter().map(|digest| begin(find(&world.cache, digest))).collect();
        let before = world.store.lookups();

        for _ in 0..3 {
            assert!(matches!(find(&world.cache, overflow).await, Err(CacheError::Crowded)));
            let reply = world.request("one too many").await;
            assert_eq!(reply.status, 503);
            assert_eq!(reply.body, r#"{"detail":"Service temporarily unavailable, try again later."}"#);
            assert_eq!(reply.headers["retry-after"], "1");
        }
        assert_eq!(world.store.lookups(), before);
        // A request that joins a lookup takes no place.
        waiting.push(begin(find(&world.cache, &digests[0])));
        let lookup = begin(find(&world.cache, known.record.digest()));
        assert_eq!(world.store.lookups(), before + 1, "known keys need no place");

        // A place that is given up is free.
        drop(waiting.remove(limit + 7));
        let found = begin(find(&world.cache, overflow));
        let another = unknown_digest(limit + QUEUE + 1);
        assert!(matches!(find(&world.cache, &another).await, Err(CacheError::Crowded)));

        world.store.release();
        waiting.push(found);
        assert!(join_all(waiting).await.into_iter().all(|found| found.unwrap().is_none()));
        assert!(lookup.await.unwrap().is_some());
        assert!(find(&world.cache, &another).await.unwrap().is_none());
    }
}

/// An answer after a long wait for a turn is as new as any other.
#[tokio::test]
async fn queueing_makes_no_answer_older() {
    let world = World::with(|cache| cache.first_seen_limit(1));
    let (key, unknown) = (world.key().await, unknown_digest(0));
    world.store.hold();
    let first = begin(find(&world.cache, &unknown));
    let second = begin(find(&world.cache, key.record.digest()));
    world.clocks.pass(TIME_TO_LIVE);
    // A change of the key that waits, made before the store is asked for it.
    world.cache.revoke(&acme(), key.record.id()).await.unwrap();
    world.store.release();
    assert!(first.await.unwrap().is_none());
    assert!(second.await.unwrap().unwrap().is_revoked());
    world.clocks.pass(TIME_TO_LIVE / 2);
    assert!(world.remembers(&key));
}

/// A key is known after its first lookup, through whichever handle and layer.
#[tokio::test]
async fn key_is_new_only_once() {
    let world = World::with(|cache| cache.first_seen_limit(1));
    let key = world.key().await;
    let layer = ApiKeyLayer::new(world.cache.clone());
    assert_eq!(ask(layer, key.secret.expose_secret()).await.status, 200);
    world.clocks.pass(1_000 * TIME_TO_LIVE);
    world.store.hold();
    let unknown = KeyDigest::hash(b"unknown");
    let _unknown = begin(find(&world.cache, &unknown));
    let _lookup = begin(find(&world.cache, key.record.digest()));
    assert_eq!(world.store.running(), 2);
}
