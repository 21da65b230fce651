use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use http::HeaderName;

/// A short text that is a constant of the program or shared by its clones. Compared, hashed and shown as its `str`.
#[derive(Clone)]
pub(crate) enum Text {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Text {
    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Shared(text.into())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// Shows `x-avala-api-key` as `X-Avala-Api-Key`.
pub(crate) struct TitleCase<'a>(pub(crate) &'a HeaderName);

impl fmt::Display for TitleCase<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = '-';
        for letter in self.0.as_str().chars() {
            let shown = if before == '-' { letter.to_ascii_uppercase() } else { letter };
            fmt::Write::write_char(f, shown)?;
            before = letter;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use proptest::prelude::*;

    use super::*;

    /// A fixed text, or a shared one.
    fn text() -> impl Strategy<Value = Text> {
        let fixed = proptest::sample::select(&["a", "b", "ab", "a.b", "c"][..]).prop_map(Text::Static);
        prop_oneof![fixed, "[a-c.]{1,3}".prop_map(|text| Text::from(&*text))]
    }

    proptest! {
        #[test]
        fn text_behaves_as_its_str(a in text(), b in text()) {
            let (left, right) = (a.as_str(), b.as_str());
            prop_assert_eq!(a == b, left == right);
            prop_assert_eq!(a.cmp(&b), left.cmp(right));
            prop_assert_eq!(a.partial_cmp(&b), left.partial_cmp(right));
            let hasher = RandomState::new();
            prop_assert_eq!(hasher.hash_one(&a), hasher.hash_one(left));
            prop_assert_eq!(format!("{a:?}"), format!("{left:?}"));
        }
    }
}
