//! A cache in front of a store keeps every promise of a store.

use std::time::Duration;

use tower_api_key::MemoryStore;
use tower_api_key::store::CachedStore;
use tower_api_key::test_kit::{Conformance, Fault, FaultyStore};

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
    let off = async || CachedStore::builder(MemoryStore::new()).time_to_live(Duration::ZERO).build();
    Conformance::of(off).run().await.unwrap();
    let tiny = async || CachedStore::builder(MemoryStore::new()).capacity(1).build();
    Conformance::of(tiny).run().await.unwrap();
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
