use std::borrow::Cow;

use zeroize::Zeroizing;

use super::secret::{RandomError, random};
use super::{Environment, KeyHint, KeySecret};

const RANDOM_BYTES: usize = 16;
pub(super) const BODY_LEN: usize = 2 * (RANDOM_BYTES + CHECKSUM_BYTES);
const CHECKSUM_BYTES: usize = 4;

/// The format of the keys that a service issues: a prefix, then 40 lowercase hexadecimal digits.
///
/// The first 32 digits are 128 random bits from the operating system. The last 8 are the CRC-32 (ISO-HDLC) of everything
/// before them, including the prefix. A secret scanner finds such keys by their [`pattern`](Self::pattern) and checks
/// them offline. A service that issued all its keys itself can reject a mistyped key without a lookup, with
/// [`ApiKeyLayer::require_formats`](crate::ApiKeyLayer::require_formats). A matching checksum does not make a key valid.
///
/// ```
/// use tower_api_key::key::KeyFormat;
///
/// let format = KeyFormat::new("acme_live_")?;
/// let secret = format.generate()?;
/// assert!(format.matches(secret.expose_secret().as_bytes()));
/// assert!(!format.matches(b"acme_live_0000000000000000000000000000000000000000"));
/// assert!(!KeyFormat::AVALA.matches(secret.expose_secret().as_bytes()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFormat {
    prefix: Cow<'static, str>,
    environment: Option<Environment>,
}

impl KeyFormat {
    /// `avk_` and 40 hexadecimal digits: the format in the Avala documentation, and the default.
    pub const AVALA: Self = Self { prefix: Cow::Borrowed("avk_"), environment: None };

    /// Returns a format with another prefix. The prefix is public, since lists and logs show it. End it with `_`.
    ///
    /// # Errors
    /// [`InvalidPrefix`] when the prefix is empty, longer than 32 bytes, or has a character other than ASCII letters,
    /// digits, `_` and `-`.
    pub fn new(prefix: impl Into<Cow<'static, str>>) -> Result<Self, InvalidPrefix> {
        let prefix = prefix.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if (1..=32).contains(&prefix.len()) && prefix.bytes().all(allowed) {
            Ok(Self { prefix, environment: None })
        } else {
            Err(InvalidPrefix)
        }
    }

    /// Names the environment of keys in this format, such as `live` or `test`. A record keeps it.
    #[must_use]
    pub fn with_environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Returns the environment of keys in this format, if it was named.
    #[must_use]
    pub const fn environment(&self) -> Option<&Environment> {
        self.environment.as_ref()
    }

    /// Returns the prefix of every key in this format.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Generates a new key in this format.
    ///
    /// # Errors
    /// [`RandomError`] when the operating system provides no random bytes. A weaker key is never made instead.
    pub fn generate(&self) -> Result<KeySecret, RandomError> {
        let mut bytes = Zeroizing::new([0; RANDOM_BYTES]);
        random(&mut *bytes)?;
        // Allocated once, since growing would leave a copy of the key in freed memory.
        let mut text = String::with_capacity(self.prefix.len() + BODY_LEN);
        text.push_str(&self.prefix);
        push_hex(&mut text, &*bytes);
        let checksum = crc32fast::hash(text.as_bytes()).to_be_bytes();
        push_hex(&mut text, &checksum);
        Ok(KeySecret::new(text, self.prefix.len()))
    }

    /// Returns what a list shows of a key: its last four characters, and the prefix if the key begins with that of this
    /// format. A long prefix is cut, so that the hint shows at most a quarter of the key.
    ///
    /// ```
    /// use tower_api_key::key::KeyFormat;
    ///
    /// let old = KeyFormat::new("sk_live_")?;
    /// assert_eq!(old.hint(b"sk_live_Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4cXV4").as_str(), "sk_live...cXV4");
    /// assert_eq!(old.hint(b"Zm9vYmFyYmF6cXV4_Zm9vYmFyYmF6cXV4cXV4").as_str(), "...cXV4");
    /// # Ok::<(), tower_api_key::key::InvalidPrefix>(())
    /// ```
    #[must_use]
    pub fn hint(&self, presented: &[u8]) -> KeyHint {
        let has_prefix = presented.starts_with(self.prefix.as_bytes());
        KeyHint::with_prefix_len(presented, if has_prefix { self.prefix.len() } else { 0 })
    }

    /// Returns whether a presented key has this prefix, this length and a correct checksum. `false` means that the key
    /// was not issued in this format; `true` does not mean that it was issued.
    #[must_use]
    pub fn matches(&self, presented: &[u8]) -> bool {
        let Some(body) = presented.strip_prefix(self.prefix.as_bytes()) else { return false };
        if body.len() != BODY_LEN {
            return false;
        }
        let mut decoded = Zeroizing::new([0; RANDOM_BYTES + CHECKSUM_BYTES]);
        if base16ct::lower::decode(body, &mut *decoded).is_err() {
            return false;
        }
        let covered = &presented[..presented.len() - 2 * CHECKSUM_BYTES];
        decoded[RANDOM_BYTES..] == crc32fast::hash(covered).to_be_bytes()
    }
}

impl Default for KeyFormat {
    fn default() -> Self {
        Self::AVALA
    }
}

/// The text is not a key prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid key prefix: expected 1 to 32 ASCII letters, digits, '_' and '-'")]
pub struct InvalidPrefix;

fn push_hex(text: &mut String, bytes: &[u8]) {
    let mut hex = Zeroizing::new([0; 2 * RANDOM_BYTES]);
    if let Ok(hex) = base16ct::lower::encode_str(bytes, &mut *hex) {
        text.push_str(hex);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_key_has_documented_format() {
        let secret = KeyFormat::AVALA.generate().unwrap();
        let text = secret.expose_secret();
        let body = text.strip_prefix("avk_").unwrap();
        assert_eq!(body.len(), 40);
        assert!(body.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        let checksum = u32::from_str_radix(&body[32..], 16).unwrap();
        assert_eq!(checksum, crc32fast::hash(&text.as_bytes()[..36]));
    }

    /// Cases: 20.
    ///
    /// CRC-32 detects every change of one character, and covers the prefix.
    #[test]
    fn key_with_one_changed_character_does_not_match() {
        let secret = KeyFormat::AVALA.generate().unwrap();
        let issued = secret.expose_secret().as_bytes();
        assert!(KeyFormat::AVALA.matches(issued));
        for at in 0..issued.len() {
            for replacement in 0..=255 {
                let mut changed = issued.to_vec();
                changed[at] = replacement;
                assert_eq!(KeyFormat::AVALA.matches(&changed), changed == issued, "byte {at} as {replacement}");
            }
        }
    }

    /// Cases: 12, 13, 14.
    #[test]
    fn key_in_other_format_does_not_match() {
        let secret = KeyFormat::AVALA.generate().unwrap();
        let issued = secret.expose_secret();
        let body = &issued[4..];
        let (long, upper_prefix, two_prefixes) = (format!("{issued}0"), format!("AVK_{body}"), format!("avk_{issued}"));
        for other in ["", "avk_", body, &issued[..43], &long, &upper_prefix, &two_prefixes] {
            assert!(!KeyFormat::AVALA.matches(other.as_bytes()), "{other}");
        }
        // A key of digits alone is its own upper case.
        let upper = format!("avk_{}", body.to_uppercase());
        assert_eq!(KeyFormat::AVALA.matches(upper.as_bytes()), upper == issued);
    }

    #[test]
    fn format_with_invalid_prefix_is_rejected() {
        for prefix in ["", "with space", "quo\"te", "é", "x\n", &"x".repeat(33)] {
            assert_eq!(KeyFormat::new(prefix.to_owned()), Err(InvalidPrefix), "{prefix:?}");
        }
        assert!(KeyFormat::new("x".repeat(32)).is_ok());
    }

    #[test]
    fn key_matches_only_its_own_prefix() {
        for (prefix, other) in [("acme-live_", "acme-test_"), ("x", "y")] {
            let (format, other) = (KeyFormat::new(prefix).unwrap(), KeyFormat::new(other).unwrap());
            assert_eq!(format.prefix(), prefix);
            let secret = format.generate().unwrap();
            assert!(secret.expose_secret().starts_with(prefix));
            assert!(format.matches(secret.expose_secret().as_bytes()));
            assert!(!other.matches(secret.expose_secret().as_bytes()));
        }
        assert_eq!(KeyFormat::default(), KeyFormat::new("avk_").unwrap());
    }
}
