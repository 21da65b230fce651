use std::time::{Duration, SystemTime};

use super::BackendError;
use crate::key::KeyRecord;
use crate::time::Timestamp;

/// What a store checks in the transaction that adds a key, by its own clock. The default checks that a new key is not
/// expired already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InsertRules {
    max_active: Option<u64>,
    default_lifetime: Option<Duration>,
    longest_lifetime: Option<Duration>,
    expiry_required: bool,
}

impl InsertRules {
    /// Returns the default rules.
    #[must_use]
    pub const fn new() -> Self {
        Self { max_active: None, default_lifetime: None, longest_lifetime: None, expiry_required: false }
    }

    /// Limits an organization to this many active keys. A suspended key counts, as does the old key of an overlap.
    #[must_use]
    pub const fn with_max_active(mut self, keys: u64) -> Self {
        self.max_active = Some(keys);
        self
    }

    /// Lets a key without an expiry expire after this time.
    #[must_use]
    pub const fn with_default_lifetime(mut self, lifetime: Duration) -> Self {
        self.default_lifetime = Some(lifetime);
        self
    }

    /// Rejects a key that expires later than after this time, or never.
    #[must_use]
    pub const fn with_longest_lifetime(mut self, lifetime: Duration) -> Self {
        self.longest_lifetime = Some(lifetime);
        self
    }

    /// Rejects a key that never expires.
    #[must_use]
    pub const fn with_expiry_required(mut self) -> Self {
        self.expiry_required = true;
        self
    }

    /// Returns the most active keys of an organization.
    #[must_use]
    pub const fn max_active(&self) -> Option<u64> {
        self.max_active
    }

    /// Returns the lifetime of a key without an expiry.
    #[must_use]
    pub const fn default_lifetime(&self) -> Option<Duration> {
        self.default_lifetime
    }

    /// Returns the longest lifetime of a key.
    #[must_use]
    pub const fn longest_lifetime(&self) -> Option<Duration> {
        self.longest_lifetime
    }

    /// Returns whether every key must expire.
    #[must_use]
    pub const fn is_expiry_required(&self) -> bool {
        self.expiry_required || self.longest_lifetime.is_some()
    }

    /// Checks that a change does not leave an organization with too many active keys. A change that adds none is allowed,
    /// also above the limit.
    ///
    /// # Errors
    /// [`BackendError::TooManyKeys`] when there are more keys `after` the change than `before`, and more than the limit.
    pub fn check_active(&self, before: u64, after: u64) -> Result<(), BackendError> {
        match self.max_active {
            Some(most) if after > before && after > most => Err(BackendError::TooManyKeys),
            _ => Ok(()),
        }
    }

    /// Returns whether a key counts as active at this time: neither revoked nor expired.
    #[must_use]
    pub fn counts(key: &KeyRecord, now: SystemTime) -> bool {
        key.ended_at(now).is_none()
    }

    /// Returns the expiry of a key that is issued now with this one.
    pub(super) fn expiry(
        &self,
        asked: Option<SystemTime>,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, BackendError> {
        let Some(expiry) = asked.or_else(|| self.default_lifetime.map(|lifetime| after(now, lifetime))) else {
            return self.expiry_never();
        };
        if Timestamp::floor(expiry).is_reached(now) {
            return Err(BackendError::ExpiryInPast);
        }
        if self.longest_lifetime.is_some_and(|longest| Timestamp::floor(expiry) > Timestamp::floor(after(now, longest)))
        {
            return Err(BackendError::ExpiryTooLate);
        }
        Ok(Some(expiry))
    }

    pub(super) const fn expiry_never(&self) -> Result<Option<SystemTime>, BackendError> {
        if self.is_expiry_required() { Err(BackendError::ExpiryRequired) } else { Ok(None) }
    }

    /// Returns the expiry of a key that lives as long as the one it replaces, but for rules that are younger than that.
    pub(super) fn expiry_as_before(
        &self,
        same: Option<SystemTime>,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, BackendError> {
        let latest = self.longest_lifetime.map(|longest| after(now, longest));
        let asked = same.or_else(|| self.default_lifetime.map(|lifetime| after(now, lifetime)));
        self.expiry(asked.into_iter().chain(latest).min(), now)
    }
}

fn after(now: SystemTime, lifetime: Duration) -> SystemTime {
    Timestamp::floor(now).saturating_add(lifetime).system_time()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// What came of it, as text: errors are not comparable.
    fn shown(result: Result<Option<SystemTime>, BackendError>) -> String {
        match result {
            Ok(None) => "never".to_owned(),
            Ok(Some(time)) => time.duration_since(UNIX_EPOCH).unwrap().as_secs().to_string(),
            Err(error) => format!("{error:?}"),
        }
    }

    /// Cases: 190.
    #[test]
    fn expiry_follows_the_lifetime_rules() {
        let none = InsertRules::new();
        let day = none.with_default_lifetime(Duration::from_secs(100));
        let most = none.with_longest_lifetime(Duration::from_secs(500));
        let both = day.with_longest_lifetime(Duration::from_secs(500));
        let required = none.with_expiry_required();
        for (rules, asked, issued, same, never) in [
            (none, None, "never", "never", "never"),
            (none, Some(1), "ExpiryInPast", "ExpiryInPast", "never"),
            (none, Some(1000), "ExpiryInPast", "ExpiryInPast", "never"),
            (none, Some(9000), "9000", "9000", "never"),
            (day, None, "1100", "1100", "never"),
            (day, Some(9000), "9000", "9000", "never"),
            (most, None, "ExpiryRequired", "1500", "ExpiryRequired"),
            (most, Some(1500), "1500", "1500", "ExpiryRequired"),
            (most, Some(1501), "ExpiryTooLate", "1500", "ExpiryRequired"),
            (both, None, "1100", "1100", "ExpiryRequired"),
            (both, Some(9000), "ExpiryTooLate", "1500", "ExpiryRequired"),
            (required, None, "ExpiryRequired", "ExpiryRequired", "ExpiryRequired"),
            (required, Some(9000), "9000", "9000", "ExpiryRequired"),
        ] {
            let asked = asked.map(at);
            assert_eq!(shown(rules.expiry(asked, at(1000))), issued, "issued: {rules:?} {asked:?}");
            assert_eq!(shown(rules.expiry_as_before(asked, at(1000))), same, "same lifetime: {rules:?} {asked:?}");
            assert_eq!(shown(rules.expiry_never()), never, "never: {rules:?}");
        }
    }

    /// Cases: 189.
    #[test]
    fn active_keys_may_stay_above_the_limit_and_not_grow() {
        let rules = InsertRules::new().with_max_active(3);
        for (before, after, allowed) in [(2, 3, true), (3, 4, false), (5, 5, true), (5, 6, false), (5, 4, true)] {
            assert_eq!(rules.check_active(before, after).is_ok(), allowed, "{before} to {after}");
        }
        assert!(InsertRules::new().check_active(0, u64::MAX).is_ok());
    }
}
