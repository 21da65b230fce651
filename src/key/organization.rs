use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use crate::text::Text;

const MAX_LEN: usize = 128;

/// The organization a key belongs to: the id of a tenant, or one constant in a service without tenants.
///
/// 1 to 128 bytes of UTF-8 without control characters, compared byte for byte.
///
/// ```
/// use tower_api_key::OrganizationId;
///
/// const INTERNAL: OrganizationId = OrganizationId::from_static("internal");
/// let acme: OrganizationId = "org-7f3a".parse()?;
/// assert_eq!(acme.as_str(), "org-7f3a");
/// assert_ne!(acme, INTERNAL);
/// assert!("".parse::<OrganizationId>().is_err());
/// # Ok::<(), tower_api_key::key::InvalidOrganization>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "tenant")]
pub struct OrganizationId(Text);

impl OrganizationId {
    /// Takes an id that is known when the service is written. In a `const`, an invalid id does not compile.
    ///
    /// # Panics
    /// When the text is not a valid id.
    ///
    /// ```compile_fail
    /// const INVALID: tower_api_key::OrganizationId = tower_api_key::OrganizationId::from_static("");
    /// ```
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        assert!(is_valid(text), "an organization id has 1 to 128 bytes without control characters");
        Self(Text::Static(text))
    }

    /// Takes the id from any text.
    ///
    /// # Errors
    /// [`InvalidOrganization`] when the text is empty, longer than 128 bytes, or has control characters.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidOrganization> {
        let text = text.as_ref();
        if is_valid(text) { Ok(Self(text.into())) } else { Err(InvalidOrganization) }
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for OrganizationId {
    type Err = InvalidOrganization;

    fn from_str(text: &str) -> Result<Self, InvalidOrganization> {
        Self::new(text)
    }
}

/// Finds the id in a map by its text.
impl Borrow<str> for OrganizationId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not an organization id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid organization id: expected 1 to 128 bytes without control characters")]
pub struct InvalidOrganization;

const fn is_valid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let control = match bytes[at] {
            0..0x20 | 0x7f => true,
            // The first of the two bytes of U+0080 to U+00BF, of which those up to U+009F are control characters.
            0xc2 => bytes[at + 1] < 0xa0,
            _ => false,
        };
        if control {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty() && bytes.len() <= MAX_LEN
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn organization_id_invalid_is_rejected() {
        for text in ["", "a\nb", "nul\0", "del\u{7f}", "\u{80}", "a\u{9f}", &"x".repeat(129)] {
            assert_eq!(text.parse::<OrganizationId>(), Err(InvalidOrganization), "{text:?}");
        }
        for text in ["\u{a0}", "é", "\u{c2}", "组织", &"x".repeat(128)] {
            assert!(text.parse::<OrganizationId>().is_ok(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn organization_id_without_controls_is_accepted(text in "[\\x00-\\u{ff}]{1,3}|\\PC{0,140}") {
            let valid = (1..=128).contains(&text.len()) && !text.chars().any(char::is_control);
            prop_assert_eq!(OrganizationId::new(&text).is_ok(), valid);
        }
    }

    #[test]
    #[should_panic(expected = "an organization id has")]
    fn organization_id_from_invalid_static_panics() {
        let _ = OrganizationId::from_static("a\nb");
    }

    #[test]
    fn organization_id_from_static_equals_parsed() {
        const ACME: OrganizationId = OrganizationId::from_static("acme");
        assert_eq!("acme".parse(), Ok(ACME));
        let map = HashMap::from([(ACME, 1)]);
        assert_eq!((map.get("acme"), map.get("other")), (Some(&1), None));
    }

    #[test]
    fn organization_id_is_shown_as_given() {
        let id: OrganizationId = "acme \"west\"".parse().unwrap();
        assert_eq!((id.as_str(), &*id.to_string()), ("acme \"west\"", "acme \"west\""));
        assert_eq!(format!("{id:?}"), r#"OrganizationId("acme \"west\"")"#);
    }
}
