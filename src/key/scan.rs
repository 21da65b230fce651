//! Finds keys in a text, as a secret scanner does.

use std::ops::Range;

use super::KeyFormat;
use super::format::BODY_LEN;

impl KeyFormat {
    /// Finds the keys of this format in a text, such as a log, a commit or a report of a leak. Returns where they are.
    ///
    /// The checksum of each key is verified. Characters around a key are ignored: a key in an encoded URL or a longer token
    /// is found too. [`KeyManager::identify`](crate::KeyManager::identify) returns whose key it is.
    ///
    /// ```
    /// use tower_api_key::key::KeyFormat;
    ///
    /// let secret = KeyFormat::AVALA.generate()?;
    /// let text = format!("curl https://api.example/?key%3D{}&limit=1", secret.expose_secret());
    /// let found: Vec<_> = KeyFormat::AVALA.scan(&text).map(|place| &text[place]).collect();
    /// assert_eq!(found, [secret.expose_secret()]);
    /// # Ok::<(), tower_api_key::key::RandomError>(())
    /// ```
    pub fn scan<'a>(&'a self, text: &'a (impl AsRef<[u8]> + ?Sized)) -> impl Iterator<Item = Range<usize>> + 'a {
        let (text, mut from) = (text.as_ref(), 0);
        let (prefix, whole) = (self.prefix().as_bytes(), self.prefix().len() + BODY_LEN);
        std::iter::from_fn(move || {
            loop {
                let rest = text.get(from..)?;
                let start = from + rest.windows(prefix.len()).position(|window| window == prefix)?;
                let place = start..start + whole;
                if text.get(place.clone()).is_some_and(|key| self.matches(key)) {
                    from = place.end;
                    return Some(place);
                }
                from = start + 1;
            }
        })
    }

    /// Returns the regular expression of the keys in this format, for secret scanners that know no checksums: the prefix
    /// and 40 hexadecimal digits. Publish it, so that others find your keys.
    ///
    /// ```
    /// use tower_api_key::key::KeyFormat;
    ///
    /// assert_eq!(KeyFormat::AVALA.pattern(), "avk_[0-9a-f]{40}");
    /// ```
    #[must_use]
    pub fn pattern(&self) -> String {
        // No character of a prefix has a meaning of its own outside of brackets.
        format!("{}[0-9a-f]{{{BODY_LEN}}}", self.prefix())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn issued(format: &KeyFormat) -> String {
        format.generate().unwrap().expose_secret().to_owned()
    }

    /// What the text has at every place, by the definition.
    fn all(format: &KeyFormat, text: &[u8]) -> Vec<Range<usize>> {
        let len = format.prefix().len() + BODY_LEN;
        let places = (0..text.len().saturating_sub(len - 1)).map(|start| start..start + len);
        places.filter(|place| format.matches(&text[place.clone()])).collect()
    }

    proptest! {
        /// Cases: 198.
        #[test]
        fn scan_finds_every_key_and_nothing_else(
            prefix in "[a-f0-9_-]{1,4}",
            around in prop::collection::vec("(?s:.{0,20})|[a-f0-9_]{0,60}", 1..6),
            cut in 0..3_usize,
        ) {
            let format = KeyFormat::new(prefix).unwrap();
            let mut text = Vec::new();
            for piece in around {
                text.extend(piece.as_bytes());
                let key = issued(&format);
                // A key that was cut is none, and may hide no other.
                text.extend(&key.as_bytes()[..key.len() - cut]);
            }
            let found: Vec<_> = format.scan(&text).collect();
            prop_assert!(found.len() >= usize::from(cut == 0));
            // By chance, a key could begin within another one.
            prop_assert_eq!(found, all(&format, &text));
        }
    }

    /// Cases: 198.
    #[test]
    fn scan_ignores_characters_around_a_key() {
        let (format, test) = (KeyFormat::AVALA, KeyFormat::new("avk_test_").unwrap());
        let key = issued(&format);
        for text in [
            key.clone(),
            format!("\"{key}\""),
            format!("key%3D{key}%26"),
            format!("avk_{key}"),
            format!("{key}0"),
            format!("é{key}\u{202e}"),
            format!("avk_avk_avk_{key}{}", issued(&test)),
        ] {
            let found: Vec<_> = format.scan(&text).map(|place| &text[place]).collect();
            assert_eq!(found, [&key], "{text}");
        }
        for text in ["", "avk_", "avk_00112233445566778899aabbccddeeff01234567", &key[1..], &key.to_uppercase()] {
            assert_eq!(format.scan(text).count(), usize::from(text == key), "{text}");
        }
        let twice = format!("{key}{key}");
        assert_eq!(format.scan(&twice).collect::<Vec<_>>(), [0..44, 44..88]);
    }
}
