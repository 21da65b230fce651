//! Many requests with a key while it is revoked: none that starts after the revoke has returned gets through.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::{JoinSet, yield_now};
use tower_api_key::manage::IssuedKey;
use tower_api_key::store::{CachedStore, KeyBackend};

use super::probe::Probe;
use super::world::{World, acme, find};

const TASKS: usize = 8;
const REVOKES: usize = 200;

#[derive(Clone, Copy)]
enum Revoke {
    ThroughTheCache,
    /// As caches are often built.
    EvictFirst,
    /// As another process does.
    InTheStoreAlone,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    rejected: AtomicUsize,
    accepted_after_revoke: AtomicUsize,
}

/// Cases: 78, 79.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn request_after_revoke_is_rejected() {
    let counts = race(Revoke::ThroughTheCache, REVOKES).await;
    let (accepted, rejected) = (counts.accepted.into_inner(), counts.rejected.into_inner());
    assert_eq!(counts.accepted_after_revoke.into_inner(), 0, "of {accepted} accepted and {rejected} rejected requests");
    assert!(accepted >= REVOKES * TASKS && rejected >= REVOKES * TASKS, "{accepted} and {rejected}");
}

/// Cases: 78.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn harness_detects_cache_without_invalidation() {
    assert_ne!(race(Revoke::InTheStoreAlone, 10).await.accepted_after_revoke.into_inner(), 0);
}

/// Cases: 79.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn harness_detects_cache_evicting_too_early() {
    assert_ne!(race(Revoke::EvictFirst, 10).await.accepted_after_revoke.into_inner(), 0);
}

async fn race(how: Revoke, revokes: usize) -> Counts {
    let world = World::new();
    world.store.slow_down();
    let counts = Arc::new(Counts::default());
    for _ in 0..revokes {
        let key = Arc::new(world.key().await);
        let is_revoked = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..TASKS {
            tasks.spawn(requests(world.cache.clone(), Arc::clone(&key), Arc::clone(&is_revoked), Arc::clone(&counts)));
        }
        counts.some_are_accepted().await;
        revoke(&world.cache, &key, how, &counts).await;
        is_revoked.store(true, Ordering::SeqCst);
        tasks.join_all().await;
    }
    Arc::into_inner(counts).unwrap()
}

async fn revoke(cache: &CachedStore<Probe>, key: &IssuedKey, how: Revoke, counts: &Counts) {
    let (acme, id) = (acme(), key.record.id());
    match how {
        Revoke::ThroughTheCache => {
            // So that lookups are under way.
            cache.invalidate(key.record.digest());
            cache.revoke(&acme, id).await.unwrap();
        }
        Revoke::EvictFirst => {
            cache.invalidate_key(id);
            // While the change is on its way to the store.
            counts.some_are_accepted().await;
            cache.get_ref().revoke(&acme, id).await.unwrap();
        }
        Revoke::InTheStoreAlone => {
            cache.get_ref().revoke(&acme, id).await.unwrap();
        }
    }
}

impl Counts {
    async fn some_are_accepted(&self) {
        let before = self.accepted.load(Ordering::SeqCst);
        while self.accepted.load(Ordering::SeqCst) < before + 2 * TASKS {
            yield_now().await;
        }
    }
}

/// Goes on until the key has been revoked for a while.
async fn requests(cache: CachedStore<Probe>, key: Arc<IssuedKey>, is_revoked: Arc<AtomicBool>, counts: Arc<Counts>) {
    let mut after = 0;
    while after < 10 {
        let starts_after = is_revoked.load(Ordering::SeqCst);
        let found = find(&cache, key.record.digest()).await.unwrap().unwrap();
        let count = match (found.is_revoked(), starts_after) {
            (true, _) => &counts.rejected,
            (false, false) => &counts.accepted,
            (false, true) => &counts.accepted_after_revoke,
        };
        count.fetch_add(1, Ordering::SeqCst);
        after += usize::from(starts_after);
        // A hit does not wait for anything.
        yield_now().await;
    }
}
