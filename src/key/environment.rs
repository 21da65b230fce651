use std::fmt;
use std::str::FromStr;

use crate::text::Text;

const MAX_LEN: usize = 32;

/// The name of a key format, such as `live` or `test`: which of a service's environments a key is for.
///
/// 1 to 32 ASCII letters, digits, `_` and `-`, compared byte for byte.
///
/// ```
/// use tower_api_key::key::{Environment, KeyFormat};
///
/// const TEST: Environment = Environment::from_static("test");
/// let format = KeyFormat::new("acme_test_")?.with_environment(TEST);
/// assert_eq!(format.environment(), Some(&TEST));
/// assert_eq!("test".parse(), Ok(TEST));
/// # Ok::<(), tower_api_key::key::InvalidPrefix>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Environment(Text);

impl Environment {
    /// Takes a name that is known when the service is written. In a `const`, an invalid name does not compile.
    ///
    /// # Panics
    /// When the text is not a valid name.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        assert!(is_valid(name), "an environment has 1 to 32 ASCII letters, digits, '_' and '-'");
        Self(Text::Static(name))
    }

    /// Takes the name from any text.
    ///
    /// # Errors
    /// [`InvalidEnvironment`] when the text is not a valid name.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidEnvironment> {
        let name = name.as_ref();
        if is_valid(name) { Ok(Self(name.into())) } else { Err(InvalidEnvironment) }
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Environment {
    type Err = InvalidEnvironment;

    fn from_str(text: &str) -> Result<Self, InvalidEnvironment> {
        Self::new(text)
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid environment: expected 1 to 32 ASCII letters, digits, '_' and '-'")]
pub struct InvalidEnvironment;

const fn is_valid(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !(bytes[at].is_ascii_alphanumeric() || matches!(bytes[at], b'_' | b'-')) {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty() && bytes.len() <= MAX_LEN
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn environment_of_allowed_characters_is_valid(text in "[a-zA-Z0-9_-]{0,33}|\\PC{0,3}") {
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            let valid = (1..=32).contains(&text.len()) && text.chars().all(allowed);
            let parsed = text.parse::<Environment>();
            prop_assert_eq!(parsed.is_ok(), valid);
            prop_assert!(parsed.map_or(true, |parsed| parsed.to_string() == text));
        }
    }

    #[test]
    #[should_panic(expected = "an environment has")]
    fn environment_from_invalid_static_panics() {
        let _ = Environment::from_static("two words");
    }
}
