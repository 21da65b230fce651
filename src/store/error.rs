use crate::BoxError;
use crate::key::{InvalidMetadata, MAX_NAME_LEN};
use crate::scope::ScopeSet;

/// Why a [`KeyBackend`](super::KeyBackend) made no change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
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
    /// The key would live longer than the longest lifetime.
    #[error("the key would live longer than keys may: choose an earlier expiry")]
    ExpiryTooLate,
    /// The key would never expire, and every key must.
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
    /// The organization would have more active keys than it may.
    #[error("the organization has as many active keys as it may: revoke one first")]
    TooManyKeys,
    /// A key with this digest or id is stored already, or was and is purged.
    #[error("a key with this digest or id is stored already, or was")]
    AlreadyExists,
    /// The store has no place for a text of the record, such as a name in a character set that the database lacks. Nothing
    /// was changed, and trying again does not help.
    #[error("the key store cannot hold this text: {0}")]
    Unstorable(#[source] BoxError),
    /// The store failed. The change may have been made.
    #[error("the key store failed: {0}")]
    Store(#[source] BoxError),
}

impl BackendError {
    /// Returns the error of a store that failed for this reason.
    pub fn store(error: impl Into<BoxError>) -> Self {
        Self::Store(error.into())
    }
}
