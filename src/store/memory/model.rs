//! loom tries every order in which managers of one key can meet.
//!
//! Every change holds the lock of the index from the read to the write, so that changes happen one after the other.
//! What is left to interleave is their order, and the lookups, which take the lock of a shard alone. The naive versions
//! read under one lock and write under the next.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use futures::FutureExt;
use loom::thread;

use super::MemoryStore;
use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId};
use crate::scope::{Access, Scope, ScopeSet};
use crate::store::manager::{Expiry, IssuePolicy, KeyManager, ManageError, NewKey, StoredCredential};
use crate::usage::KeyUsage;

/// The digest of the key, and of what two managers would put in its place.
const OLD: u8 = 0;
const NEW: [u8; 2] = [1, 2];

fn digest(which: u8) -> KeyDigest {
    KeyDigest::from_bytes([which; 32])
}

fn id() -> KeyId {
    KeyId::from_u128(1)
}

fn acme() -> OrganizationId {
    OrganizationId::new("acme").unwrap()
}

fn store() -> MemoryStore {
    let store = MemoryStore::with(IssuePolicy::default(), || UNIX_EPOCH);
    let scopes = [Scope::from_static("read"), Scope::from_static("write")];
    store.add(KeyRecord::new(id(), digest(OLD), acme(), Access::scoped(scopes))).unwrap();
    store
}

/// No change waits for anything but a lock.
fn done<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

fn credential(which: u8) -> StoredCredential {
    StoredCredential::from_digest(digest(which))
}

fn revoke(store: &MemoryStore) {
    assert!(done(store.revoke(&acme(), id())).unwrap().is_revoked());
    assert!(!is_live(store, OLD), "a lookup after the revoke found the key live");
}

fn regenerate(store: &MemoryStore, which: u8) -> Option<KeyId> {
    match done(store.replace(&acme(), id(), Expiry::Never, credential(which))) {
        Ok(new) => Some(new.id()),
        Err(ManageError::Conflict) => None,
        Err(other) => panic!("{other}"),
    }
}

/// Each step is a change of its own.
fn naively_regenerate(store: &MemoryStore, which: u8) -> Option<KeyId> {
    if done(store.get(&acme(), id())).unwrap().is_revoked() {
        return None;
    }
    let new = done(store.insert(&acme(), NewKey::new("key", Access::Full).unwrap(), credential(which))).unwrap();
    let old = done(store.get(&acme(), id())).unwrap();
    store.write(&mut store.index(), KeyRecord::clone(&old).with_replaced_by(UNIX_EPOCH, new.id()));
    Some(new.id())
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
        assert!(made.len() <= 1, "two keys in the place of one");
        assert!(!is_live(&store, OLD), "the key is live after a revoke");
        assert_eq!(NEW.iter().filter(|which| is_live(&store, **which)).count(), made.len());
        assert_eq!(store.read(&digest(OLD)).unwrap().replaced_by(), made.first().copied());
    });
}

#[test]
fn case_082_a_key_that_is_revoked_and_regenerated_at_once_is_dead_and_has_one_successor_or_none() {
    three_managers(regenerate);
}

#[test]
#[should_panic(expected = "two keys in the place of one")]
fn case_082_in_steps_it_has_two() {
    three_managers(naively_regenerate);
}

/// A manager changes something else of the key while it is revoked.
fn beside_a_revoke(change: fn(&MemoryStore)) {
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

#[test]
fn no_change_brings_a_revoked_key_back() {
    beside_a_revoke(|store| {
        let scopes = ScopeSet::from_iter([Scope::from_static("read")]);
        match done(store.narrow(&acme(), id(), scopes)) {
            Ok(_) | Err(ManageError::Conflict) => {}
            Err(other) => panic!("{other}"),
        }
    });
    beside_a_revoke(|store| done(store.record_usage(&[KeyUsage::new(id(), 1, UNIX_EPOCH)])).unwrap());
    beside_a_revoke(|store| done(store.set_policy(&acme(), Default::default())).unwrap());
}

#[test]
#[should_panic(expected = "live after")]
fn in_steps_it_does() {
    beside_a_revoke(|store| {
        let record: Arc<KeyRecord> = store.index().find_own(&acme(), id()).unwrap();
        store.write(&mut store.index(), KeyRecord::clone(&record).with_usage(UNIX_EPOCH, 1));
    });
}

/// Two managers take different scopes away.
#[test]
fn a_key_that_is_narrowed_twice_at_once_has_what_one_of_them_left() {
    loom::model(|| {
        let store = store();
        let narrow = |store: &MemoryStore, left: Option<&'static str>| {
            let scopes = left.into_iter().map(Scope::from_static).collect();
            done(store.narrow(&acme(), id(), scopes)).is_ok()
        };
        let other = {
            let store = store.clone();
            thread::spawn(move || narrow(&store, Some("read")))
        };
        assert!(narrow(&store, None), "nothing is left by any order");
        let first = other.join().unwrap();
        let record = store.read(&digest(OLD)).unwrap();
        assert_eq!(record.access(), &Access::scoped([]), "a scope came back, the other was first: {first}");
    });
}
