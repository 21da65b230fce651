use std::time::SystemTime;

use crate::client::AllowedNetworks;
use crate::key::{
    Environment, KeyDigest, KeyHint, KeyId, KeySecret, MAX_NAME_LEN, Metadata, OrganizationId, is_valid_name,
};
use crate::scope::{Access, ScopeSet};
use crate::store::NewRecord;

/// What the owner of a new key chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    name: Box<str>,
    access: Access,
    expires_at: Option<SystemTime>,
    networks: AllowedNetworks,
    metadata: Metadata,
    environment: Option<Environment>,
}

impl NewKey {
    /// The most characters a name may have.
    pub const MAX_NAME_LEN: usize = MAX_NAME_LEN;

    /// Returns a key with this name and access that may be used from anywhere. It never expires, unless the rules of the
    /// manager have a default lifetime.
    ///
    /// # Errors
    /// When the name is blank, longer than 100 characters or has control characters, when scoped access has no
    /// scope, or when it has more than [`ScopeSet::MAX_LEN`].
    pub fn new(name: impl Into<Box<str>>, access: Access) -> Result<Self, InvalidNewKey> {
        let name = name.into();
        if !is_valid_name(&name) {
            return Err(InvalidNewKey::Name);
        }
        let new = Self {
            name,
            access,
            expires_at: None,
            networks: AllowedNetworks::ANYWHERE,
            metadata: Metadata::empty(),
            environment: None,
        };
        match new.access.scopes().map(ScopeSet::len) {
            Some(0) => Err(InvalidNewKey::NoScopes),
            Some(number) if number > ScopeSet::MAX_LEN => Err(InvalidNewKey::TooManyScopes),
            _ => Ok(new),
        }
    }

    /// Sets the first moment at which the key is no longer valid.
    #[must_use]
    pub fn with_expires_at(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        self.expires_at = time.into();
        self
    }

    /// Limits the key to these networks.
    #[must_use]
    pub fn with_networks(mut self, networks: AllowedNetworks) -> Self {
        self.networks = networks;
        self
    }

    /// Sets what the owner notes about the key.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Chooses the format of the key by its environment, in place of the first format of the manager's rules.
    #[must_use]
    pub fn with_environment(mut self, environment: impl Into<Option<Environment>>) -> Self {
        self.environment = environment.into();
        self
    }

    /// Returns what its owner calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what the key may do.
    #[must_use]
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// Returns the first moment at which the key is no longer valid.
    #[must_use]
    pub const fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// Returns the networks that the key may be used from.
    #[must_use]
    pub const fn networks(&self) -> &AllowedNetworks {
        &self.networks
    }

    /// Returns what the owner notes about the key.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Returns the environment that was chosen.
    #[must_use]
    pub const fn environment(&self) -> Option<&Environment> {
        self.environment.as_ref()
    }

    pub(super) fn with_access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Returns this key of an organization as a store takes it.
    pub(super) fn into_record(
        self,
        id: KeyId,
        credential: StoredCredential,
        organization: &OrganizationId,
    ) -> NewRecord {
        NewRecord {
            hint: credential.hint,
            name: self.name,
            environment: self.environment,
            networks: self.networks,
            metadata: self.metadata,
            expires_at: self.expires_at,
            ..NewRecord::new(id, credential.digest, organization.clone(), self.access)
        }
    }
}

/// Why a key cannot be issued as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNewKey {
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
    /// What lists show of the key.
    pub hint: KeyHint,
}

impl StoredCredential {
    /// Returns the digest and the hint of this key.
    #[must_use]
    pub fn from_secret(secret: &KeySecret) -> Self {
        Self { digest: secret.digest(), hint: secret.hint() }
    }

    /// Returns the digest and the hint of a key that was issued elsewhere, from the bytes that clients present.
    ///
    /// The hint is the last four characters. Where the format of the key is known, [`KeyFormat::hint`] adds its prefix:
    ///
    /// ```
    /// use tower_api_key::key::KeyFormat;
    /// use tower_api_key::manage::StoredCredential;
    ///
    /// let (old, key) = (KeyFormat::new("sk_")?, b"sk_2f6b1d0c9e8a7f5b4d3c2a190817263544536271");
    /// let credential = StoredCredential::from_plaintext(key).with_hint(old.hint(key));
    /// assert_eq!(credential.hint.as_str(), "sk_...6271");
    /// # Ok::<(), tower_api_key::key::InvalidPrefix>(())
    /// ```
    ///
    /// [`KeyFormat::hint`]: crate::key::KeyFormat::hint
    #[must_use]
    pub fn from_plaintext(presented: &[u8]) -> Self {
        Self { digest: KeyDigest::hash(presented), hint: KeyHint::from_plaintext(presented) }
    }

    /// Returns the credential of a key of which only the digest is known. Its hint is empty.
    #[must_use]
    pub fn from_digest(digest: KeyDigest) -> Self {
        Self { digest, hint: KeyHint::default() }
    }

    /// Sets what lists show of the key.
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

    /// Cases: 57, 69.
    #[test]
    fn new_key_invalid_is_rejected() {
        for name in ["", "  ", "nul\0", "line\nbreak", "\u{1b}[31m", &"x".repeat(101)] {
            assert_eq!(NewKey::new(name, Access::Full).unwrap_err(), InvalidNewKey::Name, "{name:?}");
        }
        for name in ["'; drop table keys; --", "<img src=x onerror=alert(1)>", "\u{202e}rtl", &"é".repeat(100)] {
            assert!(NewKey::new(name, Access::Full).is_ok(), "{name:?}");
        }
        assert_eq!(NewKey::new("x", Access::scoped([])).unwrap_err(), InvalidNewKey::NoScopes);
        let many = |number: usize| Access::scoped((0..number).map(|n| Scope::new(format!("scope.{n}")).unwrap()));
        assert!(NewKey::new("x", many(256)).is_ok());
        assert_eq!(NewKey::new("x", many(257)).unwrap_err(), InvalidNewKey::TooManyScopes);
    }
}
