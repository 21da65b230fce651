use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{BoxError, KeyStore};
use crate::key::{KeyFormat, KeyId, KeyRecord, KeySecret, OrganizationId, OrganizationPolicy, RandomError};
use crate::scope::{Catalogue, ScopeSet, UnknownScope};
use crate::time::Timestamp;
use crate::usage::KeyUsage;

pub use super::listing::{Cursor, InvalidCursor, ListKeys, Page};
pub use super::new_key::{InvalidKey, NewKey, StoredCredential};

/// Issues, lists, revokes, regenerates and narrows keys.
///
/// Every method takes the organization of whoever asks: the key of another one is not found. When a method has
/// returned, its effect is visible to every lookup that starts afterwards in this process.
///
/// What people call is at the top; what a store must provide is below it, and works on digests only, so that
/// no store ever sees a key.
///
/// ```
/// use tower_api_key::{Access, KeyManager, KeyStore, MemoryStore, NewKey, OrganizationId, scope::avala};
///
/// # futures::executor::block_on(async {
/// let keys = MemoryStore::new();
/// let acme: OrganizationId = "acme".parse()?;
///
/// let issued = keys.issue(&acme, NewKey::new("nightly export", Access::scoped([avala::EXPORTS_CREATE]))?).await?;
/// println!("shown once: {}", issued.secret.expose_secret());
///
/// let regenerated = keys.regenerate(&acme, issued.record.id(), Default::default()).await?;
/// assert_ne!(regenerated.record.id(), issued.record.id());
/// let old = keys.get(&acme, issued.record.id()).await?;
/// assert_eq!(old.replaced_by(), Some(regenerated.record.id()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub trait KeyManager: KeyStore {
    /// Issues a new key. The secret in the answer is the only copy there is.
    ///
    /// # Errors
    /// When a scope is not in the catalogue, there is no randomness, or the store fails.
    fn issue(
        &self,
        organization: &OrganizationId,
        key: NewKey,
    ) -> impl Future<Output = Result<IssuedKey, ManageError>> + Send {
        async move {
            self.issue_policy().check(&key)?;
            let secret = self.issue_policy().format.generate()?;
            let record = self.insert(organization, key, StoredCredential::of(&secret)).await?;
            Ok(IssuedKey { record, secret })
        }
    }

    /// Takes over a key that was issued elsewhere, by its digest.
    ///
    /// # Errors
    /// When a scope is not in the catalogue, the digest is taken, or the store fails.
    fn import(
        &self,
        organization: &OrganizationId,
        key: NewKey,
        credential: StoredCredential,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, ManageError>> + Send {
        async move {
            self.issue_policy().check(&key)?;
            self.insert(organization, key, credential).await
        }
    }

    /// Makes a new key with a new id in place of an old one, which is dead when this returns: same name, same
    /// access. Works on an expired key, and so restores access.
    ///
    /// # Errors
    /// [`ManageError::Conflict`] when the key is already revoked or replaced; of several callers at once, one
    /// succeeds. [`ManageError::NotFound`] when the organization has no such key.
    fn regenerate(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expiry: Expiry,
    ) -> impl Future<Output = Result<IssuedKey, ManageError>> + Send {
        async move {
            let secret = self.issue_policy().format.generate()?;
            let record = self.replace(organization, id, expiry, StoredCredential::of(&secret)).await?;
            Ok(IssuedKey { record, secret })
        }
    }

    /// What new keys look like and may ask for.
    fn issue_policy(&self) -> &IssuePolicy {
        static DEFAULT: IssuePolicy = IssuePolicy::DEFAULT;
        &DEFAULT
    }

    /// The record of one key.
    ///
    /// # Errors
    /// [`ManageError::NotFound`] when the organization has no such key, [`ManageError::Store`] when the store fails.
    fn get(
        &self,
        organization: &OrganizationId,
        id: KeyId,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, ManageError>> + Send;

    /// A page of the organization's keys, the newest first.
    ///
    /// # Errors
    /// [`ManageError::Store`] when the store fails.
    fn list(
        &self,
        organization: &OrganizationId,
        query: &ListKeys,
    ) -> impl Future<Output = Result<Page, ManageError>> + Send;

    /// Revokes a key for good. Revoking it again changes nothing and returns the same record.
    ///
    /// # Errors
    /// [`ManageError::NotFound`] when the organization has no such key, [`ManageError::Store`] when the store
    /// fails: then the key may or may not be revoked, and the caller must try again.
    fn revoke(
        &self,
        organization: &OrganizationId,
        id: KeyId,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, ManageError>> + Send;

    /// Takes scopes away from a key. It keeps exactly `scopes`, of which it must have every one; an empty set
    /// leaves a key that may call only what any key may.
    ///
    /// # Errors
    /// [`ManageError::WouldWiden`] when the key does not have all of `scopes` now, [`ManageError::Conflict`]
    /// when it is revoked, [`ManageError::TooManyScopes`] for more than [`ScopeSet::MAX_LEN`],
    /// [`ManageError::NotFound`] when the organization has no such key.
    fn narrow(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        scopes: ScopeSet,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, ManageError>> + Send;

    /// What the organization demands of its keys; nothing, where nobody ever said.
    ///
    /// # Errors
    /// When the store fails.
    fn policy(
        &self,
        organization: &OrganizationId,
    ) -> impl Future<Output = Result<OrganizationPolicy, ManageError>> + Send;

    /// Sets what the organization demands of its keys, those that were issued before included.
    ///
    /// # Errors
    /// When the store fails.
    fn set_policy(
        &self,
        organization: &OrganizationId,
        policy: OrganizationPolicy,
    ) -> impl Future<Output = Result<(), ManageError>> + Send;

    /// Adds to how often keys were used, and when last: one statement for all of them. What is later in the
    /// store stays, and a key that is not there is passed over. By default nothing is kept.
    ///
    /// # Errors
    /// When the store fails.
    fn record_usage(&self, usage: &[KeyUsage]) -> impl Future<Output = Result<(), ManageError>> + Send {
        let _ = usage;
        async { Ok(()) }
    }

    /// Stores a new key. For those who write a store; callers use [`issue`](Self::issue) or
    /// [`import`](Self::import), which check the key first.
    ///
    /// # Errors
    /// [`ManageError::AlreadyExists`] when the digest is stored already, in whatever organization.
    fn insert(
        &self,
        organization: &OrganizationId,
        key: NewKey,
        credential: StoredCredential,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, ManageError>> + Send;

    /// Stores the replacement of a key and revokes the old one in the same step. For those who write a store;
    /// callers use [`regenerate`](Self::regenerate).
    ///
    /// # Errors
    /// As [`regenerate`](Self::regenerate).
    fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expiry: Expiry,
        credential: StoredCredential,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, ManageError>> + Send;
}

/// What new keys look like and may ask for. The default is the documented format and no catalogue.
#[derive(Clone, Debug, Default)]
pub struct IssuePolicy {
    format: KeyFormat,
    catalogue: Option<Catalogue>,
}

impl IssuePolicy {
    const DEFAULT: Self = Self { format: KeyFormat::AVALA, catalogue: None };

    /// Issues keys of this format.
    #[must_use]
    pub fn with_format(mut self, format: KeyFormat) -> Self {
        self.format = format;
        self
    }

    /// Refuses to issue a key with a scope that is not in the catalogue.
    #[must_use]
    pub fn with_catalogue(mut self, catalogue: Catalogue) -> Self {
        self.catalogue = Some(catalogue);
        self
    }

    /// The scopes that new keys may have, if they are limited.
    #[must_use]
    pub const fn catalogue(&self) -> Option<&Catalogue> {
        self.catalogue.as_ref()
    }

    fn check(&self, key: &NewKey) -> Result<(), UnknownScope> {
        self.catalogue.as_ref().map_or(Ok(()), |catalogue| catalogue.check(key.access()))
    }
}

/// A new key: its record, and the secret that is shown this once.
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuedKey {
    /// What the store keeps.
    pub record: Arc<KeyRecord>,
    /// The key itself.
    pub secret: KeySecret,
}

/// When a regenerated key expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a store must handle each of these")]
pub enum Expiry {
    /// After the old key's lifetime, counted from now; never, if the old key had no expiry.
    #[default]
    SameLifetime,
    /// At this time.
    At(SystemTime),
    /// Never.
    Never,
}

impl Expiry {
    /// The expiry of a key that replaces `old` at the time `now`.
    #[must_use]
    pub fn resolve(self, old: &KeyRecord, now: SystemTime) -> Option<SystemTime> {
        match self {
            Self::Never => None,
            Self::At(time) => Some(time),
            Self::SameLifetime => {
                let lifetime = old.expires_at()?.duration_since(old.created_at()).unwrap_or(Duration::ZERO);
                Some(Timestamp::floor(now).saturating_add(lifetime).system_time())
            }
        }
    }
}

/// Why a key could not be managed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
    /// The organization has no such key.
    #[error("the organization has no such key")]
    NotFound,
    /// The key is already revoked or replaced.
    #[error("the key is already revoked or replaced")]
    Conflict,
    /// The key does not have all of these scopes now.
    #[error("a key can only be narrowed, and it does not have all of these scopes")]
    WouldWiden,
    /// More scopes than one key may have.
    #[error("a key has at most {} scopes", ScopeSet::MAX_LEN)]
    TooManyScopes,
    /// A key with this digest or id is stored already.
    #[error("a key with this digest or id is stored already")]
    AlreadyExists,
    /// A scope is not in the catalogue.
    #[error(transparent)]
    UnknownScope(#[from] UnknownScope),
    /// There was no randomness to make a key or an id from.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The store failed.
    #[error("the key store failed")]
    Store(#[source] BoxError),
}

impl ManageError {
    /// The store failed with this error.
    pub fn store(error: impl Into<BoxError>) -> Self {
        Self::Store(error.into())
    }
}

/// Whether this key may be left with these scopes.
pub(super) fn check_narrowing(key: &KeyRecord, scopes: &ScopeSet) -> Result<(), ManageError> {
    if key.is_revoked() {
        Err(ManageError::Conflict)
    } else if scopes.len() > ScopeSet::MAX_LEN {
        Err(ManageError::TooManyScopes)
    } else if key.access().scopes().is_some_and(|have| !have.contains_all(scopes)) {
        Err(ManageError::WouldWiden)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyDigest;
    use crate::scope::{Access, Scope};

    #[test]
    fn the_same_lifetime_counts_from_now() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let old = KeyRecord::new(KeyId::from_u128(1), KeyDigest::of(b"x"), "acme".parse().unwrap(), Access::Full)
            .with_created_at(at(100));
        assert_eq!(Expiry::SameLifetime.resolve(&old, at(1000)), None);
        let old = old.with_expires_at(at(160));
        assert_eq!(Expiry::SameLifetime.resolve(&old, at(1000)), Some(at(1060)));
        assert_eq!(Expiry::Never.resolve(&old, at(1000)), None);
        assert_eq!(Expiry::At(at(5)).resolve(&old, at(1000)), Some(at(5)));
    }

    #[test]
    fn a_key_with_as_many_scopes_as_there_may_be_can_keep_them_all() {
        let scopes = |count| (0..count).map(|n| Scope::new(format!("s{n}")).unwrap()).collect::<ScopeSet>();
        let most = scopes(ScopeSet::MAX_LEN);
        let access = Access::Scoped(scopes(ScopeSet::MAX_LEN + 1));
        let key = KeyRecord::new(KeyId::from_u128(1), KeyDigest::of(b"key"), "acme".parse().unwrap(), access);
        assert!(check_narrowing(&key, &most).is_ok());
        let more = check_narrowing(&key, &scopes(ScopeSet::MAX_LEN + 1));
        assert!(matches!(more, Err(ManageError::TooManyScopes)));
    }
}
