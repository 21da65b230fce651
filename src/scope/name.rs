use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

const LONGEST: usize = 128;

/// The name of something a key may do, such as `datasets.read`.
///
/// 1 to 128 printable ASCII characters without space, `"` and `\` (a scope token of RFC 6749, 3.3), and without `,`
/// and `;`, so that a list which somebody wrote with one of these between its names is refused, and not read as half
/// of what it says. Compared byte for byte: no wildcards, no hierarchy, no case folding. The set of scopes is open,
/// so a name that this version of a service does not know survives being read and written back.
///
/// ```
/// use tower_api_key::Scope;
///
/// const INVOICES_READ: Scope = Scope::from_static("invoices.read");
/// assert_eq!("invoices.read".parse(), Ok(INVOICES_READ));
/// assert_ne!("Invoices.Read".parse(), Ok(INVOICES_READ));
/// assert!("invoices read".parse::<Scope>().is_err());
/// ```
#[derive(Clone)]
pub struct Scope(Text);

#[derive(Clone)]
enum Text {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Scope {
    /// A scope known when the service is written. In a `const`, a bad name does not compile.
    ///
    /// # Panics
    /// When the name is not a scope.
    ///
    /// ```compile_fail
    /// const BAD: tower_api_key::Scope = tower_api_key::Scope::from_static("two words");
    /// ```
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        assert!(
            is_scope(name),
            "a scope is 1 to 128 printable ASCII characters without space, '\"', '\\', ',' and ';'"
        );
        Self(Text::Static(name))
    }

    /// A scope from a configuration, a request or a database.
    ///
    /// # Errors
    /// When the name is not a scope.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidScope> {
        let name = name.as_ref();
        if is_scope(name) { Ok(Self(Text::Shared(name.into()))) } else { Err(InvalidScope) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Static(name) => name,
            Text::Shared(name) => name,
        }
    }
}

const fn is_scope(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_graphic() || matches!(bytes[at], b'"' | b'\\' | b',' | b';') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty() && bytes.len() <= LONGEST
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

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({:?})", self.as_str())
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Scope {}

impl PartialOrd for Scope {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scope {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Scope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// The text is not a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope is 1 to 128 printable ASCII characters without space, '\"', '\\', ',' and ';'")]
pub struct InvalidScope;

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bad_names_are_refused() {
        for bad in
            ["", " ", "datasets.read ", "a\tb", "a\nb", "a\"b", "a\\b", "a,", "a,b", "a;b", "é", "\0", &"x".repeat(129)]
        {
            assert_eq!(Scope::new(bad), Err(InvalidScope), "{bad:?}");
        }
        assert!(Scope::new("x".repeat(128)).is_ok());
    }

    #[test]
    #[should_panic(expected = "a scope is")]
    fn a_bad_static_name_panics() {
        let _ = Scope::from_static("");
    }

    #[test]
    fn where_the_text_lives_makes_no_difference() {
        let (fixed, parsed) = (Scope::from_static("a.b"), Scope::new("a.b").unwrap());
        assert_eq!(fixed, parsed);
        assert_eq!(fixed.cmp(&parsed), Ordering::Equal);
        assert_eq!(std::collections::HashSet::from([fixed, parsed]).len(), 1);
    }

    proptest! {
        #[test]
        fn is_compared_hashed_and_shown_as_its_text(a in "[a-c.]{1,3}", b in "[a-c.]{1,3}") {
            let scope = |text: &str| Scope::new(text).unwrap();
            prop_assert_eq!(scope(&a) == scope(&b), a == b);
            prop_assert_eq!(scope(&a).cmp(&scope(&b)), a.cmp(&b));
            prop_assert_eq!(scope(&a).partial_cmp(&scope(&b)), a.partial_cmp(&b));
            let hasher = RandomState::new();
            prop_assert_eq!(hasher.hash_one(scope(&a)) == hasher.hash_one(scope(&b)), a == b);
            prop_assert_eq!(scope(&a).to_string(), a.clone());
            prop_assert_eq!(format!("{:?}", scope(&a)), format!("Scope({a:?})"));
        }
    }
}
