//! A cache in front of a store keeps every promise of a store.

use std::time::Duration;

use tower_api_key::test_kit::{Conformance, Fault, FaultyStore};
use tower_api_key::{CacheConfig, CachedStore, MemoryStore};

use super::probe::Probe;

#[tokio::test]
async fn cached_store_conforms() {
    Conformance::of(async || CachedStore::new(MemoryStore::new())).run().await.unwrap();
}

#[tokio::test]
async fn cached_pending_store_conforms() {
    Conformance::of(async || CachedStore::new(Probe::default())).run().await.unwrap();
}

#[tokio::test]
async fn disabled_and_tiny_caches_conform() {
    for config in [CacheConfig::new().with_time_to_live(Duration::ZERO), CacheConfig::new().with_capacity(1)] {
        Conformance::of(async || CachedStore::with(MemoryStore::new(), config)).run().await.unwrap();
    }
}

/// What is remembered is answered during an outage; everything else is an error.
#[tokio::test]
async fn cached_store_in_outage_conforms() {
    Conformance::of(async || CachedStore::new(FaultyStore::new(MemoryStore::new())))
        .with_outage(async |cache| {
            cache.flush();
            cache.get_ref().set_fault(Fault::Error);
        })
        .run()
        .await
        .unwrap();
}
