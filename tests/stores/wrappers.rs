//! Every stack of wrappers around a store: what a manager reports and what a cache forgets does not depend on it.
#![cfg(all(feature = "cache", feature = "test-kit"))]

use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use tower_api_key::key::{KeyDigest, KeyRecord, OrganizationPolicy};
use tower_api_key::manage::{ChangeEvent, IssueRules, StoredCredential};
use tower_api_key::scope::{ScopeCatalog, avala};
use tower_api_key::store::{CachedStore, DynKeyBackend, Expiry, KeyBackend, KeyUpdate, Lookup};
use tower_api_key::test_kit::FaultyStore;
use tower_api_key::{Access, KeyManager, KeyStore, MemoryStore, NewKey, OrganizationId, Scope};

#[derive(Clone, Copy, Debug)]
enum Wrapper {
    Shared,
    Cached,
    Faulty,
    Dyn,
}

const WRAPPERS: [Wrapper; 4] = [Wrapper::Shared, Wrapper::Cached, Wrapper::Faulty, Wrapper::Dyn];

impl Wrapper {
    fn around(self, store: DynKeyBackend) -> DynKeyBackend {
        match self {
            Self::Shared => DynKeyBackend::new(Arc::new(store)),
            Self::Cached => DynKeyBackend::new(CachedStore::new(store)),
            Self::Faulty => DynKeyBackend::new(FaultyStore::new(store)),
            Self::Dyn => DynKeyBackend::new(store),
        }
    }
}

/// All stacks of up to three wrappers, the innermost first.
fn stacks() -> Vec<Vec<Wrapper>> {
    let mut stacks = vec![vec![]];
    for depth in 0..3 {
        let longer: Vec<_> = stacks
            .iter()
            .filter(|stack| stack.len() == depth)
            .flat_map(|stack| WRAPPERS.map(|wrapper| [&stack[..], &[wrapper]].concat()))
            .collect();
        stacks.extend(longer);
    }
    assert_eq!(stacks.len(), 1 + 4 + 16 + 64);
    stacks
}

fn acme() -> OrganizationId {
    OrganizationId::new("acme").unwrap()
}

fn new_key(access: Access) -> NewKey {
    NewKey::new("ci", access).unwrap()
}

/// One change of each kind and one rejection, as a hook sees them.
fn events(backend: impl KeyBackend + Clone) -> Vec<String> {
    const UNKNOWN: Scope = Scope::from_static("unknown");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let keys = KeyManager::new(backend)
        .with_rules(IssueRules::new().with_catalog(ScopeCatalog::new([avala::TASKS_READ])))
        .on_change(move |event| log.lock().unwrap().push(shown(event)))
        .on_behalf_of("ada@example.com");
    let acme = acme();
    block_on(async {
        let issued = keys.issue(&acme, new_key(Access::Full)).await.unwrap();
        keys.issue(&acme, new_key(Access::scoped([UNKNOWN]))).await.unwrap_err();
        let credential = StoredCredential::from_plaintext(b"an old key");
        let imported = keys.import(&acme, (new_key(Access::Full), credential.clone())).await.unwrap();
        keys.import(&acme, (new_key(Access::Full), credential)).await.unwrap_err();
        let fewer = KeyUpdate::new().with_scopes([avala::TASKS_READ]);
        keys.update(&acme, imported.id(), fewer).await.unwrap();
        keys.regenerate(&acme, issued.record.id(), Expiry::Never).await.unwrap();
        keys.regenerate(&acme, issued.record.id(), Expiry::Never).await.unwrap_err();
        keys.revoke(&acme, imported.id()).await.unwrap();
        let disabled = OrganizationPolicy::default().with_disabled(true);
        keys.set_organization_policy(&acme, disabled).await.unwrap();
    });
    let seen = seen.lock().unwrap();
    seen.clone()
}

/// The event without ids, which are random.
fn shown(event: &ChangeEvent<'_>) -> String {
    let record = event.record().map(|record: &KeyRecord| (record.access().clone(), record.is_revoked()));
    format!(
        "{} {} by {:?} in {:?}: key {}, {record:?}, {:?}, {:?}",
        event.change().code(),
        event.outcome().code(),
        event.actor(),
        event.organization(),
        event.key().is_some(),
        event.update(),
        event.policy(),
    )
}

/// Cases: 208.
/// Finding S15.
#[test]
fn change_events_are_the_same_through_every_stack() {
    let expected = events(MemoryStore::new());
    assert_eq!(expected.len(), 9);
    let codes: Vec<_> = expected.iter().map(|event| event.split(" by ").next().unwrap()).collect();
    assert_eq!(
        codes,
        [
            "issued done",
            "issued rejected",
            "imported done",
            "imported rejected",
            "updated done",
            "regenerated done",
            "regenerated rejected",
            "revoked done",
            "policy_changed done"
        ]
    );
    for stack in stacks() {
        let store = stack.iter().fold(DynKeyBackend::new(MemoryStore::new()), |store, wrapper| wrapper.around(store));
        assert_eq!(events(store), expected, "{stack:?}");
    }
}

/// What a lookup through the stack finds of this key: whether it is revoked.
fn revoked(store: &impl KeyStore, digest: &KeyDigest) -> Option<bool> {
    let found = match store.try_find(digest) {
        Lookup::Found(record) => Some(record),
        Lookup::NotFound => None,
        Lookup::Pending => block_on(store.find(digest)).map_err(Into::into).unwrap(),
    };
    found.map(|record| record.is_revoked())
}

/// Cases: 208.
#[test]
fn revoke_on_raw_store_reaches_every_cache_at_once() {
    for stack in stacks() {
        let raw = MemoryStore::new();
        let outer = stack.iter().fold(DynKeyBackend::new(raw.clone()), |store, wrapper| wrapper.around(store));
        let (keys, acme) = (KeyManager::new(raw), acme());
        let credential = StoredCredential::from_plaintext(b"a key");
        // Remembered as unknown first.
        assert_eq!(revoked(&outer, &credential.digest), None, "{stack:?}");
        let key = block_on(keys.import(&acme, (new_key(Access::Full), credential))).unwrap();
        assert_eq!(revoked(&outer, key.digest()), Some(false), "{stack:?}");
        assert_eq!(revoked(&outer, key.digest()), Some(false), "{stack:?}");
        let new = block_on(keys.regenerate(&acme, key.id(), Expiry::Never)).unwrap();
        assert_eq!(revoked(&outer, key.digest()), Some(true), "{stack:?}");
        assert_eq!(revoked(&outer, new.record.digest()), Some(false), "{stack:?}");
        block_on(keys.revoke(&acme, new.record.id())).unwrap();
        assert_eq!(revoked(&outer, new.record.digest()), Some(true), "{stack:?}");
    }
}

/// Cases: 208.
/// What is looked up at once reaches the store at once.
#[test]
fn batch_reaches_the_store_as_one() {
    const WITHOUT_CACHE: [Wrapper; 3] = [Wrapper::Shared, Wrapper::Faulty, Wrapper::Dyn];
    let (memory, acme) = (MemoryStore::new(), acme());
    let issued = block_on(KeyManager::new(memory.clone()).issue(&acme, new_key(Access::Full))).unwrap();
    let known = *issued.record.digest();
    let digests = [KeyDigest::hash(b"unknown"), known, known];
    for outer in WITHOUT_CACHE {
        for inner in WITHOUT_CACHE {
            let raw = FaultyStore::new(memory.clone());
            raw.set_max_batch(7);
            let store = outer.around(inner.around(DynKeyBackend::new(raw.clone())));
            assert_eq!(store.max_batch(), 7, "{inner:?} in {outer:?}");
            let found = block_on(store.find_many(&digests)).unwrap();
            let found: Vec<_> = found.into_iter().map(|result| result.unwrap().is_some()).collect();
            assert_eq!(found, [false, true, true], "{inner:?} in {outer:?}");
            assert_eq!((raw.batches(), raw.lookups()), (1, 3), "{inner:?} in {outer:?}");
        }
    }
}
