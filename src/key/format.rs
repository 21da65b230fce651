use std::borrow::Cow;

use zeroize::Zeroizing;

use super::KeySecret;
use super::secret::{RandomError, random};

const RANDOM_BYTES: usize = 16;
const BODY_LEN: usize = 2 * (RANDOM_BYTES + CHECKSUM_BYTES);
const CHECKSUM_BYTES: usize = 4;

/// The shape of the keys that a service issues: a prefix, then 40 lowercase hexadecimal digits.
///
/// The first 32 digits are 128 bits of randomness from the operating system, the last 8 the CRC-32 (ISO-HDLC)
/// of everything before them, prefix included. So a secret scanner finds such a key with
/// `\bavk_[0-9a-f]{40}\b` and can tell a real one from a lookalike offline, and a service that issued all its
/// keys itself can refuse a mistyped one without a lookup
/// ([`ApiKeyLayer::only_format`](crate::ApiKeyLayer::only_format)). The checksum only ever refuses.
///
/// ```
/// use tower_api_key::KeyFormat;
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
}

impl KeyFormat {
    /// `avk_` and 40 hexadecimal digits: the shape of the keys in the Avala documentation. The default.
    pub const AVALA: Self = Self { prefix: Cow::Borrowed("avk_") };

    /// Keys with a prefix of your own, which is public: it is shown in lists and logs. End it with `_`.
    ///
    /// # Errors
    /// When the prefix is empty, longer than 32 bytes, or has anything but ASCII letters, digits, `_` and `-`.
    pub fn new(prefix: impl Into<Cow<'static, str>>) -> Result<Self, InvalidPrefix> {
        let prefix = prefix.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if (1..=32).contains(&prefix.len()) && prefix.bytes().all(allowed) {
            Ok(Self { prefix })
        } else {
            Err(InvalidPrefix)
        }
    }

    /// What every key of this format begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A new key of this format.
    ///
    /// # Errors
    /// When the operating system gives no randomness. A weaker key is never made instead.
    pub fn generate(&self) -> Result<KeySecret, RandomError> {
        let mut bytes = Zeroizing::new([0; RANDOM_BYTES]);
        random(&mut *bytes)?;
        // Never grows, since growing would leave a copy of the key behind in freed memory.
        let mut text = String::with_capacity(self.prefix.len() + BODY_LEN);
        text.push_str(&self.prefix);
        push_hex(&mut text, &*bytes);
        let checksum = crc32fast::hash(text.as_bytes()).to_be_bytes();
        push_hex(&mut text, &checksum);
        Ok(KeySecret::new(text))
    }

    /// Whether a presented key has this prefix, this length and a right checksum. `false` means that it was
    /// not issued in this format; `true` says nothing of whether it was issued at all.
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

/// A key prefix was empty, too long, or had a character other than ASCII letters, digits, `_` and `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key prefix is 1 to 32 ASCII letters, digits, '_' and '-'")]
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
    fn has_the_documented_shape() {
        let secret = KeyFormat::AVALA.generate().unwrap();
        let text = secret.expose_secret();
        let body = text.strip_prefix("avk_").unwrap();
        assert_eq!(body.len(), 40);
        assert!(body.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        let checksum = u32::from_str_radix(&body[32..], 16).unwrap();
        assert_eq!(checksum, crc32fast::hash(&text.as_bytes()[..36]));
    }

    /// CRC-32 finds every change of one character, and the prefix is part of what it covers.
    #[test]
    fn case_020_one_changed_character_is_refused() {
        let secret = KeyFormat::AVALA.generate().unwrap();
        let good = secret.expose_secret().as_bytes();
        assert!(KeyFormat::AVALA.matches(good));
        for at in 0..good.len() {
            for replacement in 0..=255 {
                let mut bad = good.to_vec();
                bad[at] = replacement;
                assert_eq!(KeyFormat::AVALA.matches(&bad), bad == good, "byte {at} as {replacement}");
            }
        }
    }

    #[test]
    fn case_012_case_013_case_014_other_shapes_are_refused() {
        let secret = KeyFormat::AVALA.generate().unwrap();
        let good = secret.expose_secret();
        let body = &good[4..];
        let upper = format!("avk_{}", body.to_uppercase());
        for bad in ["", "avk_", body, &good[..43], &format!("{good}0"), &format!("AVK_{body}"), &format!("avk_{good}")]
        {
            assert!(!KeyFormat::AVALA.matches(bad.as_bytes()), "{bad}");
        }
        // All digits: the upper case of such a key is the key.
        assert_eq!(KeyFormat::AVALA.matches(upper.as_bytes()), upper == good);
    }

    #[test]
    fn a_prefix_is_checked() {
        for bad in ["", "with space", "quo\"te", "é", "x\n", &"x".repeat(33)] {
            assert_eq!(KeyFormat::new(bad.to_owned()), Err(InvalidPrefix), "{bad:?}");
        }
        assert!(KeyFormat::new("x".repeat(32)).is_ok());
    }

    #[test]
    fn a_key_begins_with_the_prefix_and_only_its_own_format_knows_it() {
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
