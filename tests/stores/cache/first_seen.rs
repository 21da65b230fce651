//! First-seen keys take turns, so that connections are left for known keys.

use futures::future::{FutureExt, join_all};
use tokio::task::JoinSet;
use tower_api_key::ApiKeyLayer;
use tower_api_key::key::KeyDigest;
use tower_api_key::store::{CacheError, KeyBackend};

use super::world::{TIME_TO_LIVE, World, acme, ask, begin, find, unknown_digest};

/// How many lookups of first-seen keys may wait for their turn.
const MOST_WAITING: usize = 100_000;

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

/// Cases: 141.
#[tokio::test]
async fn evicted_key_does_not_queue() {
    let world = World::with(|cache| cache.first_seen_limit(1).capacity(100));
    let mut keys = Vec::new();
    for _ in 0..200 {
        keys.push(world.cached_key().await);
    }
    let evicted: Vec<_> = keys.iter().filter(|key| !world.remembers(key)).collect();
    assert!(evicted.len() > 50, "{}", evicted.len());
    world.store.hold();
    let unknown = unknown_digest(0);
    let _unknown = begin(find(&world.cache, &unknown));
    let _lookups: Vec<_> = evicted.iter().map(|key| begin(find(&world.cache, key.record.digest()))).collect();
    assert_eq!(world.store.running(), 1 + evicted.len());
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

/// Cases: 141.
#[tokio::test]
async fn newest_lookup_displaces_the_oldest() {
    for limit in [5] {
        let world = World::with(|cache| cache.first_seen_limit(limit));
        let known = world.cached_key().await;
        world.clocks.pass(TIME_TO_LIVE);
        world.store.hold();
        let digests: Vec<_> = (0..=limit + MOST_WAITING).map(unknown_digest).collect();
        let more = [usize::MAX, usize::MAX - 1].map(unknown_digest);
        let (running, waiting) = digests.split_at(limit);
        let running: Vec<_> = running.iter().map(|digest| begin(find(&world.cache, digest))).collect();
        let oldest = begin(world.request("the oldest"));
        let (newest, waiting) = waiting.split_last().unwrap();
        let mut waiting: Vec<_> = waiting[1..].iter().map(|digest| begin(find(&world.cache, digest))).collect();
        assert_eq!(waiting.len(), MOST_WAITING - 1);
        let before = world.store.lookups();

        // A request that joins a lookup displaces none.
        let joined = begin(find(&world.cache, &digests[0]));
        let oldest = begin(oldest);
        let newest = begin(find(&world.cache, newest));
        let reply = oldest.await;
        assert_eq!(reply.status, 503);
        assert_eq!(reply.body, r#"{"detail":"Service temporarily unavailable, try again later."}"#);
        assert_eq!(reply.headers["retry-after"], "1");
        let lookup = begin(find(&world.cache, known.record.digest()));
        assert_eq!(world.store.lookups(), before + 1, "only the known key is looked up at once");

        // A place that is given up is free.
        drop(waiting.remove(7));
        let another = begin(find(&world.cache, &more[0]));
        let second = begin(waiting.remove(0));
        let one_too_many = begin(find(&world.cache, &more[1]));
        assert!(matches!(second.await, Err(CacheError::Crowded)));

        world.store.release();
        waiting.extend(running);
        waiting.extend([joined, newest, another, one_too_many]);
        assert!(join_all(waiting).await.into_iter().all(|found| found.unwrap().is_none()));
        assert!(lookup.await.unwrap().is_some());
    }
}

/// Cases: 141.
#[tokio::test]
async fn joined_lookup_is_the_newest() {
    let world = World::with(|cache| cache.first_seen_limit(1));
    let digests = [0, 1, 2, 3].map(unknown_digest);
    world.store.hold();
    let running = begin(find(&world.cache, &digests[0]));
    let mut waiting: Vec<_> = digests[1..].iter().map(|digest| begin(find(&world.cache, digest))).collect();
    let joined = begin(find(&world.cache, &digests[1]));
    world.store.release_one(0);
    running.now_or_never().expect("it was released").unwrap();
    waiting = waiting.into_iter().map(begin).collect();
    world.store.release_one(0);
    assert!(joined.now_or_never().expect("it was released").unwrap().is_none());
    // The other two in their order: the newest first.
    let third = waiting.pop().unwrap();
    let second = begin(waiting.pop().unwrap());
    let third = begin(third);
    world.store.release_one(0);
    third.now_or_never().expect("it was released").unwrap();
    world.store.release();
    second.await.unwrap();
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
