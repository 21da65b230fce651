//! The cache remembers what was invalidated only for a while, and only so much of it.

use std::time::Duration;

use tower_api_key::store::KeyBackend;

use super::world::{TIME_TO_LIVE, World, acme, begin, find, unknown_digest};

/// Cases: 79.
/// Around the number from which on everything is flushed instead, and around twice that.
#[tokio::test]
async fn mass_invalidation_serves_no_older_answer() {
    for unknown in [0, 1, 9_997, 9_998, 9_999, 10_000, 10_001, 19_999, 20_000, 20_001, 35_000] {
        let world = World::new();
        let (cached, under_way) = (world.cached_key().await, world.key().await);
        world.store.hold();
        let lookup = begin(find(&world.cache, under_way.record.digest()));
        for key in [&cached, &under_way] {
            world.cache.revoke(&acme(), key.record.id()).await.unwrap();
        }
        for number in 0..unknown {
            world.cache.invalidate(&unknown_digest(number));
        }
        world.store.release();
        assert!(!lookup.await.unwrap().unwrap().is_revoked(), "{unknown}: it was asked before");
        for key in [&cached, &under_way] {
            assert!(!world.remembers(key), "{unknown}");
            assert_eq!(world.request(key.secret.expose_secret()).await.status, 401, "{unknown}");
        }
        // It works as before, and remembers what is looked up from now on.
        let new = world.cached_key().await;
        world.cache.invalidate(&unknown_digest(0));
        find(&world.cache, new.record.digest()).await.unwrap();
        assert!(world.remembers(&new), "{unknown}");
    }
}

/// Cases: 79.
/// A lookup from before a revoke ends at any time after it, in particular when the revoke is no longer remembered.
#[tokio::test]
async fn very_late_answer_is_not_served() {
    let millisecond = Duration::from_millis(1);
    let times = [Duration::ZERO, millisecond, TIME_TO_LIVE / 2];
    let times = times.into_iter().chain((0..5).map(|n| TIME_TO_LIVE - 2 * millisecond + n * millisecond));
    let times: Vec<_> = times.chain([2 * TIME_TO_LIVE, 1_000 * TIME_TO_LIVE]).collect();
    for clock in ["both", "monotonic", "wall"] {
        for &before in &times {
            for &after in &times {
                let world = World::new();
                let pass = |time| match clock {
                    "both" => world.clocks.pass(time),
                    "monotonic" => world.clocks.pass_monotonic(time),
                    _ => world.clocks.wall.set(world.clocks.now() + time),
                };
                let key = world.key().await;
                world.store.hold();
                let lookup = begin(find(&world.cache, key.record.digest()));
                pass(before);
                world.cache.revoke(&acme(), key.record.id()).await.unwrap();
                pass(after);
                // Whatever makes the cache tidy up.
                world.store.stop_holding();
                find(&world.cache, &unknown_digest(0)).await.unwrap();
                world.cache.invalidate(&unknown_digest(0));
                world.store.release();
                assert!(!lookup.await.unwrap().unwrap().is_revoked());
                assert!(!world.remembers(&key), "{clock}: {before:?} before and {after:?} after the revoke");
            }
        }
    }
}

#[tokio::test]
async fn flush_empties_the_cache() {
    let world = World::with(|cache| cache.time_to_live(Duration::MAX));
    world.cache.flush();
    let mut keys = Vec::new();
    for _ in 0..100 {
        keys.push(world.cached_key().await);
    }
    assert!(keys.iter().all(|key| world.remembers(key)));
    world.cache.flush();
    assert!(!keys.iter().any(|key| world.remembers(key)));
    for key in &keys {
        find(&world.cache, key.record.digest()).await.unwrap();
    }
    assert!(keys.iter().all(|key| world.remembers(key)));
    assert_eq!(world.store.lookups(), 200);
}
