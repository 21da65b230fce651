use std::fmt;

const LAST: usize = 4;
const LONGEST_PREFIX: usize = 16;
/// A shorter key would give away too much of itself.
const SHORTEST_KEY: usize = 24;

/// What a list shows of a key so that its owner recognises it: prefix and last four characters.
///
/// ```
/// use tower_api_key::KeyHint;
///
/// let hint = KeyHint::of(b"avk_00112233445566778899aabbccddeeff01234567");
/// assert_eq!(hint.as_str(), "avk_...4567");
/// assert_eq!(KeyHint::of(b"0123456789abcdef0123456789abcdef01234567").as_str(), "...4567");
/// assert_eq!(KeyHint::of(b"short").as_str(), "");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyHint(Box<str>);

impl KeyHint {
    /// The hint of a presented key: its prefix up to the last `_` among its first 16 characters, and its last
    /// four. Empty for a key of less than 24 characters or with bytes outside printable ASCII.
    #[must_use]
    pub fn of(presented: &[u8]) -> Self {
        let printable = presented.iter().all(u8::is_ascii_graphic);
        let Ok(text) = std::str::from_utf8(presented) else { return Self::default() };
        if !printable || text.len() < SHORTEST_KEY {
            return Self::default();
        }
        let prefix = text[..LONGEST_PREFIX].rfind('_').map_or("", |end| &text[..=end]);
        let last = &text[text.len() - LAST..];
        Self(format!("{prefix}...{last}").into())
    }

    /// A hint that a store kept earlier. Of anything longer than a hint can be, such as a whole key that was put here
    /// by mistake, only the hint is shown.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        let longest = LONGEST_PREFIX + "...".len() + LAST;
        if text.chars().count() > longest {
            return Self::of(text.as_bytes());
        }
        Self(text.chars().filter(|c| !c.is_control()).collect::<String>().into())
    }

    /// The text to show, possibly empty.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHint({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shows_no_more_than_prefix_and_last_four() {
        let table: [(&[u8], &str); 7] = [
            (b"avala_sk_0123456789abcdef0123456789abcdef", "avala_sk_...cdef"),
            (b"sk_live_0123456789abcdef", "sk_live_...cdef"),
            (b"0123456789abcdef_123456789abcdef", "...cdef"),
            (b"", ""),
            (b"avk_only", ""),
            (b"avk_0123456789abcdef\xff0123456789", ""),
            (b"avk_0123456789abcdef 0123456789", ""),
        ];
        for (key, hint) in table {
            assert_eq!(KeyHint::of(key).as_str(), hint, "{key:?}");
        }
    }

    #[test]
    fn a_stored_text_is_cut() {
        let whole = "avk_00112233445566778899aabbccddeeff01234567";
        assert_eq!(KeyHint::from_stored(whole).as_str(), "avk_...4567");
        assert_eq!(KeyHint::from_stored("avk_...4567").as_str(), "avk_...4567");
        assert_eq!(KeyHint::from_stored("a\n\u{1b}b").as_str(), "ab");
    }

    proptest! {
        #[test]
        fn a_hint_is_stored_and_read_back_as_it_is(prefix in "[!-~]{0,16}", rest in "[!-~]{20,40}") {
            let hint = KeyHint::of(format!("{prefix}_{rest}").as_bytes());
            prop_assert_eq!(KeyHint::from_stored(hint.as_str()), hint);
        }

        /// Whoever stored a whole key in its place by mistake.
        #[test]
        fn what_is_longer_than_a_hint_is_never_shown_whole(key in "[!-~]{24,64}") {
            prop_assert!(KeyHint::from_stored(&key).as_str().len() <= 23);
            prop_assert!(!KeyHint::from_stored(&key).as_str().contains(&key));
        }
    }

    #[test]
    fn the_longest_hint_is_stored_and_read_back() {
        let hint = KeyHint::of(b"acme_production_0123456789abcdef");
        assert_eq!(hint.as_str(), "acme_production_...cdef");
        assert_eq!(KeyHint::from_stored(hint.as_str()), hint);
    }

    #[test]
    fn debug_shows_the_hint() {
        assert_eq!(format!("{:?}", KeyHint::from_stored("avk_...4567")), "KeyHint(avk_...4567)");
    }
}
