//! The audit trail of changes: one event for each, whatever became of it.
#![cfg(feature = "test-kit")]

use std::sync::{Arc, Mutex};

use futures::FutureExt;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord, OrganizationPolicy};
use tower_api_key::manage::{ChangeEvent, IssueRules, ManageError, StoredCredential};
use tower_api_key::scope::{ScopeCatalog, ScopeSet, avala};
use tower_api_key::store::{Expiry, KeyBackend, KeyUpdate, ListKeys};
use tower_api_key::test_kit::{Fault, FaultyStore};
use tower_api_key::{Access, KeyManager, KeyStore, MemoryStore, NewKey, OrganizationId};

use crate::support::clock::Hands;

/// Cases: 204.
#[tokio::test]
async fn each_kind_of_change_is_reported_once() {
    let trail = Trail::default();
    let keys = trail.of(MemoryStore::new());
    let acme = acme();
    let access = Access::scoped([avala::DATASETS_READ, avala::DATASETS_WRITE]);
    let new = || NewKey::new("ci", access.clone()).unwrap();

    let issued = keys.issue(&acme, new()).await.unwrap().record;
    assert_eq!(trail.take(), [reported("issued", "done", Some(issued.id()), Some(issued.id()))]);

    let imported = keys.import(&acme, (new(), StoredCredential::from_plaintext(b"elsewhere"))).await.unwrap();
    assert_eq!(trail.take(), [reported("imported", "done", Some(imported.id()), Some(imported.id()))]);

    let new_key = keys.regenerate(&acme, issued.id(), Expiry::Never).await.unwrap().record;
    assert_eq!(trail.take(), [reported("regenerated", "done", Some(issued.id()), Some(new_key.id()))]);

    let fewer = [avala::DATASETS_READ].into_iter().collect::<ScopeSet>();
    keys.update(&acme, new_key.id(), KeyUpdate::new().with_scopes(fewer.clone())).await.unwrap();
    let update = reported("updated", "done", Some(new_key.id()), Some(new_key.id()));
    assert_eq!(trail.take(), [Reported { scopes: Some(fewer), ..update }]);

    keys.revoke(&acme, new_key.id()).await.unwrap();
    assert_eq!(trail.take(), [reported("revoked", "done", Some(new_key.id()), Some(new_key.id()))]);

    keys.set_organization_policy(&acme, OrganizationPolicy::default().with_disabled(true)).await.unwrap();
    let policy = Reported { disabled: Some(true), ..reported("policy_changed", "done", None, None) };
    assert_eq!(trail.take(), [policy]);
}

/// Cases: 204.
#[tokio::test]
async fn unchanged_store_is_not_reported() {
    let trail = Trail::default();
    let keys = trail.of(MemoryStore::new());
    let issued = keys.issue(&acme(), NewKey::new("ci", Access::Full).unwrap()).await.unwrap().record;
    trail.take();
    keys.get(&acme(), issued.id()).await.unwrap();
    keys.list(&acme(), &ListKeys::new()).await.unwrap();
    keys.organization_policy(&acme()).await.unwrap();
    let store = keys.backend();
    store.find(issued.digest()).await.unwrap();
    store.try_find(issued.digest());
    store.record_usage(&[]).await.unwrap();
    assert_eq!(trail.take(), []);
}

/// Cases: 204.
#[tokio::test]
async fn rejected_or_failed_change_is_reported_as_such() {
    let trail = Trail::default();
    let store = FaultyStore::new(MemoryStore::new());
    let keys = trail.of(store.clone());
    let unknown = KeyId::from_u128(7);
    assert!(matches!(keys.revoke(&acme(), unknown).await, Err(ManageError::NotFound)));
    assert_eq!(trail.take(), [reported("revoked", "rejected", Some(unknown), None)]);
    store.set_fault(Fault::Error);
    assert!(matches!(keys.revoke(&acme(), unknown).await, Err(ManageError::Store(_))));
    assert_eq!(trail.take(), [reported("revoked", "failed", Some(unknown), None)]);
}

#[tokio::test]
async fn key_with_unknown_scope_is_reported_rejected() {
    let trail = Trail::default();
    let rules = IssueRules::default().with_catalog(ScopeCatalog::new([avala::DATASETS_READ]));
    let keys = trail.of(MemoryStore::new()).with_rules(rules);
    let new = || NewKey::new("ci", Access::scoped([avala::DATASETS_WRITE])).unwrap();

    assert!(matches!(keys.issue(&acme(), new()).await, Err(ManageError::UnknownScope(_))));
    assert_eq!(trail.take(), [reported("issued", "rejected", None, None)]);

    let imported = keys.import(&acme(), (new(), StoredCredential::from_plaintext(b"elsewhere"))).await;
    assert!(matches!(imported, Err(ManageError::UnknownScope(_))));
    assert_eq!(trail.take(), [reported("imported", "rejected", None, None)]);
}

/// Cases: 204.
#[tokio::test]
async fn abandoned_change_is_reported_unknown() {
    let trail = Trail::default();
    let store = FaultyStore::new(MemoryStore::new());
    store.set_fault(Fault::Hang);
    let keys = trail.of(store);
    let unknown = KeyId::from_u128(7);
    assert!(keys.revoke(&acme(), unknown).now_or_never().is_none());
    assert_eq!(trail.take(), [reported("revoked", "unknown", Some(unknown), None)]);
}

/// Cases: 204.
#[tokio::test]
async fn handle_reports_its_actor() {
    let trail = Trail::default();
    let keys = trail.of(MemoryStore::new());
    let unknown = KeyId::from_u128(7);
    let (ada, bob) = (keys.on_behalf_of("ada"), keys.on_behalf_of("bob"));
    for keys in [&ada, &bob, &ada.on_behalf_of("cy"), &keys] {
        keys.revoke(&acme(), unknown).await.unwrap_err();
    }
    let actors = trail.take().into_iter().map(|event| event.actor).collect::<Vec<_>>();
    assert_eq!(actors, [Some("ada".to_owned()), Some("bob".into()), Some("cy".into()), None]);
    assert_eq!(ada.backend().id(), keys.backend().id());
}

/// A layer on the store of a manager is a layer on the store itself.
#[tokio::test]
async fn audited_lookups_are_those_of_the_store() {
    let store = MemoryStore::new();
    let keys = Trail::default().of(store.clone());
    let issued = KeyManager::new(store.clone()).issue(&acme(), NewKey::new("ci", Access::Full).unwrap()).await.unwrap();
    assert_eq!(keys.backend().find(issued.record.digest()).await.unwrap().unwrap().id(), issued.record.id());
    assert!(keys.backend().find(&KeyDigest::hash(b"other")).await.unwrap().is_none());
    assert!(store.id().is_some());
    assert_eq!(keys.backend().id(), store.id(), "a second layer need not look the key up again");
}

/// Cases: 208.
#[tokio::test]
async fn manager_with_hook_changes_the_same() {
    let audited = changed(Trail::default().of(store())).await;
    assert_eq!(audited, changed(KeyManager::new(store())).await);
    assert_eq!(audited.len(), 11);
}

/// A store in which the times of all keys are the same.
fn store() -> MemoryStore {
    MemoryStore::builder().clock(Hands::at(std::time::UNIX_EPOCH)).build()
}

/// What each kind of call returns, and then the keys and the policy in the store, without what is random.
async fn changed(keys: KeyManager<MemoryStore>) -> Vec<String> {
    let (acme, access) = (acme(), Access::scoped([avala::DATASETS_READ, avala::DATASETS_WRITE]));
    let new = || NewKey::new("ci", access.clone()).unwrap();
    let credential = || StoredCredential::from_plaintext(b"elsewhere");
    let update = || KeyUpdate::new().with_scopes([avala::DATASETS_READ]);
    let disabled = OrganizationPolicy::default().with_disabled(true);
    let issued = keys.issue(&acme, new()).await.unwrap().record;
    let imported = keys.import(&acme, (new(), credential())).await;
    let id = imported.as_ref().unwrap().id();
    let mut seen = vec![
        shown(Ok(issued.clone())),
        shown(imported),
        shown(keys.import(&acme, (new(), credential())).await),
        shown(keys.update(&acme, id, update()).await),
        shown(keys.regenerate(&acme, issued.id(), Expiry::Never).await.map(|new| new.record)),
        shown(keys.regenerate(&acme, issued.id(), Expiry::Never).await.map(|new| new.record)),
        shown(keys.revoke(&acme, id).await),
    ];
    keys.set_organization_policy(&acme, disabled).await.unwrap();
    let mut listed: Vec<_> =
        keys.list(&acme, &ListKeys::new()).await.unwrap().keys.into_iter().map(Ok).map(shown).collect();
    // Keys of one second are listed in the order of their ids, which are random.
    listed.sort_unstable();
    seen.extend(listed);
    seen.push(format!("{:?}", keys.organization_policy(&acme).await.unwrap()));
    seen
}

fn shown(result: Result<Arc<KeyRecord>, ManageError>) -> String {
    result.map_or_else(
        |error| error.to_string(),
        |key| {
            let replaced = key.replaced_by().is_some();
            format!("{} {:?} {:?} {replaced} {:?}", key.name(), key.access(), key.revoked_at(), key.policy())
        },
    )
}

#[derive(Clone, Default)]
struct Trail(Arc<Mutex<Vec<Reported>>>);

#[derive(Debug, PartialEq)]
struct Reported {
    change: &'static str,
    outcome: &'static str,
    key: Option<KeyId>,
    made: Option<KeyId>,
    actor: Option<String>,
    scopes: Option<ScopeSet>,
    disabled: Option<bool>,
}

fn reported(change: &'static str, outcome: &'static str, key: Option<KeyId>, made: Option<KeyId>) -> Reported {
    Reported { change, outcome, key, made, actor: None, scopes: None, disabled: None }
}

impl Trail {
    fn of<S: KeyBackend>(&self, store: S) -> KeyManager<S> {
        let trail = self.clone();
        KeyManager::new(store).on_change(move |event: &ChangeEvent<'_>| {
            assert_eq!(event.organization(), Some(&acme()));
            trail.0.lock().unwrap().push(Reported {
                change: event.change().code(),
                outcome: event.outcome().code(),
                key: event.key(),
                made: event.record().map(KeyRecord::id),
                actor: event.actor().map(str::to_owned),
                scopes: event.update().and_then(|update| update.scopes().cloned()),
                disabled: event.policy().map(|policy| policy.is_disabled()),
            });
        })
    }

    fn take(&self) -> Vec<Reported> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn acme() -> OrganizationId {
    "acme".parse().unwrap()
}
