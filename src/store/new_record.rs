use std::time::{Duration, SystemTime};

use crate::key::{KeyDigest, KeyHint, KeyId, KeyRecord, OrganizationId};
use crate::scope::Access;
use crate::time::Timestamp;

/// A key to be stored: everything but its creation time, which the store's clock gives.
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
    /// What the key may do.
    pub access: Access,
    /// The first moment at which the key is no longer valid.
    pub expires_at: Option<SystemTime>,
}

impl NewRecord {
    /// Returns the record of this key, created at this time.
    #[must_use]
    pub fn into_record(self, created_at: SystemTime) -> KeyRecord {
        KeyRecord::new(self.id, self.digest, self.organization, self.access)
            .with_name(self.name)
            .with_hint(self.hint)
            .with_created_at(created_at)
            .with_expires_at(self.expires_at)
    }
}

/// What replaces a key when it is regenerated. Organization, name and access are those of the old key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a store must keep each of these")]
pub struct Replacement {
    /// The id of the new key.
    pub id: KeyId,
    /// SHA-256 of the new key.
    pub digest: KeyDigest,
    /// What lists show of the new key itself.
    pub hint: KeyHint,
    /// When the new key expires.
    pub expiry: Expiry,
}

impl Replacement {
    /// Returns the record of the key that replaces `old` at the time `now`.
    #[must_use]
    pub fn into_record(self, old: &KeyRecord, now: SystemTime) -> KeyRecord {
        KeyRecord::new(self.id, self.digest, old.organization().clone(), old.access().clone())
            .with_name(old.name())
            .with_hint(self.hint)
            .with_created_at(now)
            .with_expires_at(self.expiry.resolve(old, now))
    }
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
    /// Returns the expiry of a key that replaces `old` at the time `now`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_lifetime_counts_from_now() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let old = KeyRecord::new(KeyId::from_u128(1), KeyDigest::hash(b"x"), "acme".parse().unwrap(), Access::Full)
            .with_created_at(at(100));
        assert_eq!(Expiry::SameLifetime.resolve(&old, at(1000)), None);
        let old = old.with_expires_at(at(160));
        assert_eq!(Expiry::SameLifetime.resolve(&old, at(1000)), Some(at(1060)));
        assert_eq!(Expiry::Never.resolve(&old, at(1000)), None);
        assert_eq!(Expiry::At(at(5)).resolve(&old, at(1000)), Some(at(5)));
    }
}
