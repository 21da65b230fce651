//! Lookups that wait at the same time are one question to the store, where the store takes batches.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::join_all;
use tokio::task::unconstrained;
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::store::{CacheError, CachedStore, FindResult, KeyBackend};
use tower_api_key::{BoxError, KeyStore};

use super::probe::{Broken, LookupFault, Probe};
use super::world::{TIME_TO_LIVE, World, acme, begin, find, unknown_digest};

const BATCH: usize = 100;

/// Polls until nothing more can happen.
fn settle<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    (0..100).find_map(|_| unconstrained(&mut *future).now_or_never())
}

fn batching(first_seen_limit: usize) -> World {
    World::over(Probe::batching(BATCH), |cache| cache.first_seen_limit(first_seen_limit))
}

/// Cases: 261.
#[tokio::test]
async fn first_seen_keys_share_lookups() {
    let world = batching(2);
    let mut digests: Vec<_> = (0..125).map(unknown_digest).collect();
    for _ in 0..125 {
        digests.push(*world.key().await.record.digest());
    }
    world.store.hold();
    let crowd: Vec<_> = digests.iter().map(|digest| begin(find(&world.cache, digest))).collect();
    assert_eq!((world.store.running(), world.store.batches().len()), (2, 0), "the first two do not wait for others");
    world.store.release();
    for (digest, found) in digests.iter().zip(join_all(crowd).await) {
        let expected = find(world.store.elsewhere(), digest).await.unwrap();
        assert_eq!(found.unwrap().map(|record| record.id()), expected.map(|record| record.id()));
    }
    let (batches, lookups) = (world.store.batches(), world.store.lookups());
    assert!(batches.iter().all(|&batch| batch <= BATCH), "{batches:?}");
    // The first two, and now and then one that has a turn when none waits.
    assert!(lookups <= 8 && batches.iter().sum::<usize>() + lookups - batches.len() == 250, "{lookups}: {batches:?}");
    assert_eq!(world.store.most_running(), 2);
}

/// Cases: 261.
///
/// They do not wait for first-seen keys, and are at most four questions at a time.
#[tokio::test]
async fn known_keys_share_lookups() {
    let world = batching(1);
    let mut digests = Vec::new();
    for _ in 0..54 {
        digests.push(*world.cached_key().await.record.digest());
    }
    world.clocks.pass(TIME_TO_LIVE);
    world.store.hold();
    let invented: Vec<_> = (0..20).map(unknown_digest).collect();
    let _invented: Vec<_> = invented.iter().map(|digest| begin(find(&world.cache, digest))).collect();
    let before = world.store.lookups();
    let crowd: Vec<_> = digests.iter().map(|digest| begin(find(&world.cache, digest))).collect();
    assert_eq!(world.store.lookups() - before, 4);
    // Of the known keys alone.
    for _ in 0..4 {
        world.store.release_one(1);
    }
    let mut crowd = join_all(crowd);
    assert!(settle(&mut crowd).is_none());
    // Each of the four passed its turn on, and the first one that had it took the others along.
    assert_eq!((world.store.batches(), world.store.lookups() - before), (vec![47], 8));
    for _ in 0..4 {
        world.store.release_one(1);
    }
    assert!(settle(&mut crowd).expect("nothing to wait for").into_iter().all(|found| found.unwrap().is_some()));
}

/// Cases: 262.
#[tokio::test]
async fn failed_batch_fails_alone() {
    for fault in [LookupFault::Fails, LookupFault::PanicsWhenPolled, LookupFault::PanicsWhenCalled] {
        let world = batching(1);
        let digests: Vec<_> = (0..12).map(unknown_digest).collect();
        world.store.hold();
        let mut first = begin(find(&world.cache, &digests[0]));
        let mut crowd = join_all(digests[1..11].iter().map(|digest| find(&world.cache, digest)));
        assert!(settle(&mut crowd).is_none());
        if fault == LookupFault::PanicsWhenCalled {
            world.store.stop_holding();
        }
        world.store.release_one(0);
        assert!(settle(&mut first).expect("it was released").unwrap().is_none());
        world.store.fail_lookups(fault);
        let failed = if fault == LookupFault::PanicsWhenCalled {
            settle(&mut crowd)
        } else {
            assert!(settle(&mut crowd).is_none());
            world.store.release_one(0);
            settle(&mut crowd)
        };
        for answer in failed.expect("it was released") {
            match answer.unwrap_err() {
                CacheError::Store(error) => assert!(fault == LookupFault::Fails && error.is::<Broken>()),
                CacheError::Panicked(_) => assert_ne!(fault, LookupFault::Fails),
                other => panic!("{fault:?}: {other}"),
            }
        }
        assert_eq!(world.store.batches(), [10], "{fault:?}");
        world.store.fail_lookups(None);
        world.store.release();
        for digest in &digests {
            assert!(find(&world.cache, digest).await.unwrap().is_none(), "{fault:?}");
        }
    }
}

/// A store whose batches end early, and in which one row is broken.
struct Short(Probe);

impl KeyStore for Short {
    type Error = BoxError;

    fn find(&self, digest: &KeyDigest) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, BoxError>> + Send {
        self.0.find(digest).map(|found| found.map_err(Into::into))
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<FindResult<BoxError>>, BoxError> {
        let found = |_| Ok(None);
        let mut results: Vec<_> = digests.iter().map(found).collect();
        results[1] = Err("broken row".into());
        results.truncate(3);
        Ok(results)
    }

    fn max_batch(&self) -> usize {
        BATCH
    }
}

/// Cases: 262.
#[tokio::test]
async fn missing_or_failed_result_fails_alone() {
    let probe = Probe::default();
    probe.hold();
    let cache = CachedStore::builder(Short(probe.clone())).first_seen_limit(1).build();
    let digests: Vec<_> = (0..6).map(unknown_digest).collect();
    let crowd: Vec<_> = digests.iter().map(|digest| begin(find(&cache, digest))).collect();
    probe.release();
    let mut texts: Vec<_> =
        join_all(crowd).await.into_iter().filter_map(|found| Some(found.err()?.to_string())).collect();
    texts.sort();
    let missing = "the store returned fewer results than it was asked for";
    assert_eq!(texts, ["broken row", missing, missing]);
}

/// Cases: 263.
#[tokio::test]
async fn batch_outlives_the_request_that_began_it() {
    for dropped in 0..11 {
        let world = batching(1);
        let keys = [0; 11].map(|_| world.key());
        let digests: Vec<_> = join_all(keys).await.iter().map(|key| *key.record.digest()).collect();
        world.store.hold();
        let mut first = begin(find(&world.cache, &digests[0]));
        let mut crowd: Vec<_> = digests[1..].iter().map(|digest| begin(find(&world.cache, digest))).collect();
        world.store.release_one(0);
        assert!(settle(&mut first).is_some());
        // All of them begin the batch, or take their share in it.
        crowd = crowd.into_iter().map(begin).collect();
        assert_eq!(world.store.batches(), [10]);
        crowd.drain(..dropped.min(crowd.len()));
        assert_eq!(world.store.running(), usize::from(!crowd.is_empty()), "a batch runs for those who wait");
        world.store.release();
        assert!(join_all(crowd).await.into_iter().all(|found| found.unwrap().is_some()), "{dropped}");
        let unknown = unknown_digest(1);
        let mut next = find(&world.cache, &unknown).boxed();
        assert!(settle(&mut next).expect("the turn is free").unwrap().is_none());
    }
}

/// Cases: 262.
///
/// A request that starts after a change is in no batch that was asked for before it.
#[tokio::test]
async fn batch_from_before_a_change_is_not_joined() {
    let world = batching(1);
    let (key, unknown) = (world.key().await, unknown_digest(1));
    world.store.hold();
    let mut first = begin(find(&world.cache, &unknown));
    let others = [unknown_digest(2), *key.record.digest()];
    let before: Vec<_> = others.iter().map(|digest| begin(find(&world.cache, digest))).collect();
    world.store.release_one(0);
    assert!(settle(&mut first).is_some());
    let before: Vec<_> = before.into_iter().map(begin).collect();
    assert_eq!(world.store.batches(), [2]);
    world.cache.revoke(&acme(), key.record.id()).await.unwrap();
    let after = begin(find(&world.cache, key.record.digest()));
    world.store.release();
    for found in join_all(before).await {
        assert!(found.unwrap().is_none_or(|record| !record.is_revoked()), "the batch read before the change");
    }
    assert!(after.await.unwrap().unwrap().is_revoked());
    assert!(find(&world.cache, key.record.digest()).await.unwrap().unwrap().is_revoked());
}

/// Cases: 264.
#[tokio::test]
async fn store_of_single_lookups_gets_no_batches() {
    let world = World::with(|cache| cache.first_seen_limit(1));
    world.store.hold();
    let digests: Vec<_> = (0..100).map(unknown_digest).collect();
    let crowd: Vec<_> = digests.iter().map(|digest| begin(find(&world.cache, digest))).collect();
    world.store.release();
    assert!(join_all(crowd).await.into_iter().all(|found| found.unwrap().is_none()));
    assert_eq!((world.store.batches(), world.store.lookups()), (vec![], 100));
}

/// Cases: 265.
///
/// While each lookup finds a key, the keys are not invented.
#[tokio::test]
async fn limit_grows_while_keys_are_valid() {
    for (valid, most) in [(true, 20), (false, 5)] {
        let world = World::new();
        let mut digests: Vec<_> = (0..200).map(unknown_digest).collect();
        if valid {
            for digest in &mut digests {
                *digest = *world.key().await.record.digest();
            }
        }
        world.store.slow_down();
        assert!(join_all(digests.iter().map(|digest| find(&world.cache, digest))).await.iter().all(Result::is_ok));
        assert_eq!(world.store.most_running(), most);
        // And is as before when none waits.
        world.store.hold();
        let unknown: Vec<_> = (1_000..1_100).map(unknown_digest).collect();
        let before = world.store.lookups();
        let _unknown: Vec<_> = unknown.iter().map(|digest| begin(find(&world.cache, digest))).collect();
        assert_eq!(world.store.lookups() - before, 5);
    }
}
