use std::fmt;

const LAST: usize = 4;
const MAX_PREFIX_LEN: usize = 16;
/// The hint of a shorter key would reveal too much of it.
const MIN_KEY_LEN: usize = 24;

/// What a list shows of a key, so that its owner recognizes it: prefix and last four characters.
///
/// ```
/// use tower_api_key::key::KeyHint;
///
/// let hint = KeyHint::from_plaintext(b"avk_00112233445566778899aabbccddeeff01234567");
/// assert_eq!(hint.as_str(), "avk_...4567");
/// assert_eq!(KeyHint::from_plaintext(b"0123456789abcdef0123456789abcdef01234567").as_str(), "...4567");
/// assert_eq!(KeyHint::from_plaintext(b"short").as_str(), "");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyHint(Box<str>);

impl KeyHint {
    /// Returns the hint of a presented key: its prefix up to the last `_` among its first 16 characters, and its last
    /// four. Empty for a key of less than 24 characters or with bytes outside printable ASCII.
    #[must_use]
    pub fn from_plaintext(presented: &[u8]) -> Self {
        let printable = presented.iter().all(u8::is_ascii_graphic);
        let Ok(text) = std::str::from_utf8(presented) else { return Self::default() };
        if !printable || text.len() < MIN_KEY_LEN {
            return Self::default();
        }
        let prefix = text[..MAX_PREFIX_LEN].rfind('_').map_or("", |end| &text[..=end]);
        let last = &text[text.len() - LAST..];
        Self(format!("{prefix}...{last}").into())
    }

    /// Returns a hint that a store kept earlier. A longer text, such as a whole key stored here by mistake, is shortened
    /// to its hint.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        let longest = MAX_PREFIX_LEN + "...".len() + LAST;
        if text.chars().count() > longest {
            return Self::from_plaintext(text.as_bytes());
        }
        Self(text.chars().filter(|c| !c.is_control()).collect::<String>().into())
    }

    /// Returns the text to show, possibly empty.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHint({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hint_shows_prefix_and_last_four() {
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
            assert_eq!(KeyHint::from_plaintext(key).as_str(), hint, "{key:?}");
        }
    }

    #[test]
    fn hint_from_stored_text_is_shortened() {
        let whole = "avk_00112233445566778899aabbccddeeff01234567";
        assert_eq!(KeyHint::from_stored(whole).as_str(), "avk_...4567");
        assert_eq!(KeyHint::from_stored("avk_...4567").as_str(), "avk_...4567");
        assert_eq!(KeyHint::from_stored("a\n\u{1b}b").as_str(), "ab");
    }

    proptest! {
        #[test]
        fn hint_from_stored_hint_is_unchanged(prefix in "[!-~]{0,16}", rest in "[!-~]{20,40}") {
            let hint = KeyHint::from_plaintext(format!("{prefix}_{rest}").as_bytes());
            prop_assert_eq!(KeyHint::from_stored(hint.as_str()), hint);
        }

        /// A whole key that was stored as a hint by mistake.
        #[test]
        fn hint_from_stored_key_never_shows_it(key in "[!-~]{24,64}") {
            prop_assert!(KeyHint::from_stored(&key).as_str().len() <= 23);
            prop_assert!(!KeyHint::from_stored(&key).as_str().contains(&key));
        }
    }

    #[test]
    fn longest_hint_from_stored_is_unchanged() {
        let hint = KeyHint::from_plaintext(b"acme_production_0123456789abcdef");
        assert_eq!(hint.as_str(), "acme_production_...cdef");
        assert_eq!(KeyHint::from_stored(hint.as_str()), hint);
    }

    #[test]
    fn hint_display_and_debug_show_text() {
        let hint = KeyHint::from_stored("avk_...4567");
        assert_eq!(hint.to_string(), "avk_...4567");
        assert_eq!(format!("{hint:?}"), "KeyHint(avk_...4567)");
    }
}
