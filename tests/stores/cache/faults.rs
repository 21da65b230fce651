//! A store that fails, panics or never answers: an error for the requests that waited, and for no later one.

use std::error::Error;
use std::iter::successors;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::store::{CacheError, CachedStore};
use tower_api_key::{ApiKeyLayer, BoxError, KeyStore, MemoryStore};

use super::probe::{Broken, LookupFault};
use super::world::{World, ask, begin, find, unknown_digest};
use crate::support::log_lines::{record_log, take_log};

/// Cases: 96.
#[tokio::test(start_paused = true)]
async fn failure_is_shared_by_waiters_and_not_cached() {
    for fault in [LookupFault::Fails, LookupFault::PanicsWhenPolled] {
        let world = World::new();
        let known = world.key().await;
        for digest in [*known.record.digest(), unknown_digest(1)] {
            let before = world.store.lookups();
            world.store.hold();
            world.store.fail_lookups(fault);
            let crowd = crowd(&world, &digest);
            world.store.release();
            for error in errors(crowd).await {
                assert!(is_of(&error, fault), "{fault:?}: {error:?}");
            }
            assert_eq!(world.store.lookups() - before, 1, "{fault:?}");
            recovers(&world, digest, fault).await;
        }
    }
}

/// Cases: 96.
/// Such a store panics before there is a future that could be guarded. Those who wait then wait for their turn.
#[tokio::test(start_paused = true)]
async fn store_panic_is_an_error_for_all_waiters() {
    let world = World::with(|cache| cache.first_seen_limit(1));
    let digest = unknown_digest(1);
    world.store.hold();
    let first = unknown_digest(0);
    let other = begin(find(&world.cache, &first));
    let crowd = crowd(&world, &digest);
    world.store.fail_lookups(LookupFault::PanicsWhenCalled);
    drop(other);
    world.store.release();
    for error in errors(crowd).await {
        assert!(matches!(error, CacheError::Panicked(_)), "{error:?}");
    }
    assert_eq!(world.store.lookups(), 2);
    recovers(&world, digest, LookupFault::PanicsWhenCalled).await;
}

type Request<'a> = BoxFuture<'a, Result<Option<Arc<KeyRecord>>, CacheError>>;

/// As many requests for this key as wait together.
fn crowd<'a>(world: &'a World, digest: &'a KeyDigest) -> Vec<Request<'a>> {
    (0..100).map(|_| begin(find(&world.cache, digest))).collect()
}

/// The errors that all of them get.
async fn errors(crowd: Vec<Request<'_>>) -> Vec<CacheError> {
    let answers = timeout(Duration::from_secs(3600), join_all(crowd)).await.expect("no request waits for ever");
    answers.into_iter().map(|answer| answer.unwrap_err()).collect()
}

fn is_of(error: &CacheError, fault: LookupFault) -> bool {
    match error {
        CacheError::Store(error) => fault == LookupFault::Fails && error.is::<Broken>(),
        CacheError::Panicked(_) => fault != LookupFault::Fails,
        _ => false,
    }
}

async fn recovers(world: &World, digest: KeyDigest, fault: LookupFault) {
    let before = world.store.lookups();
    world.store.fail_lookups(LookupFault::Fails);
    assert!(find(&world.cache, &digest).await.is_err(), "{fault:?}");
    assert_eq!(world.store.lookups(), before + 1, "{fault:?}: the failure was not remembered");
    world.store.fail_lookups(None);
    let found = find(&world.cache, &digest).await.unwrap().map(|record| record.id());
    let expected = find(world.store.elsewhere(), &digest).await.unwrap().map(|record| record.id());
    assert_eq!((found, world.store.lookups()), (expected, before + 2), "{fault:?}");
}

/// Cases: 97.
/// The connection of one lookup is dead, and the store works again. Requests keep coming, each before the one
/// before it has given up, so that a request waits at any time.
#[tokio::test(start_paused = true)]
async fn hanging_lookup_does_not_lock_out_a_key() {
    let world = World::new();
    let key = world.key().await;
    world.store.hold();
    let mut requests = JoinSet::new();
    let mut replies = Vec::new();
    for number in 0..100 {
        let layer = ApiKeyLayer::new(world.cache.clone());
        let secret = key.secret.expose_secret().to_owned();
        requests.spawn(async move { (number, ask(layer, &secret).await.status) });
        yield_now().await;
        if number == 0 {
            world.store.stop_holding();
        }
        let time = Duration::from_millis(100);
        world.clocks.pass(time);
        sleep(time).await;
    }
    replies.extend(requests.join_all().await);
    replies.sort_unstable();
    assert_eq!(replies[0], (0, 503), "it waited for the dead connection");
    let good = replies.iter().filter(|(_, status)| *status == 200).count();
    // A lookup may take a second by default. A request two seconds later must not suffer from this one.
    assert!(
        good >= 80,
        "{good} of 100 requests in 10 seconds got through, {} lookups were made",
        world.store.lookups()
    );
}

/// Cases: 103.
/// The log names the cause once, as it does without a cache.
#[tokio::test]
async fn log_has_each_cause_once() {
    let cached = World::new();
    let key = cached.key().await;
    let mut lines = Vec::new();
    for fault in [LookupFault::Fails, LookupFault::PanicsWhenPolled, LookupFault::PanicsWhenCalled] {
        cached.store.fail_lookups(fault);
        record_log();
        ask(ApiKeyLayer::new(cached.store.clone()), key.secret.expose_secret()).await;
        let bare = take_log();
        ask(ApiKeyLayer::new(cached.cache.clone()), key.secret.expose_secret()).await;
        assert_eq!(take_log(), bare, "{fault:?}");
        lines.extend(bare);
    }
    let unavailable = "WARN no answer from the key store, answering 503";
    assert_eq!(
        lines,
        [
            format!("{unavailable}: the lookup broke: connection reset by the database"),
            format!("{unavailable}: the key store panicked: panicked when polled"),
            format!("{unavailable}: the key store panicked: panicked when called"),
        ]
    );
}

#[tokio::test]
async fn error_repeats_the_store_error_once() {
    let world = World::new();
    world.store.fail_lookups(LookupFault::Fails);
    let error = find(&world.cache, &unknown_digest(0)).await.unwrap_err();
    assert_eq!(chain(&error), chain(&Broken::new()));
    assert_eq!(chain(&error), ["the lookup broke", "connection reset by the database"]);

    // Also through two caches, and when it is the first of the two that failed.
    let twice = world.clocks.build(CachedStore::builder(world.cache.clone()));
    assert_eq!(chain(&find(&twice, &unknown_digest(0)).await.unwrap_err()), chain(&Broken::new()));
    let off = world.clocks.build(CachedStore::builder(world.store.clone()).time_to_live(Duration::ZERO));
    assert_eq!(chain(&find(&off, &unknown_digest(0)).await.unwrap_err()), chain(&Broken::new()));

    world.store.fail_lookups(LookupFault::PanicsWhenPolled);
    assert_eq!(
        chain(&find(&world.cache, &unknown_digest(0)).await.unwrap_err()),
        ["the key store panicked: panicked when polled"]
    );
    assert_eq!(chain(&CacheError::Crowded), ["too many first-seen keys at once: no lookup was made"]);
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> Vec<String> {
    successors(Some(error), |error: &&'a (dyn Error + 'static)| (**error).source()).map(ToString::to_string).collect()
}

/// Cases: 133.
/// The store mixes two keys up once. Its next answer is asked for and served.
#[tokio::test(start_paused = true)]
async fn record_of_another_key_is_not_cached() {
    /// The first answer is the last one.
    struct MixedUp(MemoryStore, Mutex<Option<Arc<KeyRecord>>>);

    impl KeyStore for MixedUp {
        type Error = BoxError;

        async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, BoxError> {
            let mixed_up = self.1.lock().unwrap().take();
            match mixed_up {
                Some(other) => Ok(Some(other)),
                None => Ok(self.0.find(digest).await?),
            }
        }
    }

    let world = World::new();
    let (key, other) = (world.key().await, world.key().await);
    let cache = CachedStore::new(MixedUp(world.store.elsewhere().clone(), Mutex::new(Some(other.record))));
    let layer = ApiKeyLayer::new(cache);
    for status in [503, 200, 200] {
        assert_eq!(ask(layer.clone(), key.secret.expose_secret()).await.status, status);
    }
}
