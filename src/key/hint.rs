use std::fmt;

const LAST: usize = 4;
const GAP: &str = "...";
const MAX_PREFIX_LEN: usize = 16;
/// Of a shorter key, four characters could leave so few unknown that a digest is enough to find them.
const MIN_KEY_LEN: usize = 24;
/// A stored text of this length is no whole key.
const MAX_BARE_LEN: usize = 8;

/// What a list shows of a key, so that its owner recognizes it: the prefix of its format and its last four characters.
///
/// A hint shows at most a quarter of the key. Of a key whose format is not known, such as an imported one, it shows the
/// last four characters alone: what looks like a prefix may be a part of the secret.
/// [`KeyFormat::hint`](super::KeyFormat::hint) adds the prefix.
///
/// ```
/// use tower_api_key::key::{KeyFormat, KeyHint};
///
/// let key = b"avk_00112233445566778899aabbccddeeff01234567";
/// assert_eq!(KeyFormat::AVALA.hint(key).as_str(), "avk_...4567");
/// assert_eq!(KeyHint::from_plaintext(key).as_str(), "...4567");
/// assert_eq!(KeyHint::from_plaintext(b"short").as_str(), "");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyHint(Box<str>);

impl KeyHint {
    /// Returns the last four characters of a presented key. Empty for a key of less than 24 characters or with bytes
    /// outside printable ASCII.
    #[must_use]
    pub fn from_plaintext(presented: &[u8]) -> Self {
        Self::with_prefix_len(presented, 0)
    }

    /// Shows as much of a public prefix of this length as a quarter of the key has room for.
    pub(super) fn with_prefix_len(presented: &[u8], prefix_len: usize) -> Self {
        let printable = presented.iter().all(u8::is_ascii_graphic);
        let Ok(text) = std::str::from_utf8(presented) else { return Self::default() };
        if !printable || text.len() < MIN_KEY_LEN {
            return Self::default();
        }
        let room = (text.len() / 4 - LAST).min(MAX_PREFIX_LEN);
        let (prefix, last) = (&text[..prefix_len.min(room)], &text[text.len() - LAST..]);
        Self(format!("{prefix}{GAP}{last}").into())
    }

    /// Returns a hint that a store kept earlier. A text that may be a whole key, stored here by mistake, is shortened to
    /// its last four characters.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        let bare = text.chars().count() <= MAX_BARE_LEN;
        let parts = text.split_once(GAP).map(|(prefix, last)| (prefix.chars().count(), last.chars().count()));
        if bare || parts.is_some_and(|(prefix, last)| prefix <= MAX_PREFIX_LEN && last <= LAST) {
            return Self(text.chars().filter(|c| !c.is_control()).collect::<String>().into());
        }
        Self::from_plaintext(text.as_bytes())
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

    use super::super::KeyFormat;
    use super::*;

    fn shown(hint: &KeyHint) -> usize {
        hint.as_str().replacen(GAP, "", 1).len()
    }

    #[test]
    fn hint_without_format_shows_last_four() {
        let table: [(&[u8], &str); 9] = [
            (b"avala_sk_0123456789abcdef0123456789abcdef", "...cdef"),
            (b"sk_live_0123456789abcdef", "...cdef"),
            (b"abcdefghijklmno_qrstuvwx", "...uvwx"),
            (b"0123456789abcdef_123456789abcdef", "...cdef"),
            (b"", ""),
            (b"avk_only", ""),
            (b"01234567890123456789012", ""),
            (b"avk_0123456789abcdef\xff0123456789", ""),
            (b"avk_0123456789abcdef 0123456789", ""),
        ];
        for (key, hint) in table {
            assert_eq!(KeyHint::from_plaintext(key).as_str(), hint, "{key:?}");
        }
    }

    #[test]
    fn hint_of_a_format_shows_its_prefix() {
        let body = "0123456789abcdef0123456789abcdef01234567";
        let table = [
            ("avk_", "avk_...4567"),
            ("avk_test_", "avk_test...4567"),
            ("acme_production_", "acme_produ...4567"),
            ("a_prefix_as_long_as_prefixes_get", "a_prefix_as_lo...4567"),
        ];
        for (prefix, hint) in table {
            let format = KeyFormat::new(prefix).unwrap();
            let key = format!("{prefix}{body}");
            assert_eq!(format.hint(key.as_bytes()).as_str(), hint);
            assert_eq!(KeyFormat::new("other_").unwrap().hint(key.as_bytes()).as_str(), "...4567");
        }
    }

    #[test]
    fn hint_from_stored_text_is_shortened() {
        let whole = "avk_00112233445566778899aabbccddeeff01234567";
        let table = [
            (whole, "...4567"),
            ("avk_...4567", "avk_...4567"),
            ("...4567", "...4567"),
            ("4567", "4567"),
            ("a\n\u{1b}b", "ab"),
            ("a-whole-short-key", ""),
            ("a-key-with...three-dots-in-it", "...n-it"),
            ("...a-key-with-three-dots-ahead", "...head"),
        ];
        for (stored, hint) in table {
            assert_eq!(KeyHint::from_stored(stored).as_str(), hint, "{stored}");
        }
    }

    proptest! {
        /// Cases: 158.
        #[test]
        fn hint_shows_at_most_a_quarter_of_the_key(
            prefix in "[a-zA-Z0-9_-]{1,32}",
            key in prop_oneof!["[!-~]{0,80}", "[a-z]{2,4}_[A-Za-z0-9_-]{20,60}"],
            issued in any::<bool>(),
        ) {
            let format = KeyFormat::new(prefix.clone()).unwrap();
            let key = if issued { format!("{prefix}{key}") } else { key };
            let (plain, known) = (KeyHint::from_plaintext(key.as_bytes()), format.hint(key.as_bytes()));
            for hint in [&plain, &known] {
                prop_assert!(4 * shown(hint) <= key.len(), "{} of {}", hint, key);
                prop_assert_eq!(&KeyHint::from_stored(hint.as_str()), hint);
            }
            if key.len() < MIN_KEY_LEN {
                prop_assert_eq!((plain.as_str(), known.as_str()), ("", ""));
                return Ok(());
            }
            let last = format!("{GAP}{}", &key[key.len() - LAST..]);
            prop_assert_eq!(plain.as_str(), last.as_str(), "without a format, nothing but the last four");
            let seen = known.as_str().strip_suffix(&*last);
            prop_assert!(seen.is_some_and(|seen| prefix.starts_with(seen)), "{} of {}", known, key);
            prop_assert!(key.starts_with(&prefix) || seen == Some(""), "{} of {}", known, key);
        }

        /// Cases: 158.
        ///
        /// A whole key that was stored as a hint by mistake.
        #[test]
        fn hint_from_stored_key_never_shows_it(key in "[!-~]{9,64}") {
            prop_assume!(!key.contains(GAP));
            prop_assert!(4 * shown(&KeyHint::from_stored(&key)) <= key.len());
        }
    }

    /// Cases: 158.
    #[test]
    fn hint_of_a_new_key_is_that_of_its_format() {
        for prefix in ["avk_", "x", "acme_production_"] {
            let format = KeyFormat::new(prefix).unwrap();
            let secret = format.generate().unwrap();
            assert_eq!(secret.hint(), format.hint(secret.expose_secret().as_bytes()));
            assert!(secret.hint().as_str().starts_with(&prefix[..prefix.len().min(10)]), "{}", secret.hint());
        }
    }

    #[test]
    fn hint_display_and_debug_show_text() {
        let hint = KeyHint::from_stored("avk_...4567");
        assert_eq!(hint.to_string(), "avk_...4567");
        assert_eq!(format!("{hint:?}"), "KeyHint(avk_...4567)");
    }
}
