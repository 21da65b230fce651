use std::time::Duration;

/// What an organization requires of its keys. Checked on every request, so that it applies to keys that were issued before
/// it was set. The default requires nothing.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::key::OrganizationPolicy;
///
/// let quarterly = OrganizationPolicy::default().with_max_key_age(Duration::from_secs(90 * 24 * 60 * 60));
/// assert!(!quarterly.is_disabled());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrganizationPolicy {
    max_key_age: Option<Duration>,
    disabled: bool,
}

impl OrganizationPolicy {
    /// Sets the age at which keys expire, also those with a later expiry or none. Rounded down to whole seconds.
    #[must_use]
    pub const fn with_max_key_age(mut self, age: Duration) -> Self {
        self.max_key_age = Some(Duration::from_secs(age.as_secs()));
        self
    }

    /// Disables or enables the organization. No key of a disabled organization is valid.
    #[must_use]
    pub const fn with_disabled(mut self, disabled: bool) -> Self {
        self.disabled = disabled;
        self
    }

    /// Returns the age at which keys expire, if there is one.
    #[must_use]
    pub const fn max_key_age(&self) -> Option<Duration> {
        self.max_key_age
    }

    /// Returns the policy that requires what either of the two requires.
    pub(crate) fn stricter(self, other: Self) -> Self {
        let ages = self.max_key_age.into_iter().chain(other.max_key_age);
        Self { max_key_age: ages.min(), disabled: self.disabled || other.disabled }
    }

    /// Returns whether all keys of the organization are rejected.
    #[must_use]
    pub const fn is_disabled(&self) -> bool {
        self.disabled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_max_age_is_whole_seconds() {
        let kept = |age| OrganizationPolicy::default().with_max_key_age(age).max_key_age();
        for seconds in [0, 1, 90 * 24 * 60 * 60, u64::MAX] {
            let age = Duration::from_secs(seconds);
            assert_eq!(kept(age), Some(age));
            assert_eq!(kept(age + Duration::from_nanos(999_999_999)), Some(age));
        }
    }

    #[test]
    fn policy_returns_what_was_set() {
        let nothing = OrganizationPolicy::default();
        assert_eq!((nothing.max_key_age(), nothing.is_disabled()), (None, false));
        let day = Duration::from_secs(86_400);
        let both = nothing.with_max_key_age(day).with_disabled(true);
        assert_eq!((both.max_key_age(), both.is_disabled()), (Some(day), true));
        assert!(!both.with_disabled(false).is_disabled());
    }
}
