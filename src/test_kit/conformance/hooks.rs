//! What the caller of a suite hands over, behind pointers, so that a suite has no type parameter but its store.

use futures::future::LocalBoxFuture;

use super::super::ManualClock;
use crate::key::{KeyHint, KeyRecord, OrganizationId};
use crate::scope::{Access, Scope};
use crate::store::{BoxError, KeyManager, NewKey, StoredCredential};

pub(super) struct Hooks<'a, S> {
    pub(super) fresh: Box<dyn Fresh<S> + 'a>,
    pub(super) keep: Box<dyn Keep<S> + 'a>,
    pub(super) organization: Option<Box<dyn MakeOrganization<S> + 'a>>,
    pub(super) outage: Option<Box<dyn BreakStore<S> + 'a>>,
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

/// Stores the key of a record in the state that the record is in.
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

/// Makes a store unable to tell.
pub(super) trait BreakStore<S> {
    fn break_store<'a>(&'a self, store: &'a S) -> LocalBoxFuture<'a, ()>;
}

impl<S, F: AsyncFn(&S)> BreakStore<S> for F {
    fn break_store<'a>(&'a self, store: &'a S) -> LocalBoxFuture<'a, ()> {
        Box::pin(self(store))
    }
}

/// Keeps a key the way people do who manage keys. Not through `import`, so that a catalogue does not get in the
/// way: what was issued before a scope left the catalogue must be kept as well.
pub(super) async fn keep_by_managing<S: KeyManager>(store: &S, record: KeyRecord) -> Result<(), BoxError> {
    const TO_BE_TAKEN_AWAY: Scope = Scope::from_static("conformance.none");
    let organization = record.organization();
    let grants_nothing = *record.access() == Access::scoped([]);
    let access = if grants_nothing { Access::scoped([TO_BE_TAKEN_AWAY]) } else { record.access().clone() };
    let key = NewKey::new(record.name(), access)?.with_expires_at(record.expires_at());
    let credential = StoredCredential::from_digest(*record.digest()).with_hint(KeyHint::from_stored(record.hint()));

    let kept = store.insert(organization, key, credential).await?;
    if grants_nothing {
        store.narrow(organization, kept.id(), [].into()).await?;
    }
    if record.is_revoked() {
        store.revoke(organization, kept.id()).await?;
    }
    Ok(())
}
