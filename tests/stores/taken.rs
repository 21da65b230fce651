//! The caller of a backend chooses the ids. One that is taken is rejected, and the key that has it stays as it was.

use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::store::{BackendError, DynKeyBackend, InsertRules, ListKeys, NewRecord, Replacement};
use tower_api_key::{Access, MemoryStore, OrganizationId};

use crate::support::calls::{acme, full};
use crate::support::manage::Manage;

#[tokio::test]
async fn taken_id_in_memory_is_rejected() {
    taken_id_is_rejected(MemoryStore::new()).await;
    taken_id_is_rejected(DynKeyBackend::new(MemoryStore::new())).await;
    #[cfg(feature = "cache")]
    taken_id_is_rejected(tower_api_key::store::CachedStore::new(MemoryStore::new())).await;
}

pub(crate) async fn taken_id_is_rejected(store: impl Manage) {
    let (keys, globex) = (store.manage(), OrganizationId::new("globex").unwrap());
    let own = keys.issue(acme(), full()).await.unwrap().record;
    let other = keys.issue(&globex, full()).await.unwrap().record;
    let unchanged = async |own: &KeyRecord| {
        assert_eq!(*store.get(acme(), own.id()).await.unwrap(), *own);
        assert_eq!(*store.get(&globex, other.id()).await.unwrap(), *other);
        for organization in [acme(), &globex] {
            assert_eq!(store.list(organization.into(), &ListKeys::new()).await.unwrap().keys.len(), 1);
        }
        let found = store.find(&unused()).await.map_err(Into::into).unwrap();
        assert!(found.is_none(), "{found:?}");
    };
    for organization in [acme(), &globex] {
        assert_taken(&store.insert(new(own.id(), organization), InsertRules::new()).await);
        unchanged(&own).await;
    }
    for id in [own.id(), other.id()] {
        assert_taken(&store.replace(acme(), own.id(), replacement(id), InsertRules::new()).await);
        unchanged(&own).await;
    }
    // A revoked key cannot come back as another one.
    let own = keys.revoke(acme(), own.id()).await.unwrap();
    assert_taken(&store.insert(new(own.id(), acme()), InsertRules::new()).await);
    unchanged(&own).await;
}

fn assert_taken<T: std::fmt::Debug>(result: &Result<T, BackendError>) {
    assert!(matches!(result, Err(BackendError::AlreadyExists)), "{result:?}");
}

/// The digest of no key.
fn unused() -> KeyDigest {
    KeyDigest::hash(b"unused")
}

fn new(id: KeyId, organization: &OrganizationId) -> NewRecord {
    NewRecord { name: "new".into(), ..NewRecord::new(id, unused(), organization.clone(), Access::Full) }
}

fn replacement(id: KeyId) -> Replacement {
    Replacement::new(id, unused())
}
