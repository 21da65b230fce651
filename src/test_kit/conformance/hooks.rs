//! What the caller of a suite passes to it, behind pointers, so that a suite has no type parameter but its store.

use futures::future::LocalBoxFuture;

use super::super::ManualClock;
use crate::BoxError;
use crate::key::{KeyDigest, KeyRecord, OrganizationId};
use crate::scope::{Access, Scope};
use crate::store::{
    BackgroundWork, Changes, InsertRules, KeyBackend, KeyStore, KeyUpdate, Lookup, NewRecord, StoreId, UsageSink,
};

pub(super) struct Hooks<'a, S> {
    pub(super) fresh: Box<dyn Fresh<S> + 'a>,
    pub(super) keep: Box<dyn Keep<S> + 'a>,
    pub(super) organization: Option<Box<dyn MakeOrganization<S> + 'a>>,
    pub(super) outage: Option<Box<dyn BreakStore<S> + 'a>>,
    pub(super) inner: Option<Box<dyn Inner>>,
    pub(super) clock: Option<ManualClock>,
}

/// Opens a store for one check.
pub(super) trait Fresh<S> {
    fn fresh(&self) -> LocalBoxFuture<'_, S>;
}

impl<S, F: AsyncFn() -> S> Fresh<S> for F {
    fn fresh(&self) -> LocalBoxFuture<'_, S> {
        Box::pin(self())
    }
}

/// Stores the key of a record with the status that the record has.
pub(super) trait Keep<S> {
    fn keep<'a>(&'a self, store: &'a S, record: KeyRecord) -> LocalBoxFuture<'a, Result<(), BoxError>>;
}

impl<S, F: AsyncFn(&S, KeyRecord) -> Result<(), BoxError>> Keep<S> for F {
    fn keep<'a>(&'a self, store: &'a S, record: KeyRecord) -> LocalBoxFuture<'a, Result<(), BoxError>> {
        Box::pin(self(store, record))
    }
}

/// Creates an organization that may have keys.
pub(super) trait MakeOrganization<S> {
    fn make<'a>(&'a self, store: &'a S) -> LocalBoxFuture<'a, OrganizationId>;
}

impl<S, F: AsyncFn(&S) -> OrganizationId> MakeOrganization<S> for F {
    fn make<'a>(&'a self, store: &'a S) -> LocalBoxFuture<'a, OrganizationId> {
        Box::pin(self(store))
    }
}

/// Makes a store unable to answer.
pub(super) trait BreakStore<S> {
    fn break_store<'a>(&'a self, store: &'a S) -> LocalBoxFuture<'a, ()>;
}

impl<S, F: AsyncFn(&S)> BreakStore<S> for F {
    fn break_store<'a>(&'a self, store: &'a S) -> LocalBoxFuture<'a, ()> {
        Box::pin(self(store))
    }
}

/// What a wrapper must forward to the store that it wraps.
pub(super) trait Inner {
    fn try_find(&self, digest: &KeyDigest) -> Lookup;
    fn max_batch(&self) -> usize;
    fn id(&self) -> Option<StoreId>;
    fn changes(&self) -> Option<&Changes>;
    fn usage_sink(&self) -> Option<&UsageSink>;
    fn background_work(&self) -> Option<BackgroundWork>;
}

impl<S: KeyStore> Inner for S {
    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        KeyStore::try_find(self, digest)
    }

    fn max_batch(&self) -> usize {
        KeyStore::max_batch(self)
    }

    fn id(&self) -> Option<StoreId> {
        KeyStore::id(self)
    }

    fn changes(&self) -> Option<&Changes> {
        KeyStore::changes(self)
    }

    fn usage_sink(&self) -> Option<&UsageSink> {
        KeyStore::usage_sink(self)
    }

    fn background_work(&self) -> Option<BackgroundWork> {
        KeyStore::background_work(self)
    }
}

/// Keeps a key through the calls of a manager. A new key must have a scope or full access, so one that grants nothing
/// loses its scope by an update.
pub(super) async fn keep_by_managing<S: KeyBackend>(store: &S, record: KeyRecord) -> Result<(), BoxError> {
    const TO_BE_REMOVED: Scope = Scope::from_static("conformance.none");
    let organization = record.organization();
    let grants_nothing = *record.access() == Access::scoped([]);
    let access = if grants_nothing { Access::scoped([TO_BE_REMOVED]) } else { record.access().clone() };
    let new = NewRecord {
        hint: record.hint().clone(),
        name: record.name().into(),
        expires_at: record.expires_at(),
        ..NewRecord::new(record.id(), *record.digest(), organization.clone(), access)
    };

    let kept = store.insert(new, InsertRules::new()).await?;
    if grants_nothing {
        store.update(organization, kept.id(), KeyUpdate::new().with_scopes([])).await?;
    }
    if record.is_revoked() {
        store.revoke(organization, kept.id()).await?;
    }
    Ok(())
}
