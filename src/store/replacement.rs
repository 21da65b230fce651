use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{BackendError, InsertRules};
use crate::key::{Environment, KeyDigest, KeyHint, KeyId, KeyRecord};
use crate::time::Timestamp;

/// What replaces a key when it is regenerated. Organization, name, access, networks and metadata are those of the old key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a store must keep each of these")]
pub struct Replacement {
    /// The id of the new key.
    pub id: KeyId,
    /// SHA-256 of the new key.
    pub digest: KeyDigest,
    /// What lists show of the new key itself.
    pub hint: KeyHint,
    /// The environment of the new key's format.
    pub environment: Option<Environment>,
    /// Who asked for it.
    pub created_by: Option<Arc<str>>,
    /// When the new key expires.
    pub expiry: Expiry,
    /// For how long the old key still works. Zero revokes it at once.
    pub overlap: Duration,
}

/// The records of a regenerated key and of the key that replaces it, for a store to keep in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a store must keep each of these")]
pub struct Replaced {
    /// The old key: revoked, or with the end of the overlap as its expiry.
    pub old: KeyRecord,
    /// The new key.
    pub new: KeyRecord,
}

impl Replacement {
    /// Returns a replacement without a hint that revokes the old key at once and lives as long as it did.
    #[must_use]
    pub fn new(id: KeyId, digest: KeyDigest) -> Self {
        Self {
            id,
            digest,
            hint: KeyHint::default(),
            environment: None,
            created_by: None,
            expiry: Expiry::SameLifetime,
            overlap: Duration::ZERO,
        }
    }

    /// Returns what to store when this replaces `old` at the time `now`, by these rules.
    ///
    /// The old key works until the end of the overlap or its own expiry, whichever comes first.
    ///
    /// # Errors
    /// [`BackendError::Conflict`] when the old key is revoked, replaced or suspended: the old key of an overlap cannot be
    /// regenerated again. Those of [`InsertRules`] about the expiry.
    pub fn apply(self, old: &KeyRecord, now: SystemTime, rules: InsertRules) -> Result<Replaced, BackendError> {
        if old.is_revoked() || old.is_suspended() || old.replaced_by().is_some() {
            return Err(BackendError::Conflict);
        }
        let expires_at = match self.expiry {
            Expiry::At(time) => rules.expiry(Some(time), now)?,
            Expiry::Never => rules.expiry_never()?,
            Expiry::SameLifetime => rules.expiry_as_before(self.expiry.resolve(old, now), now)?,
        };
        let new = KeyRecord::new(self.id, self.digest, old.organization().clone(), old.access().clone())
            .with_name(old.name())
            .with_hint(self.hint)
            .with_environment(self.environment)
            .with_networks(old.networks().clone())
            .with_metadata(old.metadata().clone())
            .with_created_at(now)
            .with_created_by(self.created_by)
            .with_expires_at(expires_at);
        let old = old.clone().with_replaced_by(self.id);
        let old = if self.overlap.is_zero() {
            old.with_revoked_at(now)
        } else {
            let end = Timestamp::floor(now).saturating_add(self.overlap).system_time();
            let expires_at = old.expires_at().map_or(end, |expiry| expiry.min(end));
            old.with_expires_at(expires_at)
        };
        Ok(Replaced { old, new })
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
    use crate::scope::Access;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn old() -> KeyRecord {
        KeyRecord::new(KeyId::from_u128(1), KeyDigest::hash(b"x"), "acme".parse().unwrap(), Access::Full)
            .with_created_at(at(100))
    }

    fn replacement(overlap: u64) -> Replacement {
        let overlap = Duration::from_secs(overlap);
        Replacement { overlap, ..Replacement::new(KeyId::from_u128(2), KeyDigest::hash(b"y")) }
    }

    /// Cases: 210.
    #[test]
    fn same_lifetime_counts_from_now() {
        assert_eq!(Expiry::SameLifetime.resolve(&old(), at(1000)), None);
        let old = old().with_expires_at(at(160));
        assert_eq!(Expiry::SameLifetime.resolve(&old, at(1000)), Some(at(1060)));
        assert_eq!(Expiry::Never.resolve(&old, at(1000)), None);
        assert_eq!(Expiry::At(at(5)).resolve(&old, at(1000)), Some(at(5)));
    }

    /// Cases: 186.
    #[test]
    fn overlap_never_outlives_the_old_expiry() {
        for (expires, overlap, end) in [
            (None, 60, Some(1060)),
            (Some(1030), 60, Some(1030)),
            (Some(5000), 60, Some(1060)),
            (Some(500), 60, Some(500)),
            (None, u64::MAX, Some(i64::MAX.unsigned_abs())),
        ] {
            let old = old().with_expires_at(expires.map(at));
            let Replaced { old, .. } = replacement(overlap).apply(&old, at(1000), InsertRules::default()).unwrap();
            let end = end.map(|end| Timestamp::from_seconds(end.try_into().unwrap()).system_time());
            assert_eq!((old.expires_at(), old.is_revoked()), (end, false));
            assert_eq!(old.replaced_by(), Some(KeyId::from_u128(2)));
        }
        let Replaced { old, .. } = replacement(0).apply(&old(), at(1000), InsertRules::default()).unwrap();
        assert_eq!((old.expires_at(), old.revoked_at()), (None, Some(at(1000))));
    }

    /// Cases: 186.
    #[test]
    fn key_revoked_replaced_or_suspended_is_a_conflict() {
        for old in [
            old().with_revoked_at(at(500)),
            old().with_suspended(true),
            old().with_replaced_by(KeyId::from_u128(3)).with_expires_at(at(2000)),
            old().with_replaced_by(KeyId::from_u128(3)).with_expires_at(at(500)),
        ] {
            let replaced = replacement(60).apply(&old, at(1000), InsertRules::default());
            assert!(matches!(replaced, Err(BackendError::Conflict)), "{old:?}");
        }
    }
}
