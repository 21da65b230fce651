//! A cache in front of a store keeps every promise of a store.

use std::time::Duration;

use tower_api_key::test_kit::{Conformance, Fault, FaultyStore};
use tower_api_key::{CacheConfig, CachedStore, MemoryStore};

use crate::probe::Probe;

#[tokio::test]
async fn a_cache_keeps_every_promise_of_a_store() {
    Conformance::of(async || CachedStore::new(MemoryStore::new())).run().await.unwrap();
}

#[tokio::test]
async fn so_does_one_in_front_of_a_store_that_must_be_awaited() {
    Conformance::of(async || CachedStore::new(Probe::default())).run().await.unwrap();
}

#[tokio::test]
async fn so_does_one_that_is_off_and_one_with_hardly_any_room() {
    for config in [CacheConfig::new().with_time_to_live(Duration::ZERO), CacheConfig::new().with_capacity(1)] {
        Conformance::of(async || CachedStore::with(MemoryStore::new(), config)).run().await.unwrap();
    }
}

/// What is remembered is answered during an outage; everything else is an error.
#[tokio::test]
async fn so_does_one_whose_store_has_an_outage() {
    Conformance::of(async || CachedStore::new(FaultyStore::new(MemoryStore::new())))
        .with_outage(async |cache| {
            cache.flush();
            cache.get_ref().set_fault(Fault::Error);
        })
        .run()
        .await
        .unwrap();
}
