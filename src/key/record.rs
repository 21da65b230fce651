use std::sync::Arc;
use std::time::SystemTime;

use super::{Environment, KeyDigest, KeyHint, KeyId, KeyStatus, Metadata, OrganizationId, OrganizationPolicy};
use crate::client::AllowedNetworks;
use crate::scope::Access;
use crate::time::Timestamp;

/// What a store knows about a key: facts, without a decision. The record of an expired or revoked key stays, so that the
/// decision can distinguish it from a key that never existed.
///
/// Times are kept in whole seconds, rounded down: an expiry never comes later than the one that was asked for.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_api_key::Access;
/// use tower_api_key::key::{KeyDigest, KeyId, KeyRecord, KeyStatus};
///
/// let now = SystemTime::now();
/// let record = KeyRecord::new(KeyId::from_u128(1), KeyDigest::hash(b"avk_..."), "acme".parse()?, Access::Full)
///     .with_name("nightly export")
///     .with_created_at(now)
///     .with_expires_at(now + Duration::from_secs(3600));
/// assert_eq!(record.status(now), KeyStatus::Active);
/// assert_eq!(record.status(now + Duration::from_secs(3600)), KeyStatus::Expired);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    id: KeyId,
    digest: KeyDigest,
    organization: OrganizationId,
    name: Box<str>,
    hint: KeyHint,
    environment: Option<Environment>,
    access: Access,
    networks: AllowedNetworks,
    metadata: Metadata,
    created_at: Timestamp,
    created_by: Option<Arc<str>>,
    imported: bool,
    suspended: bool,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    replaced_by: Option<KeyId>,
    last_used_at: Option<Timestamp>,
    request_count: u64,
    policy: OrganizationPolicy,
}

impl KeyRecord {
    /// Returns the record of a key without an expiry. It was created at the Unix epoch, so that it is older than any
    /// maximum age, until [`with_created_at`](Self::with_created_at) sets a better time.
    #[must_use]
    pub fn new(id: KeyId, digest: KeyDigest, organization: OrganizationId, access: Access) -> Self {
        Self {
            id,
            digest,
            organization,
            name: Box::default(),
            hint: KeyHint::default(),
            environment: None,
            access,
            networks: AllowedNetworks::ANYWHERE,
            metadata: Metadata::empty(),
            created_at: Timestamp::EPOCH,
            created_by: None,
            imported: false,
            suspended: false,
            expires_at: None,
            revoked_at: None,
            replaced_by: None,
            last_used_at: None,
            request_count: 0,
            policy: OrganizationPolicy::default(),
        }
    }

    /// Returns what is left of an imported key after a purge: a revoked key of the organization `purged` that grants
    /// nothing. It keeps the key from being imported again.
    #[must_use]
    pub fn tombstone(id: KeyId, digest: KeyDigest) -> Self {
        const PURGED: OrganizationId = OrganizationId::from_static("purged");
        let record = Self::new(id, digest, PURGED, Access::scoped([]));
        Self { revoked_at: Some(Timestamp::EPOCH), imported: true, ..record }
    }

    /// Sets the name that the owner gave the key.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets what lists show of the key itself.
    #[must_use]
    pub fn with_hint(mut self, hint: KeyHint) -> Self {
        self.hint = hint;
        self
    }

    /// Sets the environment that the key is for.
    #[must_use]
    pub fn with_environment(mut self, environment: impl Into<Option<Environment>>) -> Self {
        self.environment = environment.into();
        self
    }

    /// Sets the networks that the key may be used from.
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

    /// Sets who created the key.
    #[must_use]
    pub fn with_created_by(mut self, actor: impl Into<Option<Arc<str>>>) -> Self {
        self.created_by = actor.into();
        self
    }

    /// Sets whether the key was issued elsewhere and imported.
    #[must_use]
    pub const fn with_imported(mut self, imported: bool) -> Self {
        self.imported = imported;
        self
    }

    /// Suspends the key until it is resumed, or resumes it.
    #[must_use]
    pub const fn with_suspended(mut self, suspended: bool) -> Self {
        self.suspended = suspended;
        self
    }

    /// Sets what the key may do.
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Sets when the key was created.
    #[must_use]
    pub fn with_created_at(mut self, time: SystemTime) -> Self {
        self.created_at = Timestamp::floor(time);
        self
    }

    /// Sets the first moment at which the key is no longer valid.
    #[must_use]
    pub fn with_expires_at(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        self.expires_at = time.into().map(Timestamp::floor);
        self
    }

    /// Sets when the key was revoked; `None` for a key that is not revoked. A revoked key is rejected even if the time of
    /// its revocation lies ahead.
    #[must_use]
    pub fn with_revoked_at(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        self.revoked_at = time.into().map(Timestamp::floor);
        self
    }

    /// Sets the new key, for a key that was regenerated. The old key is revoked, or expires at the end of an overlap.
    #[must_use]
    pub fn with_replaced_by(mut self, replacement: impl Into<Option<KeyId>>) -> Self {
        self.replaced_by = replacement.into();
        self
    }

    /// Sets when a request last used the key, and how many requests have used it.
    #[must_use]
    pub fn with_usage(mut self, last_used_at: impl Into<Option<SystemTime>>, request_count: u64) -> Self {
        self.last_used_at = last_used_at.into().map(Timestamp::floor);
        self.request_count = request_count;
        self
    }

    /// Sets what the organization requires of the key.
    #[must_use]
    pub const fn with_policy(mut self, policy: OrganizationPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Returns the id of the key, which identifies it in lists, logs and management calls.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the digest of the key.
    #[must_use]
    #[inline]
    pub const fn digest(&self) -> &KeyDigest {
        &self.digest
    }

    /// Returns the organization the key belongs to.
    #[must_use]
    pub const fn organization(&self) -> &OrganizationId {
        &self.organization
    }

    /// Returns the name that the owner gave the key, possibly empty.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what lists show of the key itself.
    #[must_use]
    pub const fn hint(&self) -> &KeyHint {
        &self.hint
    }

    /// Returns the environment that the key is for, if its format has one.
    #[must_use]
    pub const fn environment(&self) -> Option<&Environment> {
        self.environment.as_ref()
    }

    /// Returns the networks that the key may be used from.
    #[must_use]
    #[inline]
    pub const fn networks(&self) -> &AllowedNetworks {
        &self.networks
    }

    /// Returns what the owner notes about the key.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Returns who created the key: the actor of the manager that issued it.
    #[must_use]
    pub fn created_by(&self) -> Option<&str> {
        self.created_by.as_deref()
    }

    /// Returns whether the key was issued elsewhere and imported.
    #[must_use]
    pub const fn is_imported(&self) -> bool {
        self.imported
    }

    /// Returns whether the key is suspended: rejected until it is resumed.
    #[must_use]
    #[inline]
    pub const fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Returns what the key may do.
    #[must_use]
    #[inline]
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// Returns when the key was created.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.created_at.system_time()
    }

    /// Returns the key's own expiry. See also [`valid_until`](Self::valid_until).
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at.map(Timestamp::system_time)
    }

    /// Returns the first moment at which the key is expired: its own expiry or the organization's maximum age, whichever
    /// comes first.
    #[must_use]
    pub fn valid_until(&self) -> Option<SystemTime> {
        self.end().map(Timestamp::system_time)
    }

    /// Returns when the key was revoked, if it was.
    #[must_use]
    pub fn revoked_at(&self) -> Option<SystemTime> {
        self.revoked_at.map(Timestamp::system_time)
    }

    /// Returns the key that replaced this one when it was regenerated.
    #[must_use]
    pub const fn replaced_by(&self) -> Option<KeyId> {
        self.replaced_by
    }

    /// Returns when a request last used the key, as of the last usage report.
    #[must_use]
    pub fn last_used_at(&self) -> Option<SystemTime> {
        self.last_used_at.map(Timestamp::system_time)
    }

    /// Returns how many requests have used the key, as of the last usage report.
    #[must_use]
    pub const fn request_count(&self) -> u64 {
        self.request_count
    }

    /// Returns what the organization requires of the key.
    #[must_use]
    #[inline]
    pub const fn policy(&self) -> OrganizationPolicy {
        self.policy
    }

    /// Returns when the key was revoked or expired, whichever came first: it can authenticate nothing since then. `None` if
    /// it still can at this time, also if it is suspended.
    #[must_use]
    pub fn ended_at(&self, now: SystemTime) -> Option<SystemTime> {
        let end = self.end().filter(|end| end.is_reached(now));
        self.revoked_at.into_iter().chain(end).min().map(Timestamp::system_time)
    }

    /// Returns whether the key was revoked, by itself or for its replacement.
    #[must_use]
    #[inline]
    pub const fn is_revoked(&self) -> bool {
        self.revoked_at.is_some()
    }

    /// Returns whether the key is expired at the time that `now` returns. `now` is called only for a key that expires.
    #[must_use]
    #[inline]
    pub fn is_expired(&self, now: impl FnOnce() -> SystemTime) -> bool {
        self.end().is_some_and(|end| end.is_reached(now()))
    }

    /// Returns the state of the key as lists show it at this time.
    #[must_use]
    pub fn status(&self, now: SystemTime) -> KeyStatus {
        if self.is_revoked() {
            KeyStatus::Revoked
        } else if self.is_suspended() {
            KeyStatus::Suspended
        } else if self.is_expired(|| now) {
            KeyStatus::Expired
        } else {
            KeyStatus::Active
        }
    }

    #[inline]
    fn end(&self) -> Option<Timestamp> {
        let Some(age) = self.policy.max_key_age() else { return self.expires_at };
        let by_age = self.created_at.saturating_add(age);
        Some(self.expires_at.map_or(by_age, |expiry| expiry.min(by_age)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn record() -> KeyRecord {
        let organization = OrganizationId::from_static("acme");
        KeyRecord::new(KeyId::from_u128(1), KeyDigest::hash(b"key"), organization, Access::Full)
            .with_created_at(at(1000))
    }

    /// Cases: 71.
    #[test]
    fn record_at_its_expiry_is_expired() {
        let record = record().with_expires_at(at(2000));
        let nano = Duration::from_nanos(1);
        assert!(!record.is_expired(|| at(2000) - nano));
        assert!(record.is_expired(|| at(2000)));
        assert!(record.is_expired(|| at(2000) + nano));
    }

    #[test]
    fn record_expiry_is_rounded_down() {
        let record = record().with_expires_at(at(2000) + Duration::from_millis(999));
        assert_eq!(record.expires_at(), Some(at(2000)));
        assert!(record.is_expired(|| at(2000)));
    }

    /// Cases: 76.
    #[test]
    fn record_ends_at_expiry_or_max_age() {
        let aged = OrganizationPolicy::default().with_max_key_age(Duration::from_secs(500));
        for (expires, end) in [(None, 1500), (Some(at(1400)), 1400), (Some(at(9000)), 1500)] {
            let record = record().with_expires_at(expires).with_policy(aged);
            assert_eq!(record.valid_until(), Some(at(end)));
            assert_eq!(record.status(at(end - 1)), KeyStatus::Active);
            assert_eq!(record.status(at(end)), KeyStatus::Expired);
        }
    }

    #[test]
    fn record_without_expiry_does_not_read_clock() {
        assert!(!record().is_expired(|| unreachable!("the clock was read")));
    }

    #[test]
    fn record_of_any_age_limit_does_not_overflow() {
        let forever = OrganizationPolicy::default().with_max_key_age(Duration::MAX);
        assert_eq!(record().with_policy(forever).status(at(u64::from(u32::MAX))), KeyStatus::Active);
    }

    /// Cases: 49.
    #[test]
    fn record_revoked_and_expired_is_revoked() {
        let record = record().with_expires_at(at(2000)).with_revoked_at(at(1500)).with_replaced_by(KeyId::from_u128(2));
        assert_eq!(record.status(at(3000)), KeyStatus::Revoked);
        assert_eq!(record.replaced_by(), Some(KeyId::from_u128(2)));
        assert_eq!(record.revoked_at(), Some(at(1500)));
    }

    /// Cases: 183.
    #[test]
    fn record_suspended_is_suspended_until_revoked() {
        let record = record().with_expires_at(at(2000)).with_suspended(true);
        for now in [1000, 3000] {
            assert_eq!(record.status(at(now)), KeyStatus::Suspended);
            assert_eq!(record.clone().with_revoked_at(at(1500)).status(at(now)), KeyStatus::Revoked);
        }
        assert_eq!(record.with_suspended(false).status(at(3000)), KeyStatus::Expired);
    }

    /// Cases: 210.
    #[test]
    fn record_ended_at_its_revocation_or_expiry() {
        let both = record().with_expires_at(at(2000)).with_revoked_at(at(1500));
        for (record, now, ended) in [
            (record(), 9000, None),
            (record().with_suspended(true), 9000, None),
            (record().with_expires_at(at(2000)), 1999, None),
            (record().with_expires_at(at(2000)), 2000, Some(at(2000))),
            (both.clone(), 1999, Some(at(1500))),
            (both.clone().with_revoked_at(at(2500)), 3000, Some(at(2000))),
            (KeyRecord::tombstone(both.id(), *both.digest()), 0, Some(UNIX_EPOCH)),
        ] {
            assert_eq!(record.ended_at(at(now)), ended, "{record:?}");
        }
    }

    #[test]
    fn record_with_any_other_fact_differs() {
        for other in [
            record().with_name("other"),
            record().with_hint(KeyHint::from_stored("...4567")),
            record().with_access(Access::scoped([])),
            record().with_created_at(at(1001)),
            record().with_expires_at(at(2000)),
            record().with_revoked_at(at(1500)),
            record().with_replaced_by(KeyId::from_u128(2)),
            record().with_environment(Environment::from_static("test")),
            record().with_networks("192.0.2.0/24".parse().unwrap()),
            record().with_metadata(Metadata::new([("plan", "pro")]).unwrap()),
            record().with_created_by(Arc::from("ada")),
            record().with_imported(true),
            record().with_suspended(true),
            record().with_usage(at(1600), 0),
            record().with_usage(None, 1),
            record().with_policy(OrganizationPolicy::default().with_disabled(true)),
        ] {
            assert_ne!(other, record());
        }
        let replaced = record().with_revoked_at(at(1500)).with_replaced_by(KeyId::from_u128(2));
        assert_eq!(replaced.with_revoked_at(None).with_replaced_by(None), record());
    }

    #[test]
    fn record_returns_what_was_set() {
        let bare = record();
        assert_eq!((bare.name(), bare.hint().as_str(), bare.request_count()), ("", "", 0));
        assert_eq!((bare.expires_at(), bare.valid_until(), bare.revoked_at()), (None, None, None));
        assert_eq!((bare.replaced_by(), bare.last_used_at(), bare.is_revoked()), (None, None, false));
        assert_eq!((bare.id(), bare.digest()), (KeyId::from_u128(1), &KeyDigest::hash(b"key")));
        assert_eq!((bare.access(), bare.created_at()), (&Access::Full, at(1000)));
        assert_eq!((bare.organization().as_str(), bare.policy()), ("acme", OrganizationPolicy::default()));

        let (access, policy) = (Access::scoped([]), OrganizationPolicy::default().with_disabled(true));
        let full = bare
            .with_name("nightly export")
            .with_hint(KeyHint::from_stored("avk_...4567"))
            .with_access(access.clone())
            .with_policy(policy)
            .with_usage(at(1700), 42)
            .with_expires_at(at(1800))
            .with_revoked_at(at(1750))
            .with_replaced_by(KeyId::from_u128(2));
        assert_eq!((full.name(), full.hint().as_str()), ("nightly export", "avk_...4567"));
        assert_eq!((full.access(), full.policy()), (&access, policy));
        assert_eq!((full.last_used_at(), full.request_count()), (Some(at(1700)), 42));
        assert_eq!((full.expires_at(), full.valid_until()), (Some(at(1800)), Some(at(1800))));
        assert_eq!((full.revoked_at(), full.replaced_by()), (Some(at(1750)), Some(KeyId::from_u128(2))));
        assert!(full.is_revoked());
    }

    #[test]
    fn record_debug_shows_only_part_of_the_digest() {
        let record = record().with_name("nightly export");
        let text = format!("{record:?}");
        for part in ["00000000-0000-0000-0000-000000000001", "acme", "nightly export", "KeyDigest(2c70e12b..)"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains(&record.digest().to_hex()));
    }
}
