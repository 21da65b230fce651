use crate::BoxError;
use crate::key::{Environment, InvalidMetadata, MAX_NAME_LEN, RandomError};
use crate::scope::{Scope, ScopeSet, UnknownScope};
use crate::store::BackendError;

/// Why a [`KeyManager`](crate::KeyManager) could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
    /// The organization has no such key.
    #[error("the organization has no such key")]
    NotFound,
    /// The key is already revoked or replaced, or it is suspended and cannot be regenerated.
    #[error("the key is revoked, replaced or suspended, and cannot be changed in this way")]
    Conflict,
    /// The update asks for scopes that the key does not have.
    #[error("an update cannot add scopes to a key: issue a new one")]
    WouldWiden,
    /// The update asks for networks from which the key cannot be used.
    #[error("an update cannot add networks to a key: issue a new one")]
    WouldWidenNetworks,
    /// The update asks for a later expiry.
    #[error("an update cannot extend the life of a key: regenerate it")]
    WouldExtend,
    /// The key would be expired already.
    #[error("the expiry is in the past: choose a later one, or revoke the key")]
    ExpiryInPast,
    /// The key would live longer than the [rules](super::IssueRules) allow.
    #[error("the key would live longer than keys may: choose an earlier expiry")]
    ExpiryTooLate,
    /// The key would never expire, and the [rules](super::IssueRules) require an expiry.
    #[error("a key must expire: choose an expiry")]
    ExpiryRequired,
    /// The name is blank, too long or has control characters.
    #[error("a key name has 1 to {MAX_NAME_LEN} characters, not all blank, none a control character")]
    InvalidName,
    /// The metadata would be out of bounds.
    #[error(transparent)]
    InvalidMetadata(#[from] InvalidMetadata),
    /// More scopes than one key may have.
    #[error("a key has at most {} scopes", ScopeSet::MAX_LEN)]
    TooManyScopes,
    /// The organization would have more active keys than the [rules](super::IssueRules) allow.
    #[error("the organization has as many active keys as it may: revoke one first")]
    TooManyKeys,
    /// A key with this digest or id is stored already, or was and is purged.
    #[error("a key with this digest or id is stored already, or was")]
    AlreadyExists,
    /// A scope is not in the catalog of the [rules](super::IssueRules).
    #[error(transparent)]
    UnknownScope(#[from] UnknownScope),
    /// The [rules](super::IssueRules) grant this scope to no new key.
    #[error("the scope {:?} is not granted to new keys", .0.as_str())]
    ScopeNotGranted(Scope),
    /// The [rules](super::IssueRules) grant full access to no new key.
    #[error("full access is not granted to new keys")]
    FullAccessNotGranted,
    /// The [rules](super::IssueRules) have no format for this environment.
    #[error("no key format has the environment {:?}", .0.as_str())]
    UnknownEnvironment(Environment),
    /// The operating system gave no randomness to make a key or an id from.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The store has no place for a text of the key, such as a name in a character set that the database lacks. Nothing
    /// was changed, and trying again does not help.
    #[error("the key store cannot hold this text: {0}")]
    Unstorable(#[source] BoxError),
    /// The store failed. The change may have been made: list the keys, or try again.
    #[error("the key store failed: {0}")]
    Store(#[source] BoxError),
}

impl From<BackendError> for ManageError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::NotFound => Self::NotFound,
            BackendError::Conflict => Self::Conflict,
            BackendError::WouldWiden => Self::WouldWiden,
            BackendError::WouldWidenNetworks => Self::WouldWidenNetworks,
            BackendError::WouldExtend => Self::WouldExtend,
            BackendError::ExpiryInPast => Self::ExpiryInPast,
            BackendError::ExpiryTooLate => Self::ExpiryTooLate,
            BackendError::ExpiryRequired => Self::ExpiryRequired,
            BackendError::InvalidName => Self::InvalidName,
            BackendError::InvalidMetadata(error) => Self::InvalidMetadata(error),
            BackendError::TooManyScopes => Self::TooManyScopes,
            BackendError::TooManyKeys => Self::TooManyKeys,
            BackendError::AlreadyExists => Self::AlreadyExists,
            BackendError::Unstorable(cause) => Self::Unstorable(cause),
            BackendError::Store(cause) => Self::Store(cause),
        }
    }
}
