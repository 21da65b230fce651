use std::fmt;
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
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrganizationId(Arc<str>);

impl OrganizationId {
    /// Takes the id from any text.
    ///
    /// # Errors
    /// When the text is empty, longer than 128 bytes, or has control characters.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidOrganization> {
        let text = text.as_ref();
        if (1..=128).contains(&text.len()) && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrganizationPolicy {
    max_key_age: Option<Duration>,
    disabled: bool,
}

impl OrganizationPolicy {
    /// Keys expire at this age even when they carry no expiry or a later one. Whole seconds, rounded down.
    #[must_use]
    pub const fn with_max_key_age(mut self, age: Duration) -> Self {
        self.max_key_age = Some(age);
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
        self.max_key_age
    }

    /// Whether all keys of the organization are refused.
    #[must_use]
    pub const fn is_disabled(&self) -> bool {
        self.disabled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_ids_are_refused() {
        for bad in ["", "a\nb", "nul\0", &"x".repeat(129)] {
            assert_eq!(bad.parse::<OrganizationId>(), Err(InvalidOrganization), "{bad:?}");
        }
        assert!("x".repeat(128).parse::<OrganizationId>().is_ok());
    }
}
