use std::fmt;
use std::time::SystemTime;

use super::label::Label;
use super::used::Used;
use super::{KeyDigest, KeyHint, KeyId, OrganizationId, OrganizationPolicy};
use crate::scope::Access;
use crate::time::Timestamp;
use crate::usage::Unreported;

/// What a store knows about a key: facts, never a verdict. An expired or revoked key keeps its record, so that
/// the decision can tell it from one that never existed.
///
/// Times are kept in whole seconds, rounded down: an expiry never comes later than the one that was asked for.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_api_key::{Access, KeyDigest, KeyId, KeyRecord, KeyStatus};
///
/// let now = SystemTime::now();
/// let record = KeyRecord::new(KeyId::from_u128(1), KeyDigest::of(b"avk_..."), "acme".parse()?, Access::Full)
///     .with_name("nightly export")
///     .with_created_at(now)
///     .with_expires_at(now + Duration::from_secs(3600));
/// assert_eq!(record.status(now), KeyStatus::Active);
/// assert_eq!(record.status(now + Duration::from_secs(3600)), KeyStatus::Expired);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
// In this order, so that what a request is judged by lies in the first 64 bytes. With the counts of an `Arc` before
// them these are never in more than two cache lines.
#[repr(C)]
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRecord {
    digest: KeyDigest,
    access: Access,
    rare: Option<Box<Rare>>,
    expires: Option<Timestamp>,
    used: Used,
    created: Timestamp,
    id: KeyId,
    organization: OrganizationId,
    label: Label,
}

/// What few records have, therefore apart: none but those of revoked keys and of organizations with a policy.
#[derive(Clone, Default, PartialEq, Eq)]
struct Rare {
    revocation: Option<Revocation>,
    policy: OrganizationPolicy,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Revocation {
    at: Timestamp,
    replaced_by: Option<KeyId>,
}

impl KeyRecord {
    /// The record of a key without an expiry that was created at the Unix epoch, so that it is older than any
    /// maximum age until [`with_created_at`](Self::with_created_at) says better.
    #[must_use]
    pub fn new(id: KeyId, digest: KeyDigest, organization: OrganizationId, access: Access) -> Self {
        Self {
            digest,
            id,
            organization,
            access,
            created: Timestamp::EPOCH,
            expires: None,
            rare: None,
            used: Used::default(),
            label: Label::default(),
        }
    }

    /// What its owner calls it.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.label = self.label.with_name(&name.into());
        self
    }

    /// What a list shows of the key itself.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "given away, in whatever form it is kept")]
    pub fn with_hint(mut self, hint: KeyHint) -> Self {
        self.label = self.label.with_hint(&hint);
        self
    }

    /// When the key was made.
    #[must_use]
    pub fn with_created_at(mut self, time: SystemTime) -> Self {
        self.created = Timestamp::floor(time);
        self
    }

    /// The first moment at which the key is no longer valid.
    #[must_use]
    pub fn with_expires_at(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        self.expires = time.into().map(Timestamp::floor);
        self
    }

    /// When the key was revoked, if it was. A revoked key is refused whatever the time says.
    #[must_use]
    pub fn with_revoked_at(self, time: impl Into<Option<SystemTime>>) -> Self {
        let revocation = |time| Revocation { at: Timestamp::floor(time), replaced_by: None };
        let policy = self.policy();
        self.with_rare(Rare { revocation: time.into().map(revocation), policy })
    }

    /// Marks the key as revoked because a regenerated one took its place.
    #[must_use]
    pub fn with_replaced_by(self, time: SystemTime, replacement: KeyId) -> Self {
        let revocation = Revocation { at: Timestamp::floor(time), replaced_by: Some(replacement) };
        let policy = self.policy();
        self.with_rare(Rare { revocation: Some(revocation), policy })
    }

    /// When a request last used the key, and how many have.
    #[must_use]
    pub fn with_usage(mut self, last_used_at: impl Into<Option<SystemTime>>, requests: u64) -> Self {
        self.used = Used::new(last_used_at.into().map(Timestamp::floor), requests);
        self
    }

    /// What the key may do.
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// What the organization demands of the key.
    #[must_use]
    pub fn with_policy(self, policy: OrganizationPolicy) -> Self {
        let revocation = self.revocation();
        self.with_rare(Rare { revocation, policy })
    }

    /// With nothing to say there is nothing, so that equal facts have one form.
    fn with_rare(mut self, rare: Rare) -> Self {
        self.rare = (rare != Rare::default()).then(|| Box::new(rare));
        self
    }

    /// The digest of the key.
    #[must_use]
    #[inline]
    pub const fn digest(&self) -> &KeyDigest {
        &self.digest
    }

    /// The name of the key in lists, logs and management calls.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// For tables that find records by it and keep it nowhere else.
    pub(crate) const fn key_id(&self) -> &KeyId {
        &self.id
    }

    /// The organization the key belongs to.
    #[must_use]
    pub const fn organization(&self) -> &OrganizationId {
        &self.organization
    }

    /// What its owner calls it; empty when nobody gave it a name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.label.name()
    }

    /// What a list shows of the key itself: the text of a [`KeyHint`], possibly empty.
    #[must_use]
    pub fn hint(&self) -> &str {
        self.label.hint()
    }

    /// What the key may do.
    #[must_use]
    #[inline]
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// When the key was made.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.created.system_time()
    }

    /// The key's own expiry. See also [`valid_until`](Self::valid_until).
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires.map(Timestamp::system_time)
    }

    /// The first moment at which the key is expired: its own expiry or the organization's maximum age,
    /// whichever comes first.
    #[must_use]
    pub fn valid_until(&self) -> Option<SystemTime> {
        self.end().map(Timestamp::system_time)
    }

    /// When the key was revoked, if it was.
    #[must_use]
    pub fn revoked_at(&self) -> Option<SystemTime> {
        self.revocation().map(|revocation| revocation.at.system_time())
    }

    /// The key that took its place when it was regenerated.
    #[must_use]
    pub fn replaced_by(&self) -> Option<KeyId> {
        self.revocation().and_then(|revocation| revocation.replaced_by)
    }

    /// When a request last used the key, as far as the store has been told.
    #[must_use]
    pub fn last_used_at(&self) -> Option<SystemTime> {
        self.used.last().map(Timestamp::system_time)
    }

    /// How many requests have used the key, as far as the store has been told.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.used.requests()
    }

    pub(crate) fn unreported(&self) -> &Unreported {
        self.used.unreported()
    }

    /// What the organization demands of the key.
    #[must_use]
    #[inline]
    pub fn policy(&self) -> OrganizationPolicy {
        self.rare.as_deref().map(|rare| rare.policy).unwrap_or_default()
    }

    /// Whether the key was revoked.
    #[must_use]
    #[inline]
    pub fn is_revoked(&self) -> bool {
        self.rare.as_deref().is_some_and(|rare| rare.revocation.is_some())
    }

    /// Whether the key is expired at the time that `now` tells. The clock is not read for a key that never
    /// expires.
    #[must_use]
    #[inline(always)]
    pub fn is_expired(&self, now: impl FnOnce() -> SystemTime) -> bool {
        self.end().is_some_and(|end| end.is_reached(now()))
    }

    /// The state of the key as lists show it.
    #[must_use]
    pub fn status(&self, now: SystemTime) -> KeyStatus {
        if self.is_revoked() {
            KeyStatus::Revoked
        } else if self.is_expired(|| now) {
            KeyStatus::Expired
        } else {
            KeyStatus::Active
        }
    }

    fn revocation(&self) -> Option<Revocation> {
        self.rare.as_deref().and_then(|rare| rare.revocation)
    }

    #[inline]
    fn end(&self) -> Option<Timestamp> {
        let Some(age) = self.policy().max_key_age() else { return self.expires };
        let aged = self.created.saturating_add(age);
        Some(self.expires.map_or(aged, |own| own.min(aged)))
    }
}

impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRecord")
            .field("id", &self.id)
            .field("digest", &self.digest)
            .field("organization", &self.organization)
            .field("name", &self.name())
            .field("hint", &self.hint())
            .field("access", &self.access)
            .field("created_at", &self.created_at())
            .field("expires_at", &self.expires_at())
            .field("revoked_at", &self.revoked_at())
            .field("replaced_by", &self.replaced_by())
            .field("last_used_at", &self.last_used_at())
            .field("requests", &self.requests())
            .field("policy", &self.policy())
            .finish()
    }
}

/// The state of a key as lists show it. Revoked wins over expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the three states of the documented model")]
pub enum KeyStatus {
    /// Neither expired nor revoked.
    Active,
    /// Past its expiry or the organization's maximum age. Regenerating it restores access.
    Expired,
    /// Revoked or replaced, for good.
    Revoked,
}

impl KeyStatus {
    /// `active`, `expired` or `revoked`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for KeyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    use futures::FutureExt;

    use super::*;
    use crate::store::{KeyStore, Lookup, MemoryStore};
    use crate::usage::UsageTracker;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn record() -> KeyRecord {
        let organization = "acme".parse().unwrap();
        KeyRecord::new(KeyId::from_u128(1), KeyDigest::of(b"key"), organization, Access::Full).with_created_at(at(1000))
    }

    /// Instructions, times and bytes that are said of many keys rest on it. Behind the two counts of an `Arc` they end at
    /// 80, and an allocation begins at a multiple of 16: never in a third cache line.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn what_a_request_reads_lies_in_the_first_64_bytes() {
        use std::mem::offset_of;

        for end in [
            offset_of!(KeyRecord, digest) + size_of::<KeyDigest>(),
            offset_of!(KeyRecord, access) + size_of::<Access>(),
            offset_of!(KeyRecord, rare) + size_of::<Option<Box<Rare>>>(),
            offset_of!(KeyRecord, expires) + size_of::<Option<Timestamp>>(),
        ] {
            assert!(end <= 64, "{end}");
        }
        assert_eq!(size_of::<KeyRecord>(), 120);
    }

    #[test]
    fn case_071_expires_at_the_very_moment() {
        let record = record().with_expires_at(at(2000));
        let nano = Duration::from_nanos(1);
        assert!(!record.is_expired(|| at(2000) - nano));
        assert!(record.is_expired(|| at(2000)));
        assert!(record.is_expired(|| at(2000) + nano));
    }

    #[test]
    fn a_fraction_of_a_second_is_rounded_towards_earlier() {
        let record = record().with_expires_at(at(2000) + Duration::from_millis(999));
        assert_eq!(record.expires_at(), Some(at(2000)));
        assert!(record.is_expired(|| at(2000)));
    }

    #[test]
    fn case_076_the_earlier_of_expiry_and_maximum_age_counts() {
        let aged = OrganizationPolicy::default().with_max_key_age(Duration::from_secs(500));
        for (expires, end) in [(None, 1500), (Some(at(1400)), 1400), (Some(at(9000)), 1500)] {
            let record = record().with_expires_at(expires).with_policy(aged);
            assert_eq!(record.valid_until(), Some(at(end)));
            assert_eq!(record.status(at(end - 1)), KeyStatus::Active);
            assert_eq!(record.status(at(end)), KeyStatus::Expired);
        }
    }

    #[test]
    fn a_key_that_never_expires_does_not_ask_for_the_time() {
        assert!(!record().is_expired(|| unreachable!("the clock was read")));
    }

    #[test]
    fn equal_is_what_has_equal_facts() {
        let revoked = || record().with_revoked_at(at(1500));
        let used = Arc::new(revoked());
        UsageTracker::new().count(&used, at(1600));
        assert_eq!(*used, revoked(), "what the store has yet to be told is no fact");
        for other in [
            revoked().with_revoked_at(None),
            revoked().with_revoked_at(at(1501)),
            revoked().with_replaced_by(at(1500), KeyId::from_u128(2)),
            revoked().with_name("other"),
            revoked().with_usage(None, 1),
        ] {
            assert_ne!(other, revoked());
        }
        assert_eq!(revoked().with_revoked_at(None), record());
        let policy = OrganizationPolicy::default().with_disabled(true);
        let both = revoked().with_policy(policy);
        assert_ne!(both, revoked());
        assert_eq!(both.clone().with_policy(OrganizationPolicy::default()), revoked());
        assert_eq!(both.with_revoked_at(None), record().with_policy(policy));
        assert_eq!(record().with_policy(policy).with_policy(OrganizationPolicy::default()), record());
        assert_eq!(record().with_usage(at(1600), 1).with_usage(None, 0), record());
        assert_eq!(record().with_name("other").with_name(""), record());
    }

    #[test]
    fn a_copy_has_the_same_facts_and_nothing_to_report() {
        let (store, usage) = (MemoryStore::new(), UsageTracker::new());
        let used = store.add(record().with_usage(at(1600), 5)).unwrap();
        usage.count(&used, at(1700));
        let copy = Arc::new(KeyRecord::clone(&used));
        assert_eq!((copy.last_used_at(), copy.requests()), (Some(at(1600)), 5));
        usage.count(&copy, at(1800));
        usage.flush(&store).now_or_never().unwrap().unwrap();
        let told = store.find_now(used.digest());
        assert!(matches!(told, Lookup::Found(told) if *told == record().with_usage(at(1800), 7)));
    }

    #[test]
    fn case_049_revoked_wins_over_expired() {
        let record = record().with_expires_at(at(2000)).with_replaced_by(at(1500), KeyId::from_u128(2));
        assert_eq!(record.status(at(3000)), KeyStatus::Revoked);
        assert_eq!(record.replaced_by(), Some(KeyId::from_u128(2)));
        assert_eq!(record.revoked_at(), Some(at(1500)));
    }

    #[test]
    fn a_record_says_what_it_was_made_of() {
        let bare = record();
        assert_eq!((bare.name(), bare.hint(), bare.requests()), ("", "", 0));
        assert_eq!((bare.expires_at(), bare.valid_until(), bare.revoked_at()), (None, None, None));
        assert_eq!((bare.replaced_by(), bare.last_used_at(), bare.is_revoked()), (None, None, false));
        assert_eq!((bare.id(), bare.digest()), (KeyId::from_u128(1), &KeyDigest::of(b"key")));
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
            .with_replaced_by(at(1750), KeyId::from_u128(2));
        assert_eq!((full.name(), full.hint()), ("nightly export", "avk_...4567"));
        assert_eq!((full.access(), full.policy()), (&access, policy));
        assert_eq!((full.last_used_at(), full.requests()), (Some(at(1700)), 42));
        assert_eq!((full.expires_at(), full.valid_until()), (Some(at(1800)), Some(at(1800))));
        assert_eq!((full.revoked_at(), full.replaced_by()), (Some(at(1750)), Some(KeyId::from_u128(2))));
        assert!(full.is_revoked());
    }

    #[test]
    fn debug_tells_the_record_and_a_part_of_the_digest() {
        let text = format!("{:?}", record().with_name("nightly export"));
        for part in ["00000000-0000-0000-0000-000000000001", "acme", "nightly export", "KeyDigest(2c70e12b..)"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_status_has_a_word() {
        for (status, word) in
            [(KeyStatus::Active, "active"), (KeyStatus::Expired, "expired"), (KeyStatus::Revoked, "revoked")]
        {
            assert_eq!((status.as_str(), &*status.to_string()), (word, word));
        }
    }
}
