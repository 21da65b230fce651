use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// SHA-256 of a presented key: the only form of a key that reaches a store.
///
/// A key of 128 random bits needs no slow password hash, since it cannot be guessed. Do not import keys that people
/// chose themselves.
///
/// ```
/// use tower_api_key::key::KeyDigest;
///
/// let digest = KeyDigest::hash(b"avk_0123");
/// assert_ne!(digest, KeyDigest::hash(b"avk_0124"));
/// assert_eq!(KeyDigest::from_bytes(*digest.as_bytes()), digest);
/// assert_eq!(KeyDigest::from_hex(&digest.to_hex()), Ok(digest));
/// ```
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Returns the digest of a key exactly as it was presented, without trimming or changing its case.
    #[must_use]
    #[inline]
    pub fn hash(presented: &[u8]) -> Self {
        Self(Sha256::digest(presented).into())
    }

    /// Takes a digest that was computed elsewhere, as SHA-256 over the bytes of the key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Parses the 64 hexadecimal digits of a digest, in either case.
    ///
    /// # Errors
    /// [`InvalidDigest`] for any other text.
    pub fn from_hex(text: &str) -> Result<Self, InvalidDigest> {
        let mut bytes = [0; 32];
        match base16ct::mixed::decode(text, &mut bytes) {
            Ok(decoded) if decoded.len() == 32 => Ok(Self(bytes)),
            _ => Err(InvalidDigest),
        }
    }

    /// Returns the 32 bytes, to keep in a database.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the 64 lowercase hexadecimal digits, to keep in a database of texts.
    #[must_use]
    pub fn to_hex(&self) -> String {
        base16ct::lower::encode_string(&self.0)
    }

    #[inline]
    fn words(&self) -> impl Iterator<Item = u64> {
        self.0.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word))
    }
}

impl PartialEq for KeyDigest {
    /// Compares all 32 bytes, without a branch on the first difference.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let differing = self.words().zip(other.words()).fold(0, |bits, (a, b)| bits | (a ^ b));
        differing == 0
    }
}

impl Eq for KeyDigest {}

impl Hash for KeyDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl FromStr for KeyDigest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        Self::from_hex(text)
    }
}

/// Shows the first 8 hexadecimal digits, which identify a digest in a log.
impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "KeyDigest({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// The text is not a digest in hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid key digest: expected the 64 hexadecimal digits of SHA-256 over the key")]
pub struct InvalidDigest;

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use proptest::prelude::*;

    use super::*;

    /// FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digest_of_known_message_is_sha_256() {
        assert_eq!(KeyDigest::hash(b"abc").to_hex(), ABC);
        assert_eq!(KeyDigest::hash(b"abc").as_bytes()[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn digest_from_hex_in_either_case_is_accepted() {
        for text in [ABC, &ABC.to_uppercase()] {
            assert_eq!(text.parse(), Ok(KeyDigest::hash(b"abc")));
        }
    }

    #[test]
    fn digest_from_other_text_is_rejected() {
        let (short, long, blank) = (&ABC[..62], format!("{ABC}00"), format!(" {}", &ABC[1..]));
        for text in ["", short, &ABC[..63], &long, &blank, &ABC.replace('b', "g"), &ABC.replace("ba", "é")] {
            assert_eq!(KeyDigest::from_hex(text), Err(InvalidDigest), "{text}");
        }
    }

    #[test]
    fn digests_with_one_changed_byte_differ() {
        let digest = KeyDigest::hash(b"abc");
        for at in 0..32 {
            let mut bytes = *digest.as_bytes();
            bytes[at] ^= 0x80;
            assert_ne!(KeyDigest::from_bytes(bytes), digest, "byte {at}");
        }
    }

    proptest! {
        /// Two differences in the same bits must not cancel each other out.
        #[test]
        fn digests_are_equal_when_bytes_are_equal(a: [u8; 32], at in 0..31_usize, bits: u8) {
            let mut b = a;
            b[at] ^= bits;
            b[at + 1] ^= bits;
            prop_assert_eq!(KeyDigest::from_bytes(a) == KeyDigest::from_bytes(b), a == b);
        }

        /// A map with any hasher must spread digests over its buckets.
        #[test]
        fn digests_that_differ_hash_differently(a: [u8; 32], b: [u8; 32]) {
            let hasher = RandomState::new();
            let hash = |bytes| hasher.hash_one(KeyDigest::from_bytes(bytes));
            prop_assert_eq!(hash(a) == hash(b), a == b);
            prop_assert_eq!(hash(a), hash(a));
        }

        #[test]
        fn digest_in_hex_round_trips(bytes: [u8; 32]) {
            let digest = KeyDigest::from_bytes(bytes);
            prop_assert_eq!(KeyDigest::from_hex(&digest.to_hex()), Ok(digest));
        }
    }

    #[test]
    fn digest_debug_shows_eight_digits() {
        assert_eq!(format!("{:?}", KeyDigest::hash(b"abc")), "KeyDigest(ba7816bf..)");
    }
}
