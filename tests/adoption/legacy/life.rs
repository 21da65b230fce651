//! From the first request with a legacy key to its end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use tokio::task::JoinSet;
use tower_api_key::auth::LegacyLimits;
use tower_api_key::key::KeyDigest;
use tower_api_key::manage::{Change, ChangeOutcome};
use tower_api_key::observe::LegacyCheck;
use tower_api_key::store::CachedStore;
use tower_api_key::test_kit::FaultyStore;
use tower_api_key::{Access, ApiKeyLayer, KeyManager, KeyStore, MemoryStore};

use super::old_table::OldTable;
use crate::support::calls::{Reply, acme, call, full, scoped};

const KEY: &str = "12|token-of-acme";

fn accepted() -> Reply {
    Reply::accepted(&Access::Full)
}

/// Cases: 211.
#[tokio::test]
async fn legacy_key_is_verified_once_and_imported() {
    let (store, table) = (MemoryStore::new(), OldTable::new(LegacyLimits::new()));
    table.add_as(KEY, full().with_expires_at(SystemTime::now() + Duration::from_secs(3600)));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let layer = table.layer(&store).on_decision(move |event| log.lock().unwrap().push(event.legacy()));

    assert_eq!(call(&layer, KEY).await, accepted());
    assert_eq!(table.verifications(), 1);
    let Ok(found) = store.find(&KeyDigest::hash(KEY.as_bytes())).await;
    let record = found.unwrap();
    assert!(record.is_imported() && record.expires_at().is_some());
    assert_eq!((record.organization(), record.hint().as_str()), (acme(), ""));
    for _ in 0..10 {
        assert_eq!(call(&layer, KEY).await, accepted());
    }
    // Without the verifier, the key is like any other.
    assert_eq!(call(&ApiKeyLayer::new(store), KEY).await, accepted());
    assert_eq!(table.verifications(), 1);
    let mut expected = vec![Some(LegacyCheck::Imported)];
    expected.resize(11, None);
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// Cases: 211.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hundred_first_requests_are_one_verification() {
    for round in 0..50 {
        // From memory, from a database, and through a cache in front of one.
        let faulty = FaultyStore::new(MemoryStore::new());
        faulty.set_always_pending(round % 3 > 0);
        let table = OldTable::slow(LegacyLimits::new(), Duration::from_millis(u64::from(round % 2 == 0)));
        let imports = Arc::new(AtomicUsize::new(0));
        let layer = match round % 3 {
            2 => counted(&table, CachedStore::new(faulty), &imports),
            _ => counted(&table, faulty, &imports),
        };
        table.add(KEY);
        let mut requests = JoinSet::new();
        for _ in 0..100 {
            let layer = layer.clone();
            requests.spawn(async move { call(&layer, KEY).await });
        }
        assert!(requests.join_all().await.into_iter().all(|reply| reply == accepted()), "round {round}");
        assert_eq!((table.verifications(), imports.load(Ordering::Relaxed)), (1, 1), "round {round}");
    }
}

/// Counts the imports that were tried.
fn counted<S: tower_api_key::store::KeyBackend + Clone>(
    table: &OldTable,
    store: S,
    imports: &Arc<AtomicUsize>,
) -> ApiKeyLayer {
    let imports = Arc::clone(imports);
    let manager = KeyManager::new(store.clone()).on_change(move |event| {
        assert!(matches!((event.change(), event.outcome()), (Change::Imported, ChangeOutcome::Done)));
        imports.fetch_add(1, Ordering::Relaxed);
    });
    ApiKeyLayer::new(store).legacy_keys(manager, table.clone()).unwrap()
}

/// Cases: 212.
#[tokio::test]
async fn revoked_and_purged_legacy_keys_stay_dead() {
    let (store, table) = (MemoryStore::new(), OldTable::new(LegacyLimits::new()));
    let (layer, manager) = (table.layer(&store), KeyManager::new(store.clone()));
    table.add(KEY);
    assert_eq!(call(&layer, KEY).await, accepted());
    manager.revoke_plaintext(KEY.as_bytes()).await.unwrap().unwrap();
    assert_eq!(call(&layer, KEY).await, Reply::invalid());
    assert_eq!(manager.purge(acme(), Duration::ZERO).await.unwrap(), 1);
    assert_eq!(call(&layer, KEY).await, Reply::invalid());
    // Also by a process that begins now.
    assert_eq!(call(&table.layer(&store), KEY).await, Reply::invalid());
    assert_eq!(table.verifications(), 1, "a key that was here is not offered again");
}

/// Cases: 212.
///
/// Another process imports the key, and revokes or purges it, while this one verifies it.
#[tokio::test]
async fn key_that_ends_during_its_verification_is_dead() {
    for purged in [false, true] {
        let (store, table) = (MemoryStore::new(), OldTable::new(LegacyLimits::new()));
        let other = OldTable::new(LegacyLimits::new());
        table.add(KEY);
        other.add(KEY);
        table.close();
        let layer = table.layer(&store);
        let request = tokio::spawn(async move { call(&layer, KEY).await });
        while table.verifications() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(call(&other.layer(&store), KEY).await, accepted());
        let manager = KeyManager::new(store.clone());
        manager.revoke_plaintext(KEY.as_bytes()).await.unwrap().unwrap();
        if purged {
            manager.purge(acme(), Duration::ZERO).await.unwrap();
        }
        table.open();
        assert_eq!(request.await.unwrap(), Reply::invalid(), "purged: {purged}");
    }
}

/// Cases: 212.
///
/// What the old table knows about a key decides, through the same check as for every other key.
#[tokio::test]
async fn legacy_key_is_checked_as_any_other() {
    let (store, table) = (MemoryStore::new(), OldTable::new(LegacyLimits::new()));
    table.add_as("1|expired", full().with_expires_at(SystemTime::UNIX_EPOCH));
    table.add_as("2|narrow", scoped(&["datasets.read"]));
    table.add_as("3|elsewhere", full().with_networks("198.51.100.0/24".parse().unwrap()));
    let layer = table.layer(&store).require(tower_api_key::scope::avala::EXPORTS_CREATE);
    for (key, reply) in
        [("1|expired", Reply::expired()), ("2|narrow", Reply::forbidden()), ("3|elsewhere", Reply::forbidden())]
    {
        for _ in 0..2 {
            assert_eq!(call(&layer, key).await, reply, "{key}");
        }
    }
    assert_eq!(table.verifications(), 3, "a key that is rejected is imported too");
}

/// Cases: 215.
#[tokio::test(start_paused = true)]
async fn dropped_request_leaves_the_verification_to_others() {
    let (store, table) = (MemoryStore::new(), OldTable::slow(LegacyLimits::new(), Duration::from_millis(100)));
    table.add(KEY);
    let layer = table.layer(&store);
    let mut first = Box::pin(call(&layer, KEY));
    assert!(futures::poll!(&mut first).is_pending());
    let mut others = Box::pin(join_all((0..5).map(|_| call(&layer, KEY))));
    assert!(futures::poll!(&mut others).is_pending());
    drop(first);
    assert!(others.await.into_iter().all(|reply| reply == accepted()));
    assert_eq!(table.verifications(), 1);

    // When all are gone, the next one begins again.
    table.add("13|other");
    let mut first = Box::pin(call(&layer, "13|other"));
    assert!(futures::poll!(&mut first).is_pending());
    drop(first);
    assert_eq!(call(&layer, "13|other").await, accepted());
    assert_eq!(table.verifications(), 3);
}
