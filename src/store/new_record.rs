use std::sync::Arc;
use std::time::SystemTime;

use super::{BackendError, InsertRules};
use crate::client::AllowedNetworks;
use crate::key::{Environment, KeyDigest, KeyHint, KeyId, KeyRecord, Metadata, OrganizationId};
use crate::scope::Access;

/// A key to be stored. The store's clock gives the creation time, unless the key comes from elsewhere with one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a store must keep each of these")]
pub struct NewRecord {
    /// The id of the key.
    pub id: KeyId,
    /// SHA-256 of the key.
    pub digest: KeyDigest,
    /// What lists show of the key itself.
    pub hint: KeyHint,
    /// The organization the key belongs to.
    pub organization: OrganizationId,
    /// The name that its owner gave it.
    pub name: Box<str>,
    /// The environment that the key is for.
    pub environment: Option<Environment>,
    /// What the key may do.
    pub access: Access,
    /// The networks that the key may be used from.
    pub networks: AllowedNetworks,
    /// What its owner notes about it.
    pub metadata: Metadata,
    /// Who created it.
    pub created_by: Option<Arc<str>>,
    /// The first moment at which the key is no longer valid.
    pub expires_at: Option<SystemTime>,
    /// What happened to a key that was issued elsewhere; `None` for a key that is issued now.
    pub imported: Option<ImportedFacts>,
}

/// What happened to an imported key before it was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a store must keep each of these")]
pub struct ImportedFacts {
    /// When the key was created; `None` for now.
    pub created_at: Option<SystemTime>,
    /// Whether the key is suspended.
    pub suspended: bool,
    /// When the key was revoked, if it was.
    pub revoked_at: Option<SystemTime>,
    /// When a request last used the key.
    pub last_used_at: Option<SystemTime>,
    /// How many requests have used the key. Without the time of the last one, none.
    pub request_count: u64,
}

impl NewRecord {
    /// Returns a key without a name, hint or expiry that is issued now and may be used from anywhere.
    #[must_use]
    pub fn new(id: KeyId, digest: KeyDigest, organization: OrganizationId, access: Access) -> Self {
        Self {
            id,
            digest,
            hint: KeyHint::default(),
            organization,
            name: Box::default(),
            environment: None,
            access,
            networks: AllowedNetworks::ANYWHERE,
            metadata: Metadata::empty(),
            created_by: None,
            expires_at: None,
            imported: None,
        }
    }

    /// Returns the record to store at the time `now` by these rules.
    ///
    /// # Errors
    /// Those of [`InsertRules`] about the expiry, which do not apply to an imported key.
    pub fn into_record(self, now: SystemTime, rules: InsertRules) -> Result<KeyRecord, BackendError> {
        let expires_at = match self.imported {
            None => rules.expiry(self.expires_at, now)?,
            Some(_) => self.expires_at,
        };
        let past = self.imported.unwrap_or_default();
        Ok(KeyRecord::new(self.id, self.digest, self.organization, self.access)
            .with_name(self.name)
            .with_hint(self.hint)
            .with_environment(self.environment)
            .with_networks(self.networks)
            .with_metadata(self.metadata)
            .with_created_at(past.created_at.unwrap_or(now))
            .with_created_by(self.created_by)
            .with_imported(self.imported.is_some())
            .with_suspended(past.suspended)
            .with_expires_at(expires_at)
            .with_revoked_at(past.revoked_at)
            .with_usage(past.last_used_at, if past.last_used_at.is_some() { past.request_count } else { 0 }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Expiry, Replacement};
    use super::*;

    /// Cases: 159.
    #[test]
    fn record_of_expired_key_is_an_error() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(5_500);
        let (id, digest, rules) = (KeyId::from_u128(1), KeyDigest::hash(b"x"), InsertRules::new());
        let new = |expires_at| {
            let record = NewRecord::new(id, digest, "acme".parse().unwrap(), Access::Full);
            NewRecord { expires_at, ..record }
        };
        let old = new(None).into_record(SystemTime::UNIX_EPOCH, rules).unwrap();
        for (millis, valid) in [(0, false), (5_499, false), (5_500, false), (5_999, false), (6_000, true)] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            let replacement = Replacement { expiry: Expiry::At(time), ..Replacement::new(id, digest) };
            let replaced = replacement.apply(&old, now, rules).map(|replaced| replaced.new);
            for record in [new(Some(time)).into_record(now, rules), replaced] {
                assert_eq!(record.is_ok(), valid, "{millis}");
                assert!(valid || matches!(record, Err(BackendError::ExpiryInPast)));
            }
            let imported = NewRecord { imported: Some(ImportedFacts::default()), ..new(Some(time)) };
            assert!(imported.into_record(now, rules).is_ok(), "what happened to an imported key is a fact");
        }
        assert_eq!(new(None).into_record(now, rules).unwrap().expires_at(), None);
    }
}
