use std::fmt;
use std::str::FromStr;

use crate::text::Text;

const MAX_LEN: usize = 128;

/// The name of something a key may do, such as `datasets.read`.
///
/// 1 to 128 printable ASCII characters without space, `"`, `\`, `,` and `;` (a scope token of RFC 6749, 3.3, without the
/// characters that separate lists). Scopes are compared byte for byte, without wildcards, hierarchy or case folding. Names
/// that this version of a service does not know are kept.
///
/// ```
/// use tower_api_key::Scope;
///
/// const INVOICES_READ: Scope = Scope::from_static("invoices.read");
/// assert_eq!("invoices.read".parse(), Ok(INVOICES_READ));
/// assert_ne!("Invoices.Read".parse(), Ok(INVOICES_READ));
/// assert!("invoices read".parse::<Scope>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Text);

impl Scope {
    /// Takes a scope that is known when the service is written. In a `const`, an invalid name does not compile.
    ///
    /// # Panics
    /// When the name is not a valid scope.
    ///
    /// ```compile_fail
    /// const INVALID: tower_api_key::Scope = tower_api_key::Scope::from_static("two words");
    /// ```
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        assert!(
            is_valid(name),
            "a scope has 1 to 128 printable ASCII characters without space, '\"', '\\', ',' and ';'"
        );
        Self(Text::Static(name))
    }

    /// Takes a scope from a configuration, a request or a database.
    ///
    /// # Errors
    /// [`InvalidScope`] when the name is not a valid scope.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidScope> {
        let name = name.as_ref();
        if is_valid(name) { Ok(Self(name.into())) } else { Err(InvalidScope) }
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(name: &str) -> Result<Self, InvalidScope> {
        Self::new(name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid scope: expected 1 to 128 printable ASCII characters without space, '\"', '\\', ',' and ';'")]
pub struct InvalidScope;

const fn is_valid(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_graphic() || matches!(bytes[at], b'"' | b'\\' | b',' | b';') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty() && bytes.len() <= MAX_LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_with_invalid_name_is_rejected() {
        for name in
            ["", " ", "datasets.read ", "a\tb", "a\nb", "a\"b", "a\\b", "a,", "a,b", "a;b", "é", "\0", &"x".repeat(129)]
        {
            assert_eq!(Scope::new(name), Err(InvalidScope), "{name:?}");
        }
        assert!(Scope::new("x".repeat(128)).is_ok());
    }

    #[test]
    #[should_panic(expected = "a scope has")]
    fn scope_from_invalid_static_panics() {
        let _ = Scope::from_static("");
    }

    #[test]
    fn scope_from_static_equals_parsed() {
        let (fixed, parsed) = (Scope::from_static("a.b"), Scope::new("a.b").unwrap());
        assert_eq!(fixed, parsed);
        assert_eq!((&*fixed.to_string(), &*format!("{parsed:?}")), ("a.b", "Scope(\"a.b\")"));
    }
}
