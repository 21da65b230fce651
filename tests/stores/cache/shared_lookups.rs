//! However many requests wait for one key, it is looked up once.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::join_all;
use tokio::task::JoinSet;
use tower_api_key::KeyStore;
use tower_api_key::store::{CachedStore, Lookup};
use tower_api_key::time::SystemClock;

use super::probe::Probe;
use super::world::{TIME_TO_LIVE, UNKNOWN_TIME_TO_LIVE, World, begin, find, unknown_digest};
use crate::support::poll::poll;

const CROWD: usize = 10_000;

/// Cases: 86.
#[tokio::test]
async fn ten_thousand_requests_await_one_lookup() {
    let world = World::new();
    let known = world.key().await;
    for digest in [*known.record.digest(), unknown_digest(1)] {
        let before = world.store.lookups();
        world.store.hold();
        let crowd: Vec<_> = (0..CROWD).map(|_| begin(find(&world.cache, &digest))).collect();
        assert_eq!(world.store.lookups(), before + 1);
        world.store.release();
        let is_known = digest == *known.record.digest();
        assert!(join_all(crowd).await.into_iter().all(|found| found.unwrap().is_some() == is_known));
        assert_eq!(world.store.lookups(), before + 1);
    }
}

/// Cases: 86.
/// Some come while the lookup is under way, and some at the moment at which it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_parallel_requests_are_one_lookup() {
    let world = World::new();
    for round in 0..10 {
        let key = world.key().await;
        for digest in [*key.record.digest(), unknown_digest(round)] {
            let before = world.store.lookups();
            let mut crowd = JoinSet::new();
            for _ in 0..CROWD {
                let cache = world.cache.clone();
                crowd.spawn(async move { find(&cache, &digest).await.unwrap().is_some() });
            }
            let answers = crowd.join_all().await;
            assert!(answers.iter().all(|&found| found == (digest == *key.record.digest())));
            assert_eq!(world.store.lookups() - before, 1, "round {round}");
        }
    }
}

/// Cases: 86.
/// A request may ask in the moment in which another one's lookup ends: too early for the answer to be in memory,
/// and too late to wait for it.
#[tokio::test]
async fn just_finished_lookup_is_not_repeated() {
    let world = World::new();
    let known = world.key().await;
    for digest in [*known.record.digest(), unknown_digest(1)] {
        let before = world.store.lookups();
        assert!(matches!(world.cache.try_find(&digest), Lookup::Pending), "the request asks");
        find(&world.cache, &digest).await.unwrap();
        world.cache.find(&digest).await.unwrap();
        assert_eq!(world.store.lookups(), before + 1);
    }
}

/// Cases: 86.
/// The same one step later: the request has seen that nothing is remembered, and reads the clock before it asks.
#[test]
fn lookup_ending_before_next_ask_is_not_repeated() {
    let (store, now, is_armed) = (Probe::default(), Instant::now(), Arc::new(AtomicBool::new(false)));
    let cell: Arc<OnceLock<CachedStore<Probe>>> = Arc::default();
    let (other, armed) = (Arc::clone(&cell), Arc::clone(&is_armed));
    let clock = move || {
        if armed.swap(false, Ordering::SeqCst) {
            let cache = other.get().unwrap();
            find(cache, &unknown_digest(1)).now_or_never().expect("nothing to wait for").unwrap();
        }
        now
    };
    let cache = CachedStore::builder(store.clone()).clocks(clock, SystemClock).build();
    assert!(cell.set(cache.clone()).is_ok());
    is_armed.store(true, Ordering::SeqCst);
    find(&cache, &unknown_digest(1)).now_or_never().expect("nothing to wait for").unwrap();
    assert!(!is_armed.load(Ordering::SeqCst));
    assert_eq!(store.lookups(), 1);
}

/// Cases: 86.
/// A key that has become too old is looked up once as well.
#[tokio::test]
async fn requests_for_stale_key_await_one_lookup() {
    let world = World::new();
    let key = world.cached_key().await;
    world.clocks.pass(TIME_TO_LIVE);
    world.store.hold();
    let crowd: Vec<_> = (0..100).map(|_| begin(find(&world.cache, key.record.digest()))).collect();
    world.store.release();
    assert!(join_all(crowd).await.into_iter().all(|found| found.unwrap().is_some()));
    assert_eq!(world.store.lookups(), 2);
}

/// Its connection may be dead. So those who come after a second do not wait for it.
#[tokio::test]
async fn lookup_is_shared_for_less_than_a_second() {
    for clock in ["monotonic", "wall"] {
        let world = World::new();
        let key = world.key().await;
        let pass = |time| match clock {
            "monotonic" => world.clocks.pass_monotonic(time),
            _ => world.clocks.wall.set(world.clocks.now() + time),
        };
        world.store.hold();
        let first = begin(find(&world.cache, key.record.digest()));
        pass(UNKNOWN_TIME_TO_LIVE - Duration::from_nanos(1));
        let second = begin(find(&world.cache, key.record.digest()));
        assert_eq!(world.store.lookups(), 1, "{clock}");
        pass(Duration::from_nanos(1));
        let third = begin(find(&world.cache, key.record.digest()));
        assert_eq!(world.store.lookups(), 2, "{clock}");
        world.store.release();
        for found in join_all([first, second, third]).await {
            assert!(found.unwrap().is_some());
        }
    }
}

#[tokio::test]
async fn requests_for_other_keys_do_not_wait() {
    let world = World::new();
    let (slow, fast) = (world.key().await, world.key().await);
    world.store.hold();
    let mut waiting = begin(find(&world.cache, slow.record.digest()));
    let found = begin(find(&world.cache, fast.record.digest()));
    assert!(world.store.release_one(1));
    assert_eq!(found.await.unwrap().unwrap().id(), fast.record.id());
    assert!(poll(Pin::new(&mut waiting)).is_pending());
    world.store.release();
    assert_eq!(waiting.await.unwrap().unwrap().id(), slow.record.id());
}
