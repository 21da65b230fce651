//! loom tries every order in which managers of one key can meet.
//!
//! Every change locks the index from the read to the write, so that changes happen one after the other. What is left to
//! interleave is their order, and the lookups, which lock a shard alone. The naive versions read under one lock and write
//! under the next.

use std::time::UNIX_EPOCH;

use futures::FutureExt;
use loom::thread;

use super::MemoryStore;
use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId};
use crate::scope::{Access, Scope};
use crate::store::{BackendError, InsertRules, KeyBackend, KeyUpdate, KeyUsage, NewRecord, Replacement};

/// The digest of the key, and those that two managers would replace it by.
const OLD: u8 = 0;
const NEW: [u8; 2] = [1, 2];

fn digest(which: u8) -> KeyDigest {
    KeyDigest::from_bytes([which; 32])
}

fn id(which: u8) -> KeyId {
    KeyId::from_u128(which.into())
}

fn acme() -> OrganizationId {
    OrganizationId::new("acme").unwrap()
}

fn store() -> MemoryStore {
    let store = MemoryStore::builder().clock(|| UNIX_EPOCH).build();
    let scopes = [Scope::from_static("read"), Scope::from_static("write")];
    store.add(KeyRecord::new(id(OLD), digest(OLD), acme(), Access::scoped(scopes))).unwrap();
    store
}

/// No change waits for anything but a lock.
fn done<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

fn revoke(store: &MemoryStore) {
    assert!(done(store.revoke(&acme(), id(OLD))).unwrap().is_revoked());
    assert!(!is_live(store, OLD), "a lookup after the revoke found the key live");
}

fn regenerate(store: &MemoryStore, which: u8) -> Option<KeyId> {
    let replacement = Replacement::new(id(which), digest(which));
    match done(store.replace(&acme(), id(OLD), replacement, InsertRules::new())) {
        Ok(new) => Some(new.id()),
        Err(BackendError::Conflict) => None,
        Err(other) => panic!("{other}"),
    }
}

/// Each step is a change of its own.
fn naively_regenerate(store: &MemoryStore, which: u8) -> Option<KeyId> {
    if done(store.get(&acme(), id(OLD))).unwrap().is_revoked() {
        return None;
    }
    let record = NewRecord::new(id(which), digest(which), acme(), Access::Full);
    let new = done(store.insert(record, InsertRules::new())).unwrap();
    let old = done(store.get(&acme(), id(OLD))).unwrap();
    store.write(&mut store.index(), KeyRecord::clone(&old).with_revoked_at(UNIX_EPOCH).with_replaced_by(new.id()));
    Some(new.id())
}

fn limit_to(store: &MemoryStore, scope: Option<&'static str>) -> Result<(), BackendError> {
    let scopes: crate::scope::ScopeSet = scope.into_iter().map(Scope::from_static).collect();
    done(store.update(&acme(), id(OLD), KeyUpdate::new().with_scopes(scopes))).map(drop)
}

fn is_live(store: &MemoryStore, which: u8) -> bool {
    store.read(&digest(which)).is_some_and(|record| !record.is_revoked())
}

type Regenerate = fn(&MemoryStore, u8) -> Option<KeyId>;

/// Two managers regenerate the key while a third revokes it.
fn three_managers(regenerate: Regenerate) {
    loom::model(move || {
        let store = store();
        let others = NEW.map(|which| {
            let store = store.clone();
            thread::spawn(move || regenerate(&store, which))
        });
        revoke(&store);
        let made: Vec<_> = others.into_iter().filter_map(|other| other.join().unwrap()).collect();
        assert!(made.len() <= 1, "two keys replaced one");
        assert!(!is_live(&store, OLD), "the key is live after a revoke");
        assert_eq!(NEW.iter().filter(|which| is_live(&store, **which)).count(), made.len());
        assert_eq!(store.read(&digest(OLD)).unwrap().replaced_by(), made.first().copied());
    });
}

/// Cases: 82.
#[test]
fn key_revoked_and_regenerated_at_once_is_revoked() {
    three_managers(regenerate);
}

/// Cases: 82.
#[test]
#[should_panic(expected = "two keys replaced one")]
fn key_regenerated_in_steps_has_two_replacements() {
    three_managers(naively_regenerate);
}

/// A manager changes something else of the key while it is revoked.
fn during_a_revoke(change: fn(&MemoryStore)) {
    loom::model(move || {
        let store = store();
        let other = {
            let store = store.clone();
            thread::spawn(move || change(&store))
        };
        revoke(&store);
        other.join().unwrap();
        assert!(!is_live(&store, OLD), "the key is live after a revoke");
    });
}

/// Cases: 200.
#[test]
fn key_changed_during_a_revoke_is_revoked() {
    during_a_revoke(|store| match limit_to(store, Some("read")) {
        Ok(()) | Err(BackendError::Conflict) => {}
        Err(other) => panic!("{other}"),
    });
    during_a_revoke(|store| done(store.record_usage(&[KeyUsage::new(id(OLD), 1, UNIX_EPOCH)])).unwrap());
    during_a_revoke(|store| done(store.set_organization_policy(&acme(), Default::default())).unwrap());
}

/// Cases: 200.
#[test]
#[should_panic(expected = "live after")]
fn key_changed_in_steps_during_a_revoke_is_live() {
    during_a_revoke(|store| {
        let record = store.index().find_own(&acme(), id(OLD)).unwrap();
        store.write(&mut store.index(), KeyRecord::clone(&record).with_usage(UNIX_EPOCH, 1));
    });
}

/// Cases: 200.
/// Two managers remove different scopes.
#[test]
fn key_updated_twice_at_once_gets_no_scope_back() {
    loom::model(|| {
        let store = store();
        let other = {
            let store = store.clone();
            thread::spawn(move || limit_to(&store, Some("read")).is_ok())
        };
        assert!(limit_to(&store, None).is_ok(), "every key can be limited to no scope");
        let first = other.join().unwrap();
        let record = store.read(&digest(OLD)).unwrap();
        assert_eq!(record.access(), &Access::scoped([]), "a scope came back, the other was first: {first}");
    });
}
