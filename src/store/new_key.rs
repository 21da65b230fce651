use std::time::SystemTime;

use super::manager::Expiry;
use crate::key::{KeyDigest, KeyHint, KeyId, KeyRecord, KeySecret, OrganizationId};
use crate::scope::{Access, ScopeSet};

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

    /// The record of a key that replaces `old` at the time `now`, for a store to keep: same organization, name and
    /// access.
    #[must_use]
    pub fn into_replacement(self, id: KeyId, old: &KeyRecord, expiry: Expiry, now: SystemTime) -> KeyRecord {
        KeyRecord::new(id, self.digest, old.organization().clone(), old.access().clone())
            .with_name(old.name())
            .with_hint(self.hint)
            .with_created_at(now)
            .with_expires_at(expiry.resolve(old, now))
    }

    /// With what lists shall show of it.
    #[must_use]
    pub fn with_hint(mut self, hint: KeyHint) -> Self {
        self.hint = hint;
        self
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
}
