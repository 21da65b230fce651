use crate::BoxError;
use crate::scope::ScopeSet;

/// Why a [`KeyBackend`](super::KeyBackend) made no change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The organization has no such key.
    #[error("the organization has no such key")]
    NotFound,
    /// The key is already revoked or replaced.
    #[error("the key is already revoked or replaced, and cannot be changed")]
    Conflict,
    /// The update asks for scopes that the key does not have.
    #[error("an update cannot add scopes to a key: issue a new one")]
    WouldWiden,
    /// More scopes than one key may have.
    #[error("a key has at most {} scopes", ScopeSet::MAX_LEN)]
    TooManyScopes,
    /// The key would have expired already. Nothing was changed.
    #[error("the expiry is in the past: ask for a later one")]
    ExpiryInPast,
    /// A key with this digest or id is stored already.
    #[error("a key with this digest or id is stored already")]
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
