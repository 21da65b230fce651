//! One event for each change of a key: who was issued what, and what became of it.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::key::{KeyDigest, KeyId, KeyRecord, OrganizationId, OrganizationPolicy};
use crate::scope::ScopeSet;
use crate::store::{
    Expiry, IssuePolicy, IssuedKey, KeyManager, KeyStore, ListKeys, Lookup, ManageError, NewKey, Page, StoreId,
    StoredCredential,
};
use crate::usage::KeyUsage;

/// A store that reports every change which is made through it: the audit trail of who may do what.
///
/// Lookups, lists and usage pass through unreported. The hook runs on the caller's own task, when the change is
/// done, has failed, or was given up by its caller, and must not block. It never sees a key.
///
/// Put it outermost, around a cache too. A clone shares the hook; [`on_behalf_of`](Self::on_behalf_of) makes one that
/// says who asked.
///
/// ```
/// use tower_api_key::{Access, AuditedStore, Change, KeyManager, MemoryStore, NewKey};
///
/// # futures::executor::block_on(async {
/// let keys = AuditedStore::new(MemoryStore::new(), |event| {
///     eprintln!("{} of {}: {:?}", event.change().code(), event.organization(), event.key());
/// #   assert_eq!(event.actor(), Some("ada@example.com"));
/// });
/// let keys = keys.on_behalf_of("ada@example.com");
/// let issued = keys.issue(&"acme".parse()?, NewKey::new("ci", Access::Full)?).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct AuditedStore<S> {
    store: S,
    hook: Hook,
    actor: Option<Arc<str>>,
}

type Hook = Arc<dyn Fn(&ChangeEvent<'_>) + Send + Sync>;

/// A change that was asked of an [`AuditedStore`].
#[derive(Clone, Copy, Debug)]
pub struct ChangeEvent<'a> {
    change: Change,
    outcome: ChangeOutcome<'a>,
    actor: Option<&'a str>,
    organization: &'a OrganizationId,
    key: Option<KeyId>,
    record: Option<&'a KeyRecord>,
    policy: Option<OrganizationPolicy>,
}

/// What was to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// A new key.
    Issued,
    /// A key that was issued elsewhere.
    Imported,
    /// The end of a key.
    Revoked,
    /// A new key in place of an old one.
    Regenerated,
    /// Fewer scopes.
    Narrowed,
    /// What an organization demands of its keys.
    PolicyChanged,
}

/// What became of a change.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ChangeOutcome<'a> {
    /// It is made.
    Done,
    /// It was refused, or the store failed; where the store failed, it may be made all the same.
    Failed(&'a ManageError),
    /// The caller stopped waiting. It may be made or not.
    Unknown,
}

impl<S> AuditedStore<S> {
    /// Reports the changes of this store to this hook.
    pub fn new(store: S, hook: impl Fn(&ChangeEvent<'_>) + Send + Sync + 'static) -> Self {
        Self { store, hook: Arc::new(hook), actor: None }
    }

    /// A handle to the same keys, whose changes are reported as this person's or key's.
    #[must_use]
    pub fn on_behalf_of(&self, actor: impl Into<Arc<str>>) -> Self
    where
        S: Clone,
    {
        Self { actor: Some(actor.into()), ..self.clone() }
    }

    /// The store behind. What is changed through it is not reported.
    pub const fn get_ref(&self) -> &S {
        &self.store
    }

    /// Awaits a change, and reports it once.
    async fn report<T>(
        &self,
        asked: ChangeEvent<'_>,
        change: impl Future<Output = Result<T, ManageError>> + Send,
        record: fn(&T) -> Option<&KeyRecord>,
    ) -> Result<T, ManageError> {
        let unfinished = Unfinished { hook: Some(&self.hook), asked };
        let result = change.await;
        let (outcome, record) = match &result {
            Ok(made) => (ChangeOutcome::Done, record(made)),
            Err(error) => (ChangeOutcome::Failed(error), None),
        };
        unfinished.finish(outcome, record);
        result
    }

    fn asks<'a>(&'a self, change: Change, organization: &'a OrganizationId, key: Option<KeyId>) -> ChangeEvent<'a> {
        let actor = self.actor.as_deref();
        ChangeEvent { change, outcome: ChangeOutcome::Unknown, actor, organization, key, record: None, policy: None }
    }
}

impl<'a> ChangeEvent<'a> {
    /// What was to be changed.
    #[must_use]
    pub const fn change(&self) -> Change {
        self.change
    }

    /// What became of it.
    #[must_use]
    pub const fn outcome(&self) -> ChangeOutcome<'a> {
        self.outcome
    }

    /// Who asked, if the caller [said so](AuditedStore::on_behalf_of).
    #[must_use]
    pub const fn actor(&self) -> Option<&'a str> {
        self.actor
    }

    /// The organization of the caller.
    #[must_use]
    pub const fn organization(&self) -> &'a OrganizationId {
        self.organization
    }

    /// The key that the caller named: of a regenerated key, the old one. Otherwise the new one, once it is there.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        self.key.or_else(|| self.record.map(KeyRecord::id))
    }

    /// The key as it is after the change: of a regenerated key, the new one.
    #[must_use]
    pub const fn record(&self) -> Option<&'a KeyRecord> {
        self.record
    }

    /// What the organization shall demand of its keys, where that is the change.
    #[must_use]
    pub const fn policy(&self) -> Option<OrganizationPolicy> {
        self.policy
    }
}

impl Change {
    /// A short word for logs and metrics, stable between releases.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Imported => "imported",
            Self::Revoked => "revoked",
            Self::Regenerated => "regenerated",
            Self::Narrowed => "narrowed",
            Self::PolicyChanged => "policy_changed",
        }
    }
}

impl ChangeOutcome<'_> {
    /// A short word for logs and metrics, stable between releases: `done`, `refused`, `failed` (the store, so that the
    /// change may be made all the same) or `unknown`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed(ManageError::Store(_)) => "failed",
            Self::Failed(_) => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// A change that nobody has reported yet. Dropped, it is reported with an unknown outcome.
struct Unfinished<'a> {
    hook: Option<&'a Hook>,
    asked: ChangeEvent<'a>,
}

impl Unfinished<'_> {
    fn finish(mut self, outcome: ChangeOutcome<'_>, record: Option<&KeyRecord>) {
        if let Some(hook) = self.hook.take() {
            hook(&ChangeEvent { outcome, record, ..self.asked });
        }
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(hook) = self.hook.take() {
            // This may run while a panic of the store unwinds, where a second panic would abort.
            if catch_unwind(AssertUnwindSafe(|| hook(&self.asked))).is_err() {
                log::error!("the audit hook panicked on a change that was given up");
            }
        }
    }
}

impl<S: KeyStore> KeyStore for AuditedStore<S> {
    type Error = S::Error;

    fn find(&self, digest: &KeyDigest) -> impl Future<Output = Result<Option<Arc<KeyRecord>>, S::Error>> + Send {
        self.store.find(digest)
    }

    fn find_now(&self, digest: &KeyDigest) -> Lookup {
        self.store.find_now(digest)
    }

    fn store_id(&self) -> Option<StoreId> {
        self.store.store_id()
    }
}

impl<S: KeyManager> KeyManager for AuditedStore<S> {
    // Both provided by the trait, and forwarded so that an issued key is told from an imported one, and one that the
    // catalogue refuses is told at all.
    async fn issue(&self, organization: &OrganizationId, key: NewKey) -> Result<IssuedKey, ManageError> {
        let asked = self.asks(Change::Issued, organization, None);
        self.report(asked, self.store.issue(organization, key), |issued| Some(&issued.record)).await
    }

    async fn import(
        &self,
        organization: &OrganizationId,
        key: NewKey,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let asked = self.asks(Change::Imported, organization, None);
        self.report(asked, self.store.import(organization, key, credential), |record| Some(record)).await
    }

    fn issue_policy(&self) -> &IssuePolicy {
        self.store.issue_policy()
    }

    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        self.store.get(organization, id).await
    }

    async fn list(&self, organization: &OrganizationId, query: &ListKeys) -> Result<Page, ManageError> {
        self.store.list(organization, query).await
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        let asked = self.asks(Change::Revoked, organization, Some(id));
        self.report(asked, self.store.revoke(organization, id), |record| Some(record)).await
    }

    async fn narrow(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        scopes: ScopeSet,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let asked = self.asks(Change::Narrowed, organization, Some(id));
        self.report(asked, self.store.narrow(organization, id, scopes), |record| Some(record)).await
    }

    async fn policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, ManageError> {
        self.store.policy(organization).await
    }

    async fn set_policy(&self, organization: &OrganizationId, policy: OrganizationPolicy) -> Result<(), ManageError> {
        let asked = self.asks(Change::PolicyChanged, organization, None);
        let asked = ChangeEvent { policy: Some(policy), ..asked };
        self.report(asked, self.store.set_policy(organization, policy), |()| None).await
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), ManageError> {
        self.store.record_usage(usage).await
    }

    async fn insert(
        &self,
        organization: &OrganizationId,
        key: NewKey,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let asked = self.asks(Change::Imported, organization, None);
        self.report(asked, self.store.insert(organization, key, credential), |record| Some(record)).await
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expiry: Expiry,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let asked = self.asks(Change::Regenerated, organization, Some(id));
        self.report(asked, self.store.replace(organization, id, expiry, credential), |record| Some(record)).await
    }
}

impl<S: fmt::Debug> fmt::Debug for AuditedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditedStore").field("store", &self.store).field("actor", &self.actor).finish_non_exhaustive()
    }
}
