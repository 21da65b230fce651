use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{BoxError, KeyStore};
use crate::key::{
    KeyDigest, KeyFormat, KeyHint, KeyId, KeyRecord, KeySecret, KeyStatus, OrganizationId, OrganizationPolicy,
    RandomError,
};
use crate::scope::{Access, Catalogue, ScopeSet, UnknownScope};
use crate::time::Timestamp;
use crate::usage::KeyUsage;

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
    /// [`ManageError::NotFound`] when the organization has no such key, or when the store fails.
    fn get(
        &self,
        organization: &OrganizationId,
        id: KeyId,
    ) -> impl Future<Output = Result<Arc<KeyRecord>, ManageError>> + Send;

    /// A page of the organization's keys, the newest first.
    ///
    /// # Errors
    /// When the store fails.
    fn list(
        &self,
        organization: &OrganizationId,
        query: &ListKeys,
    ) -> impl Future<Output = Result<Page, ManageError>> + Send;

    /// Revokes a key for good. Revoking it again changes nothing and returns the same record.
    ///
    /// # Errors
    /// [`ManageError::NotFound`] when the organization has no such key, or when the store fails: then the key
    /// may or may not be revoked, and the caller must try again.
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
    /// when it is revoked, [`ManageError::NotFound`] when the organization has no such key.
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
        self.catalogue.as_ref().map_or(Ok(()), |catalogue| catalogue.check(&key.access))
    }
}

/// What the owner of a new key chooses.
#[derive(Clone, Debug)]
pub struct NewKey {
    name: Box<str>,
    access: Access,
    expires_at: Option<SystemTime>,
}

impl NewKey {
    /// The most characters a name may have.
    pub const MAX_NAME_LEN: usize = 100;

    /// A key with this name and access, without an expiry.
    ///
    /// # Errors
    /// When the name is blank, longer than 100 characters or has control characters, when scoped access has no
    /// scope, or when it has more than [`ScopeSet::MAX_LEN`].
    pub fn new(name: impl Into<Box<str>>, access: Access) -> Result<Self, InvalidKey> {
        let name = name.into();
        if name.trim().is_empty() || name.chars().count() > Self::MAX_NAME_LEN || name.chars().any(char::is_control) {
            return Err(InvalidKey::Name);
        }
        match access.scopes().map(ScopeSet::len) {
            Some(0) => Err(InvalidKey::NoScopes),
            Some(number) if number > ScopeSet::MAX_LEN => Err(InvalidKey::TooManyScopes),
            _ => Ok(Self { name, access, expires_at: None }),
        }
    }

    /// The first moment at which the key is no longer valid.
    #[must_use]
    pub fn with_expires_at(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        self.expires_at = time.into();
        self
    }

    /// What its owner calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the key may do.
    #[must_use]
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// The first moment at which the key is no longer valid.
    #[must_use]
    pub const fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// The record of this key, for a store to keep.
    #[must_use]
    pub fn into_record(
        self,
        id: KeyId,
        organization: OrganizationId,
        credential: StoredCredential,
        created_at: SystemTime,
    ) -> KeyRecord {
        KeyRecord::new(id, credential.digest, organization, self.access)
            .with_name(self.name)
            .with_hint(credential.hint)
            .with_created_at(created_at)
            .with_expires_at(self.expires_at)
    }
}

/// Why a key cannot be issued as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// The name is blank, too long or has control characters.
    #[error("a key name has 1 to 100 characters, not all blank, none a control character")]
    Name,
    /// Scoped access without a scope would open nothing; full access must be asked for by name.
    #[error("scoped access needs at least one scope")]
    NoScopes,
    /// More scopes than one key may have.
    #[error("a key has at most {} scopes", ScopeSet::MAX_LEN)]
    TooManyScopes,
}

/// What a store keeps of a key itself: its digest and what a list may show.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredCredential {
    /// SHA-256 of the key.
    pub digest: KeyDigest,
    /// Prefix and last four characters.
    pub hint: KeyHint,
}

impl StoredCredential {
    /// Of a key that is at hand.
    #[must_use]
    pub fn of(secret: &KeySecret) -> Self {
        Self::of_presented(secret.expose_secret().as_bytes())
    }

    /// Of a key that was issued elsewhere, in the bytes in which clients present it.
    #[must_use]
    pub fn of_presented(presented: &[u8]) -> Self {
        Self { digest: KeyDigest::of(presented), hint: KeyHint::of(presented) }
    }

    /// Of a key of which only the digest is known.
    #[must_use]
    pub fn from_digest(digest: KeyDigest) -> Self {
        Self { digest, hint: KeyHint::default() }
    }

    /// With what lists shall show of it.
    #[must_use]
    pub fn with_hint(mut self, hint: KeyHint) -> Self {
        self.hint = hint;
        self
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

/// Which keys to list.
///
/// ```
/// use tower_api_key::{KeyStatus, ListKeys};
///
/// let query = ListKeys::new().with_status(KeyStatus::Active).with_limit(20);
/// assert_eq!(query.limit(), 20);
/// assert_eq!(ListKeys::new().with_limit(1_000_000).limit(), ListKeys::MAX_LIMIT);
/// ```
#[derive(Clone, Debug)]
pub struct ListKeys {
    status: Option<KeyStatus>,
    after: Option<Cursor>,
    limit: usize,
}

impl ListKeys {
    /// The longest page there is.
    pub const MAX_LIMIT: usize = 1000;

    /// The first 100 keys, the newest first.
    #[must_use]
    pub const fn new() -> Self {
        Self { status: None, after: None, limit: 100 }
    }

    /// Only keys in this state.
    #[must_use]
    pub const fn with_status(mut self, status: KeyStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// The page after the one that ended with this cursor.
    #[must_use]
    pub fn with_after(mut self, cursor: impl Into<Option<Cursor>>) -> Self {
        self.after = cursor.into();
        self
    }

    /// At most this many keys: at least 1, at most [`MAX_LIMIT`](Self::MAX_LIMIT).
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, Self::MAX_LIMIT);
        self
    }

    /// Only keys in this state, or in any.
    #[must_use]
    pub const fn status(&self) -> Option<KeyStatus> {
        self.status
    }

    /// Where the page begins.
    #[must_use]
    pub const fn after(&self) -> Option<Cursor> {
        self.after
    }

    /// At most this many keys.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }
}

impl Default for ListKeys {
    fn default() -> Self {
        Self::new()
    }
}

/// A page of keys, the newest first.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// The keys of this page.
    pub keys: Vec<Arc<KeyRecord>>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

impl Page {
    /// A page of `limit` keys out of those found, of which there should be one more if there is a next page.
    #[must_use]
    pub fn cut(mut found: Vec<Arc<KeyRecord>>, limit: usize) -> Self {
        let more = found.len() > limit;
        found.truncate(limit);
        let next = if more { found.last().map(|last| Cursor::at(last)) } else { None };
        Self { keys: found, next }
    }
}

/// A place in a list of keys: behind a key with this creation time and id. Travels as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    created: Timestamp,
    id: KeyId,
}

impl Cursor {
    /// The place behind this key.
    #[must_use]
    pub fn at(record: &KeyRecord) -> Self {
        Self { created: Timestamp::floor(record.created_at()), id: record.id() }
    }

    /// When the key before this place was made.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.created.system_time()
    }

    /// The key before this place.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.created.seconds(), self.id)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (seconds, id) = text.split_once('_').ok_or(InvalidCursor)?;
        let seconds = seconds.parse().map_err(|_| InvalidCursor)?;
        Ok(Self { created: Timestamp::from_seconds(seconds), id: id.parse().map_err(|_| InvalidCursor)? })
    }
}

/// The text is not a cursor that a list returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor that a list returned")]
pub struct InvalidCursor;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::Scope;

    #[test]
    fn case_057_case_069_a_bad_key_is_refused_before_it_is_issued() {
        for name in ["", "  ", "nul\0", "line\nbreak", "\u{1b}[31m", &"x".repeat(101)] {
            assert_eq!(NewKey::new(name, Access::Full).unwrap_err(), InvalidKey::Name, "{name:?}");
        }
        for name in ["'; drop table keys; --", "<img src=x onerror=alert(1)>", "\u{202e}rtl", &"é".repeat(100)] {
            assert!(NewKey::new(name, Access::Full).is_ok(), "{name:?}");
        }
        assert_eq!(NewKey::new("x", Access::scoped([])).unwrap_err(), InvalidKey::NoScopes);
        let many = |number: usize| Access::scoped((0..number).map(|n| Scope::new(format!("scope.{n}")).unwrap()));
        assert!(NewKey::new("x", many(256)).is_ok());
        assert_eq!(NewKey::new("x", many(257)).unwrap_err(), InvalidKey::TooManyScopes);
    }

    #[test]
    fn a_cursor_survives_its_text() {
        let cursor = Cursor { created: Timestamp::from_seconds(-5), id: KeyId::from_u128(9) };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", "_", "5", "x_00000000-0000-0000-0000-000000000009", "5_9", "99999999999999999999_"] {
            assert_eq!(bad.parse::<Cursor>(), Err(InvalidCursor), "{bad}");
        }
    }

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
}
