use crate::BoxError;
use crate::key::RandomError;
use crate::scope::{ScopeSet, UnknownScope};
use crate::store::BackendError;

/// Why a [`KeyManager`](crate::KeyManager) could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
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
    /// A scope is not in the catalog of the [rules](super::IssueRules).
    #[error(transparent)]
    UnknownScope(#[from] UnknownScope),
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
            BackendError::TooManyScopes => Self::TooManyScopes,
            BackendError::ExpiryInPast => Self::ExpiryInPast,
            BackendError::AlreadyExists => Self::AlreadyExists,
            BackendError::Unstorable(cause) => Self::Unstorable(cause),
            BackendError::Store(cause) => Self::Store(cause),
        }
    }
}
