//! A cache that is filled before the first request.

use std::time::Duration;

use tower_api_key::store::{KeyBackend, KeyUsage};

use super::probe::{ChangeFault, LookupFault, Probe};
use super::world::{World, acme};

/// Cases: 270.
#[tokio::test]
async fn warm_cache_knows_keys_used_last() {
    for max_batch in [1, 2, 100] {
        let world = World::over(Probe::batching(max_batch), |cache| cache);
        let (mut keys, now) = (Vec::new(), world.clocks.now());
        for number in 0..8 {
            let key = world.key().await;
            let usage = KeyUsage::new(key.record.id(), 1, now + Duration::from_secs(number));
            world.store.elsewhere().record_usage(&[usage]).await.unwrap();
            keys.push(key);
        }
        let unused = world.key().await;
        world.store.elsewhere().revoke(&acme(), keys[7].record.id()).await.unwrap();
        assert_eq!(world.cache.warm(5).await.unwrap(), 5);
        assert_eq!(world.store.lookups(), 5_usize.div_ceil(max_batch));
        let remembered: Vec<_> = keys.iter().map(|key| world.remembers(key)).collect();
        assert_eq!(remembered, [false, false, true, true, true, true, true, false]);
        assert_eq!(world.cache.warm(100).await.unwrap(), 7);
        assert!(!world.remembers(&unused) && !world.remembers(&keys[7]));
    }
}

/// Cases: 270.
#[tokio::test]
async fn warm_up_of_failing_store_leaves_keys_to_requests() {
    let world = World::new();
    let key = world.key().await;
    let usage = KeyUsage::new(key.record.id(), 1, world.clocks.now());
    world.store.elsewhere().record_usage(&[usage]).await.unwrap();
    world.store.fail_changes(ChangeFault::Fails);
    assert!(world.cache.warm(10).await.is_err());
    world.store.fail_changes(None);
    world.store.fail_lookups(LookupFault::Fails);
    assert_eq!(world.cache.warm(10).await.unwrap(), 0);
    world.store.fail_lookups(None);
    assert_eq!(world.request(key.secret.expose_secret()).await.status, 200);

    let off = World::with(|cache| cache.time_to_live(Duration::ZERO));
    assert_eq!(off.cache.warm(10).await.unwrap(), 0);
}
