use std::time::{Duration, SystemTime};

use super::BackendError;
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
    /// Returns the record of this key, created at the time `now` of the store's clock.
    ///
    /// # Errors
    /// [`BackendError::ExpiryInPast`] when the key would have expired already. Call this before anything is written.
    pub fn into_record(self, now: SystemTime) -> Result<KeyRecord, BackendError> {
        let record = KeyRecord::new(self.id, self.digest, self.organization, self.access)
            .with_name(self.name)
            .with_hint(self.hint)
            .with_created_at(now)
            .with_expires_at(self.expires_at);
        unexpired(record, now)
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
    /// Returns the record of the key that replaces `old` at the time `now` of the store's clock.
    ///
    /// # Errors
    /// [`BackendError::ExpiryInPast`] when the new key would have expired already. Call this before anything is written,
    /// so that the old key goes on working.
    pub fn into_record(self, old: &KeyRecord, now: SystemTime) -> Result<KeyRecord, BackendError> {
        let record = KeyRecord::new(self.id, self.digest, old.organization().clone(), old.access().clone())
            .with_name(old.name())
            .with_hint(self.hint)
            .with_created_at(now)
            .with_expires_at(self.expiry.resolve(old, now));
        unexpired(record, now)
    }
}

/// Compares the expiry as the record keeps it, in whole seconds.
fn unexpired(record: KeyRecord, now: SystemTime) -> Result<KeyRecord, BackendError> {
    if record.expires_at().is_some_and(|time| time <= now) { Err(BackendError::ExpiryInPast) } else { Ok(record) }
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

    /// Cases: 159.
    #[test]
    fn record_of_expired_key_is_an_error() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(5_500);
        let (id, digest, hint) = (KeyId::from_u128(1), KeyDigest::hash(b"x"), KeyHint::default());
        let new = |expires_at| {
            let (organization, hint) = ("acme".parse().unwrap(), hint.clone());
            NewRecord { id, digest, hint, organization, name: "x".into(), access: Access::Full, expires_at }
        };
        let old = new(None).into_record(SystemTime::UNIX_EPOCH).unwrap();
        for (millis, valid) in [(0, false), (5_499, false), (5_500, false), (5_999, false), (6_000, true)] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            let replacement = Replacement { id, digest, hint: hint.clone(), expiry: Expiry::At(time) };
            for record in [new(Some(time)).into_record(now), replacement.into_record(&old, now)] {
                assert_eq!(record.is_ok(), valid, "{millis}");
                assert!(valid || matches!(record, Err(BackendError::ExpiryInPast)));
            }
        }
        assert_eq!(new(None).into_record(now).unwrap().expires_at(), None);
    }

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
