//! A verifier that fails is an outage: never a 401, and never access.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tower_api_key::auth::{LegacyKeysError, LegacyLimits};
use tower_api_key::manage::IssueRules;
use tower_api_key::observe::LegacyCheck;
use tower_api_key::scope::{ScopeCatalog, avala};
use tower_api_key::store::CachedStore;
use tower_api_key::test_kit::{Fault as StoreFault, FaultyStore};
use tower_api_key::{Access, ApiKeyLayer, KeyManager, MemoryStore};

use super::old_table::{Fault, OldTable};
use crate::support::calls::{Reply, call, scoped};
use crate::support::log_lines::{record_log, take_log};

const KEY: &str = "12|token-of-acme";

/// Cases: 213.
#[tokio::test(start_paused = true)]
async fn verifier_that_fails_is_503_until_it_works() {
    for (fault, code, cause) in [
        (Fault::Error, "verifier_failed", "the old table is locked"),
        (Fault::Panic, "verifier_failed", "the verifier panicked: the verifier is broken"),
        (Fault::Hang, "verifier_timed_out", "deadline has elapsed"),
        (Fault::OtherKey, "verifier_failed", "the verifier returned another key than it was given"),
    ] {
        let (store, table) = (MemoryStore::new(), OldTable::new(LegacyLimits::new()));
        table.add(KEY);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let layer = table.layer(&store).on_decision(move |event| {
            log.lock().unwrap().push((event.outcome().code(), event.legacy()));
        });
        record_log();
        table.set_fault(fault);
        for _ in 0..3 {
            assert_eq!(call(&layer, KEY).await, Reply::unavailable(), "{fault:?}");
        }
        let lines = take_log();
        assert_eq!(lines.len(), 1, "one line for each outage: {lines:?}");
        let start = format!("WARN a legacy key was not verified, answering 503: {cause}");
        assert!(lines[0].starts_with(&start), "{lines:?}");
        assert_eq!(seen.lock().unwrap().split_off(0), [(code, Some(LegacyCheck::Failed)); 3]);

        table.set_fault(Fault::None);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(call(&layer, KEY).await, Reply::accepted(&Access::Full), "{fault:?}");
        let more = take_log();
        assert!(more[0].starts_with("INFO legacy keys are verified again: 3 requests got no answer"), "{more:?}");
        assert!(!lines.into_iter().chain(more).any(|line| line.contains("token-of-acme")), "the key is in the log");
    }
}

/// Cases: 213.
///
/// The lookup and the verification have one deadline together.
#[tokio::test(start_paused = true)]
async fn lookup_and_verification_share_a_deadline() {
    let faulty = FaultyStore::new(MemoryStore::new());
    faulty.set_fault(StoreFault::Slow(Duration::from_millis(600)));
    let table = OldTable::slow(LegacyLimits::new(), Duration::from_millis(600));
    let began = Instant::now();
    assert_eq!(call(&table.layer(&faulty), KEY).await, Reply::unavailable());
    assert_eq!(began.elapsed(), Duration::from_secs(1));
}

/// Cases: 213.
#[tokio::test]
async fn store_that_fails_keeps_keys_from_the_verifier() {
    let faulty = FaultyStore::new(MemoryStore::new());
    let table = OldTable::new(LegacyLimits::new());
    table.add(KEY);
    let layer = table.layer(&faulty);
    for fault in [StoreFault::Error, StoreFault::Panic] {
        faulty.set_fault(fault);
        assert_eq!(call(&layer, KEY).await, Reply::unavailable());
        assert_eq!(table.verifications(), 0, "a revoked key must not be offered because its record cannot be read");
    }
    faulty.set_fault(StoreFault::None);
    assert_eq!(call(&layer, KEY).await, Reply::accepted(&Access::Full));
}

/// Cases: 213.
#[tokio::test]
async fn import_that_the_rules_reject_is_503() {
    let (store, table) = (MemoryStore::new(), OldTable::new(LegacyLimits::new()));
    table.add_as(KEY, scoped(&["retired.scope"]));
    let rules = IssueRules::new().with_catalog(ScopeCatalog::new([avala::DATASETS_READ]));
    let manager = KeyManager::new(store.clone()).with_rules(rules);
    let layer = ApiKeyLayer::new(store).legacy_keys(manager, table.clone()).unwrap();
    record_log();
    assert_eq!(call(&layer, KEY).await, Reply::unavailable());
    let lines = take_log();
    assert!(lines[0].contains("a legacy key cannot be imported: "), "{lines:?}");
}

/// Cases: 215.
#[test]
fn manager_on_another_store_is_an_error() {
    let (store, table) = (MemoryStore::new(), OldTable::new(LegacyLimits::new()));
    let other = || ApiKeyLayer::new(store.clone()).legacy_keys(KeyManager::new(MemoryStore::new()), table.clone());
    assert_eq!(other().unwrap_err(), LegacyKeysError::OtherStore);
    // The cache would not know of an import.
    let behind = ApiKeyLayer::new(CachedStore::new(store.clone()));
    assert!(behind.legacy_keys(KeyManager::new(store.clone()), table.clone()).is_err());
    let cached = CachedStore::new(store);
    assert!(ApiKeyLayer::new(cached.clone()).legacy_keys(KeyManager::new(cached), table).is_ok());
}
