use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// The organization a key belongs to: a tenant's id in a service of many, one constant in a service of one.
///
/// 1 to 128 bytes without control characters; compared byte for byte.
///
/// ```
/// use tower_api_key::OrganizationId;
///
/// let acme: OrganizationId = "org-7f3a".parse()?;
/// assert_eq!(acme.as_str(), "org-7f3a");
/// assert!("".parse::<OrganizationId>().is_err());
/// # Ok::<(), tower_api_key::InvalidOrganization>(())
/// ```
// One pointer, of which each record has a copy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrganizationId(Arc<Box<str>>);

impl OrganizationId {
    /// Takes the id from any text.
    ///
    /// # Errors
    /// When the text is empty, longer than 128 bytes, or has control characters.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidOrganization> {
        let text = text.as_ref();
        if (1..=128).contains(&text.len()) && !text.chars().any(char::is_control) {
            Ok(Self(Arc::new(text.into())))
        } else {
            Err(InvalidOrganization)
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrganizationId {
    type Err = InvalidOrganization;

    fn from_str(text: &str) -> Result<Self, InvalidOrganization> {
        Self::new(text)
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrganizationId({:?})", self.0)
    }
}

/// The text is not an organization id: it is empty, longer than 128 bytes, or has control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an organization id is 1 to 128 bytes without control characters")]
pub struct InvalidOrganization;

/// What an organization demands of its keys, judged at every request, so that it holds for keys that were
/// issued before it was set. The default demands nothing.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::OrganizationPolicy;
///
/// let quarterly = OrganizationPolicy::default().with_max_key_age(Duration::from_secs(90 * 24 * 60 * 60));
/// assert!(!quarterly.is_disabled());
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct OrganizationPolicy {
    /// In seconds and one more, so that an `Option` takes no more room.
    max_key_age: Option<NonZeroU64>,
    disabled: bool,
}

impl OrganizationPolicy {
    /// Keys expire at this age even when they carry no expiry or a later one. Whole seconds, rounded down.
    #[must_use]
    pub const fn with_max_key_age(mut self, age: Duration) -> Self {
        self.max_key_age = Some(NonZeroU64::MIN.saturating_add(age.as_secs()));
        self
    }

    /// None of the organization's keys is valid while this is set.
    #[must_use]
    pub const fn with_disabled(mut self, disabled: bool) -> Self {
        self.disabled = disabled;
        self
    }

    /// The age at which keys expire, if there is one.
    #[must_use]
    pub const fn max_key_age(&self) -> Option<Duration> {
        match self.max_key_age {
            Some(age) => Some(Duration::from_secs(age.get() - 1)),
            None => None,
        }
    }

    /// Whether all keys of the organization are refused.
    #[must_use]
    pub const fn is_disabled(&self) -> bool {
        self.disabled
    }
}

impl fmt::Debug for OrganizationPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrganizationPolicy")
            .field("max_key_age", &self.max_key_age())
            .field("disabled", &self.disabled)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maximum_age_is_kept_in_whole_seconds() {
        let kept = |age| OrganizationPolicy::default().with_max_key_age(age).max_key_age();
        for seconds in [0, 1, 90 * 24 * 60 * 60, u64::MAX - 1] {
            let age = Duration::from_secs(seconds);
            assert_eq!(kept(age), Some(age));
            assert_eq!(kept(age + Duration::from_nanos(999_999_999)), Some(age));
        }
        assert_eq!(kept(Duration::MAX), Some(Duration::from_secs(u64::MAX - 1)));
        let policy = OrganizationPolicy::default().with_max_key_age(Duration::from_secs(7));
        assert_eq!(format!("{policy:?}"), "OrganizationPolicy { max_key_age: Some(7s), disabled: false }");
    }

    #[test]
    fn bad_ids_are_refused() {
        for bad in ["", "a\nb", "nul\0", &"x".repeat(129)] {
            assert_eq!(bad.parse::<OrganizationId>(), Err(InvalidOrganization), "{bad:?}");
        }
        assert!("x".repeat(128).parse::<OrganizationId>().is_ok());
    }

    #[test]
    fn an_id_is_shown_as_it_was_given() {
        let id: OrganizationId = "acme \"west\"".parse().unwrap();
        assert_eq!((id.as_str(), &*id.to_string()), ("acme \"west\"", "acme \"west\""));
        assert_eq!(format!("{id:?}"), r#"OrganizationId("acme \"west\"")"#);
    }

    #[test]
    fn a_policy_says_what_was_set() {
        let nothing = OrganizationPolicy::default();
        assert_eq!((nothing.max_key_age(), nothing.is_disabled()), (None, false));
        let day = Duration::from_secs(86_400);
        let both = nothing.with_max_key_age(day).with_disabled(true);
        assert_eq!((both.max_key_age(), both.is_disabled()), (Some(day), true));
        assert!(!both.with_disabled(false).is_disabled());
    }
}
