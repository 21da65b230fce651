use std::ops::RangeInclusive;

use super::LegacyFormatError;

/// The longest key that a layer reads, in bytes.
const LONGEST: usize = 512;

/// What the keys of an old table look like: visible ASCII, a prefix, a separator, a length.
///
/// Only a key in a legacy format is ever offered to a [`LegacyVerifier`](super::LegacyVerifier). The closer the format, the
/// fewer invented keys reach the old table.
///
/// ```
/// use tower_api_key::auth::LegacyFormat;
///
/// // `12|yqyKgIPZ9gKQ0uOv1hN5aXHFmWXaGFKQ3V4tlNGb`
/// let sanctum = LegacyFormat::separated('|').with_lengths(42..=80)?;
/// assert!(sanctum.matches(b"12|yqyKgIPZ9gKQ0uOv1hN5aXHFmWXaGFKQ3V4tlNGb"));
/// assert!(!sanctum.matches(b"yqyKgIPZ9gKQ0uOv1hN5aXHFmWXaGFKQ3V4tlNGb"));
/// let acme = LegacyFormat::prefixed("sk_live_")?;
/// assert!(acme.matches(b"sk_live_0123456789"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyFormat {
    prefix: String,
    separator: Option<u8>,
    lengths: RangeInclusive<usize>,
}

impl LegacyFormat {
    /// Returns the format of any visible ASCII: for keys without a form. Every unknown key is then offered to the verifier.
    #[must_use]
    pub const fn any() -> Self {
        Self { prefix: String::new(), separator: None, lengths: 1..=LONGEST }
    }

    /// Returns the format of keys that begin with this prefix, and have more characters.
    ///
    /// # Errors
    /// [`LegacyFormatError`] when the prefix is empty, longer than 64 bytes, or not visible ASCII.
    pub fn prefixed(prefix: impl Into<String>) -> Result<Self, LegacyFormatError> {
        let prefix = prefix.into();
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(LegacyFormatError::Prefix);
        }
        Ok(Self { prefix, ..Self::any() })
    }

    /// Returns the format of keys with two parts: what finds the row, this separator, and the secret.
    ///
    /// # Panics
    /// When the separator is not visible ASCII.
    #[must_use]
    pub fn separated(separator: char) -> Self {
        Self::any().with_separator(separator)
    }

    /// Requires this separator, with at least one character after the prefix in front of it, and one behind it.
    ///
    /// # Panics
    /// When the separator is not visible ASCII.
    #[must_use]
    pub fn with_separator(mut self, separator: char) -> Self {
        assert!(separator.is_ascii_graphic(), "the separator of a legacy format is visible ASCII");
        self.separator = u8::try_from(separator).ok();
        self
    }

    /// Requires a length within these bounds, in bytes, all parts included.
    ///
    /// # Errors
    /// [`LegacyFormatError`] when no key of 1 to 512 bytes has such a length.
    pub fn with_lengths(mut self, lengths: RangeInclusive<usize>) -> Result<Self, LegacyFormatError> {
        let (shortest, longest) = ((*lengths.start()).max(1), (*lengths.end()).min(LONGEST));
        if shortest > longest {
            return Err(LegacyFormatError::Lengths);
        }
        self.lengths = shortest..=longest;
        Ok(self)
    }

    /// Returns whether a presented key is in this format.
    #[must_use]
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.lengths.contains(&presented.len())
            && presented.iter().all(u8::is_ascii_graphic)
            && presented.strip_prefix(self.prefix.as_bytes()).is_some_and(|rest| self.has_parts(rest))
    }

    /// Returns whether this text after the prefix has the parts of a key.
    fn has_parts(&self, rest: &[u8]) -> bool {
        match self.separator {
            Some(separator) => {
                rest.iter().position(|byte| *byte == separator).is_some_and(|at| (1..rest.len() - 1).contains(&at))
            }
            None => !rest.is_empty(),
        }
    }

    /// Returns where the separator of a key in this format is.
    pub(super) fn separator_of(&self, presented: &[u8]) -> Option<usize> {
        let separator = self.separator?;
        let after = self.prefix.len();
        Some(after + presented.get(after..)?.iter().position(|byte| *byte == separator)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_format_matches_its_keys_alone() {
        let any = LegacyFormat::any();
        for (text, matches) in [("", false), ("x", true), ("a b", false), ("é", false), ("a\u{7f}", false)] {
            assert_eq!(any.matches(text.as_bytes()), matches, "{text:?}");
        }
        assert!(any.matches(&[b'x'; LONGEST]) && !any.matches(&[b'x'; LONGEST + 1]));
        let separated = LegacyFormat::separated('|');
        for (text, matches) in
            [("1|a", true), ("|a", false), ("1|", false), ("1a", false), ("1|a|b", true), ("|", false)]
        {
            assert_eq!(separated.matches(text.as_bytes()), matches, "{text:?}");
        }
        let both = LegacyFormat::prefixed("ak-").unwrap().with_separator('-').with_lengths(6..=8).unwrap();
        for (text, matches) in
            [("ak-1-a", true), ("ak--aa", false), ("ak-1-abcd", false), ("ak1-ab", false), ("1-abcd", false)]
        {
            assert_eq!(both.matches(text.as_bytes()), matches, "{text:?}");
        }
        assert_eq!(both.separator_of(b"ak-1-a"), Some(4));
        assert_eq!(any.separator_of(b"a-b"), None);
    }

    #[test]
    fn legacy_format_that_no_key_has_is_an_error() {
        for prefix in ["", "a b", "é", &"x".repeat(65)] {
            assert_eq!(LegacyFormat::prefixed(prefix), Err(LegacyFormatError::Prefix), "{prefix:?}");
        }
        for lengths in [0..=0, 513..=600] {
            assert_eq!(
                LegacyFormat::any().with_lengths(lengths.clone()),
                Err(LegacyFormatError::Lengths),
                "{lengths:?}"
            );
        }
    }
}
