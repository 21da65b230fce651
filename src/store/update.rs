use super::BackendError;
use crate::key::KeyRecord;
use crate::scope::{Access, ScopeSet};

/// What to change about a key. What is not set stays as it is.
///
/// No update gives a key more access: that takes a new key.
///
/// ```
/// use tower_api_key::scope::avala;
/// use tower_api_key::store::KeyUpdate;
///
/// let update = KeyUpdate::new().with_scopes([avala::TASKS_READ]);
/// assert!(update.scopes().is_some());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUpdate {
    scopes: Option<ScopeSet>,
}

impl KeyUpdate {
    /// Returns an update that changes nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { scopes: None }
    }

    /// Limits the key to exactly these scopes, each of which it must have. An empty set leaves a key that is only
    /// accepted where any key is.
    #[must_use]
    pub fn with_scopes(mut self, scopes: impl Into<ScopeSet>) -> Self {
        self.scopes = Some(scopes.into());
        self
    }

    /// Returns the scopes that the key is limited to, if the update changes them.
    #[must_use]
    pub const fn scopes(&self) -> Option<&ScopeSet> {
        self.scopes.as_ref()
    }

    /// Returns the record of this key after the update, for a store to keep.
    ///
    /// # Errors
    /// [`BackendError::Conflict`] when the key is revoked, [`BackendError::WouldWiden`] when it lacks one of the scopes,
    /// [`BackendError::TooManyScopes`] for more than [`ScopeSet::MAX_LEN`].
    pub fn apply(&self, key: &KeyRecord) -> Result<KeyRecord, BackendError> {
        if key.is_revoked() {
            return Err(BackendError::Conflict);
        }
        let Some(scopes) = &self.scopes else { return Ok(key.clone()) };
        if scopes.len() > ScopeSet::MAX_LEN {
            return Err(BackendError::TooManyScopes);
        }
        if key.access().scopes().is_some_and(|have| !have.contains_all(scopes)) {
            return Err(BackendError::WouldWiden);
        }
        Ok(key.clone().with_access(Access::Scoped(scopes.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyDigest, KeyId};
    use crate::scope::Scope;

    fn key(access: Access) -> KeyRecord {
        KeyRecord::new(KeyId::from_u128(1), KeyDigest::hash(b"key"), "acme".parse().unwrap(), access)
    }

    #[test]
    fn update_of_as_many_scopes_as_allowed_keeps_all() {
        let scopes = |count| (0..count).map(|n| Scope::new(format!("s{n}")).unwrap()).collect::<ScopeSet>();
        let most = scopes(ScopeSet::MAX_LEN);
        let key = key(Access::Scoped(scopes(ScopeSet::MAX_LEN + 1)));
        let update = KeyUpdate::new().with_scopes(most.clone());
        assert_eq!(update.apply(&key).unwrap().access(), &Access::Scoped(most));
        let more = KeyUpdate::new().with_scopes(scopes(ScopeSet::MAX_LEN + 1)).apply(&key);
        assert!(matches!(more, Err(BackendError::TooManyScopes)));
    }

    #[test]
    fn empty_update_changes_nothing() {
        let key = key(Access::Full);
        assert_eq!(KeyUpdate::new().apply(&key).unwrap(), key);
    }
}
