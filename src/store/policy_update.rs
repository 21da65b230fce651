use std::time::Duration;

use crate::key::OrganizationPolicy;

/// A change of an organization's policy. What it does not set stays as it is.
///
/// ```
/// use tower_api_key::key::OrganizationPolicy;
/// use tower_api_key::store::PolicyUpdate;
///
/// let disabled = OrganizationPolicy::default().with_disabled(true);
/// assert!(PolicyUpdate::new().with_max_key_age(None).apply(disabled).is_disabled());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyUpdate {
    /// `Some(None)` for any age.
    max_key_age: Option<Option<Duration>>,
    disabled: Option<bool>,
}

impl PolicyUpdate {
    /// Returns an update that changes nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { max_key_age: None, disabled: None }
    }

    /// Sets the age at which keys expire, `None` for no such age.
    #[must_use]
    pub fn with_max_key_age(self, age: impl Into<Option<Duration>>) -> Self {
        Self { max_key_age: Some(age.into()), ..self }
    }

    /// Rejects every key of the organization, or accepts its keys again.
    #[must_use]
    pub const fn with_disabled(self, disabled: bool) -> Self {
        Self { disabled: Some(disabled), ..self }
    }

    /// Returns the maximum age that it sets.
    #[must_use]
    pub const fn max_key_age(&self) -> Option<Option<Duration>> {
        self.max_key_age
    }

    /// Returns whether it disables the organization, if it sets that.
    #[must_use]
    pub const fn disabled(&self) -> Option<bool> {
        self.disabled
    }

    /// Returns the policy after the change.
    #[must_use]
    pub fn apply(&self, before: OrganizationPolicy) -> OrganizationPolicy {
        let policy = OrganizationPolicy::default().with_disabled(self.disabled.unwrap_or(before.is_disabled()));
        let age = self.max_key_age.unwrap_or(before.max_key_age());
        age.map_or(policy, |age| policy.with_max_key_age(age))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases: 201.
    #[test]
    fn policy_update_sets_its_fields_alone() {
        let (none, day) = (OrganizationPolicy::default(), Duration::from_secs(86_400));
        let both = none.with_max_key_age(day).with_disabled(true);
        for (before, update, after) in [
            (both, PolicyUpdate::new(), both),
            (both, PolicyUpdate::new().with_max_key_age(None), none.with_disabled(true)),
            (both, PolicyUpdate::new().with_disabled(false), none.with_max_key_age(day)),
            (none, PolicyUpdate::new().with_max_key_age(day), none.with_max_key_age(day)),
            (none, PolicyUpdate::new().with_max_key_age(day).with_disabled(true), both),
        ] {
            assert_eq!(update.apply(before), after, "{update:?}");
        }
    }
}
