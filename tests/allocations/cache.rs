//! A cache hit allocates nothing.
#![cfg(feature = "cache")]

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use allocation_counter::measure;
use futures::FutureExt;
use http::{Request, Response};
use tower::{Layer, Service};
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::store::{CachedStore, Lookup};
use tower_api_key::{Access, ApiKeyLayer, KeyStore, MemoryStore};

use crate::support::keys::KEY;
use crate::support::request::request;
use crate::support::store::store;

const HITS: u64 = 10_000;

/// A store that must be awaited, so that only a cache in front of it answers from memory.
struct Later(MemoryStore);

impl KeyStore for Later {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        self.0.find(digest).await
    }
}

/// A cache that has looked up [`KEY`] and an unknown key, and the digests of both.
fn warm() -> (CachedStore<Later>, KeyDigest, KeyDigest) {
    // The unknown key must not expire during the test.
    let now = (Instant::now(), SystemTime::now());
    let cache = CachedStore::builder(Later(store(Access::Full)))
        .time_to_live(Duration::from_secs(3600))
        .clocks(move || now.0, move || now.1)
        .build();
    let (known, unknown) = (KeyDigest::hash(KEY.as_bytes()), KeyDigest::hash(b"unknown"));
    for digest in [known, unknown] {
        cache.find(&digest).now_or_never().unwrap().unwrap();
        // The first hit on this thread may allocate.
        let _ = cache.try_find(&digest);
    }
    (cache, known, unknown)
}

fn allocations_of_hits(cache: &CachedStore<Later>, known: &KeyDigest, unknown: &KeyDigest) -> u64 {
    let counted = measure(|| {
        for _ in 0..HITS {
            assert!(matches!(cache.try_find(known), Lookup::Found(_)));
            assert!(matches!(cache.try_find(unknown), Lookup::NotFound));
        }
    });
    counted.count_total
}

#[test]
fn cache_hit_allocates_nothing() {
    let (cache, known, unknown) = warm();
    assert_eq!(allocations_of_hits(&cache, &known, &unknown), 0);

    // Nor when the cache must check whether the entry was invalidated.
    for number in 0..100 {
        cache.invalidate(&KeyDigest::hash(&[number]));
        cache.invalidate_key(KeyId::from_u128(1_000 + u128::from(number)));
        cache.invalidate_organization(&format!("organization {number}").parse().unwrap());
    }
    assert_eq!(allocations_of_hits(&cache, &known, &unknown), 0);

    // Nor to find no entry.
    cache.flush();
    let misses = measure(|| assert!(matches!(cache.try_find(&known), Lookup::Pending)));
    assert_eq!(misses.count_total, 0);
}

/// The counter counts.
#[test]
fn cache_miss_allocates() {
    let (cache, known, _) = warm();
    let counted = measure(|| {
        for _ in 0..HITS {
            cache.invalidate(&known);
            assert!(cache.find(&known).now_or_never().unwrap().unwrap().is_some());
        }
    });
    assert!(counted.count_total >= HITS, "{counted:?}");
}

/// Cases: 85, 87.
/// However a lookup ends, it leaves nothing in memory but a bounded number of entries.
#[test]
fn lookups_free_their_memory() {
    let cache = CachedStore::builder(Wayward(store(Access::Full), AtomicU64::new(0))).capacity(10).build();
    let flood = |round: u64| {
        let digests = (0..HITS).map(move |number| KeyDigest::hash(format!("{round} {number}").as_bytes()));
        for (number, digest) in digests.enumerate() {
            let answer = cache.find(&digest).now_or_never();
            match number % 4 {
                0 => assert!(answer.unwrap().unwrap().is_none()),
                1 => assert!(answer.unwrap().is_err()),
                2 => assert!(answer.is_none(), "dropped while it waits"),
                _ => {
                    cache.invalidate(&digest);
                    cache.flush();
                }
            }
        }
    };
    flood(0);
    let counted = measure(|| flood(1));
    assert!(counted.bytes_current.abs() < 16 << 10, "{counted:?}");
    assert!(counted.bytes_total > HITS * 100, "{counted:?}");
}

/// Answers one lookup, fails the next, and never answers the one after that.
struct Wayward(MemoryStore, AtomicU64);

impl KeyStore for Wayward {
    type Error = fmt::Error;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, fmt::Error> {
        match self.1.fetch_add(1, Relaxed) % 4 {
            1 => Err(fmt::Error),
            2 => pending().await,
            _ => Ok(self.0.find(digest).await.unwrap()),
        }
    }
}

/// Through the layer, a hit allocates as often as with a store in memory.
#[test]
fn layer_cache_hit_costs_as_memory_store() {
    let (cache, ..) = warm();
    let cached = allocations_of_requests(cache);
    assert_eq!(cached, allocations_of_requests(store(Access::Full)));
    assert!(cached > 0, "the identity is in the extensions");
    assert!(allocations_of_requests(Later(store(Access::Full))) > cached, "a store that must be awaited costs more");
}

fn allocations_of_requests(store: impl KeyStore) -> u64 {
    let mut service = ApiKeyLayer::new(store).without_lookup_timeout().layer(Handler);
    let requests: Vec<_> = (0..101).map(|_| request(KEY)).collect();
    let mut requests = requests.into_iter();
    let first = requests.next().unwrap();
    assert_eq!(service.call(first).now_or_never().unwrap().unwrap().status(), 200);
    let counted = measure(|| {
        for request in requests {
            assert_eq!(service.call(request).now_or_never().unwrap().unwrap().status(), 200);
        }
    });
    counted.count_total
}

/// Makes no allocation itself.
#[derive(Clone)]
struct Handler;

impl Service<Request<String>> for Handler {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        ready(Ok(Response::new(String::new())))
    }
}
