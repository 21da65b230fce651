//! The audit trail of changes: one event for each, whatever became of it.
#![cfg(feature = "test-kit")]

use std::sync::{Arc, Mutex};

use futures::FutureExt;
use tower_api_key::test_kit::{Conformance, Fault, FaultyStore};
use tower_api_key::{
    Access, AuditedStore, Catalogue, ChangeEvent, Expiry, IssuePolicy, KeyDigest, KeyId, KeyManager, KeyStore,
    ListKeys, ManageError, MemoryStore, NewKey, OrganizationId, OrganizationPolicy, ScopeSet, StoredCredential,
    SystemClock, scope::avala,
};

#[tokio::test]
async fn each_kind_of_change_is_reported_once() {
    let trail = Trail::default();
    let keys = trail.of(MemoryStore::new());
    let acme = acme();
    let access = Access::scoped([avala::DATASETS_READ, avala::DATASETS_WRITE]);
    let new = || NewKey::new("ci", access.clone()).unwrap();

    let issued = keys.issue(&acme, new()).await.unwrap().record;
    assert_eq!(trail.take(), [told("issued", "done", Some(issued.id()), Some(issued.id()))]);

    let imported = keys.import(&acme, new(), StoredCredential::of_presented(b"elsewhere")).await.unwrap();
    assert_eq!(trail.take(), [told("imported", "done", Some(imported.id()), Some(imported.id()))]);

    let new_key = keys.regenerate(&acme, issued.id(), Expiry::Never).await.unwrap().record;
    assert_eq!(trail.take(), [told("regenerated", "done", Some(issued.id()), Some(new_key.id()))]);

    let fewer = [avala::DATASETS_READ].into_iter().collect::<ScopeSet>();
    keys.narrow(&acme, new_key.id(), fewer).await.unwrap();
    assert_eq!(trail.take(), [told("narrowed", "done", Some(new_key.id()), Some(new_key.id()))]);

    keys.revoke(&acme, new_key.id()).await.unwrap();
    assert_eq!(trail.take(), [told("revoked", "done", Some(new_key.id()), Some(new_key.id()))]);

    keys.set_policy(&acme, OrganizationPolicy::default().with_disabled(true)).await.unwrap();
    let policy = Told { disabled: Some(true), ..told("policy_changed", "done", None, None) };
    assert_eq!(trail.take(), [policy]);
}

#[tokio::test]
async fn unchanged_store_is_not_reported() {
    let trail = Trail::default();
    let keys = trail.of(MemoryStore::new());
    let issued = keys.issue(&acme(), NewKey::new("ci", Access::Full).unwrap()).await.unwrap().record;
    trail.take();
    keys.find(issued.digest()).await.unwrap();
    keys.find_now(issued.digest());
    keys.get(&acme(), issued.id()).await.unwrap();
    keys.list(&acme(), &ListKeys::new()).await.unwrap();
    keys.policy(&acme()).await.unwrap();
    keys.record_usage(&[]).await.unwrap();
    assert_eq!(trail.take(), []);
}

#[tokio::test]
async fn rejected_or_failed_change_is_reported_as_such() {
    let trail = Trail::default();
    let store = FaultyStore::new(MemoryStore::new());
    let keys = trail.of(store.clone());
    let nobody = KeyId::from_u128(7);
    assert!(matches!(keys.revoke(&acme(), nobody).await, Err(ManageError::NotFound)));
    assert_eq!(trail.take(), [told("revoked", "refused", Some(nobody), None)]);
    store.set_fault(Fault::Error);
    assert!(matches!(keys.revoke(&acme(), nobody).await, Err(ManageError::Store(_))));
    assert_eq!(trail.take(), [told("revoked", "failed", Some(nobody), None)]);
}

#[tokio::test]
async fn key_with_unknown_scope_is_reported_rejected() {
    let trail = Trail::default();
    let policy = IssuePolicy::default().with_catalogue(Catalogue::new([avala::DATASETS_READ]));
    let keys = trail.of(MemoryStore::with(policy, SystemClock));
    let new = || NewKey::new("ci", Access::scoped([avala::DATASETS_WRITE])).unwrap();

    assert!(matches!(keys.issue(&acme(), new()).await, Err(ManageError::UnknownScope(_))));
    assert_eq!(trail.take(), [told("issued", "refused", None, None)]);

    let imported = keys.import(&acme(), new(), StoredCredential::of_presented(b"elsewhere")).await;
    assert!(matches!(imported, Err(ManageError::UnknownScope(_))));
    assert_eq!(trail.take(), [told("imported", "refused", None, None)]);
}

#[tokio::test]
async fn abandoned_change_is_reported_unknown() {
    let trail = Trail::default();
    let store = FaultyStore::new(MemoryStore::new());
    store.set_fault(Fault::Hang);
    let keys = trail.of(store);
    let nobody = KeyId::from_u128(7);
    assert!(keys.revoke(&acme(), nobody).now_or_never().is_none());
    assert_eq!(trail.take(), [told("revoked", "unknown", Some(nobody), None)]);
}

#[tokio::test]
async fn handle_reports_its_actor() {
    let trail = Trail::default();
    let keys = trail.of(MemoryStore::new());
    let nobody = KeyId::from_u128(7);
    let (ada, bob) = (keys.on_behalf_of("ada"), keys.on_behalf_of("bob"));
    for keys in [&ada, &bob, &ada.on_behalf_of("cy"), &keys] {
        keys.revoke(&acme(), nobody).await.unwrap_err();
    }
    let actors = trail.take().into_iter().map(|told| told.actor).collect::<Vec<_>>();
    assert_eq!(actors, [Some("ada".to_owned()), Some("bob".into()), Some("cy".into()), None]);
    assert_eq!(ada.store_id(), keys.store_id());
}

/// A layer on an audited store is a layer on the store behind.
#[tokio::test]
async fn audited_lookups_are_those_of_the_store() {
    let store = MemoryStore::new();
    let keys = Trail::default().of(store.clone());
    let issued = store.issue(&acme(), NewKey::new("ci", Access::Full).unwrap()).await.unwrap();
    assert_eq!(keys.find(issued.record.digest()).await.unwrap().unwrap().id(), issued.record.id());
    assert!(keys.find(&KeyDigest::of(b"other")).await.unwrap().is_none());
    assert!(store.store_id().is_some());
    assert_eq!(keys.store_id(), store.store_id(), "a second layer need not look the key up again");
}

#[tokio::test]
async fn audited_store_conforms() {
    Conformance::of(async || AuditedStore::new(MemoryStore::new(), |_| {})).run().await.unwrap();
}

#[derive(Clone, Default)]
struct Trail(Arc<Mutex<Vec<Told>>>);

#[derive(Debug, PartialEq)]
struct Told {
    change: &'static str,
    outcome: &'static str,
    key: Option<KeyId>,
    made: Option<KeyId>,
    actor: Option<String>,
    disabled: Option<bool>,
}

fn told(change: &'static str, outcome: &'static str, key: Option<KeyId>, made: Option<KeyId>) -> Told {
    Told { change, outcome, key, made, actor: None, disabled: None }
}

impl Trail {
    fn of<S: KeyManager>(&self, store: S) -> AuditedStore<S> {
        let trail = self.clone();
        AuditedStore::new(store, move |event: &ChangeEvent<'_>| {
            assert_eq!(event.organization(), &acme());
            trail.0.lock().unwrap().push(Told {
                change: event.change().code(),
                outcome: event.outcome().code(),
                key: event.key(),
                made: event.record().map(tower_api_key::KeyRecord::id),
                actor: event.actor().map(str::to_owned),
                disabled: event.policy().map(|policy| policy.is_disabled()),
            });
        })
    }

    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn acme() -> OrganizationId {
    "acme".parse().unwrap()
}
