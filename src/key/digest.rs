use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};

/// SHA-256 of a presented key: the only form of a key that reaches a store.
///
/// A key of 128 random bits needs no slow password hash, since there is nothing to guess; do not import
/// keys that people chose themselves.
///
/// ```
/// use tower_api_key::KeyDigest;
///
/// let digest = KeyDigest::of(b"avk_0123");
/// assert_eq!(digest, KeyDigest::from_bytes(*digest.as_bytes()));
/// assert_ne!(digest, KeyDigest::of(b"avk_0124"));
/// ```
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a key exactly as it was presented: nothing is trimmed and no case is folded.
    #[must_use]
    pub fn of(presented: &[u8]) -> Self {
        Self(Sha256::digest(presented).into())
    }

    /// A digest that was computed elsewhere, as SHA-256 over the bytes of the key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, to keep in a database.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for KeyDigest {
    /// Compares all 32 bytes, wherever the first difference lies.
    fn eq(&self, other: &Self) -> bool {
        let differing = self.0.iter().zip(&other.0).fold(0, |bits, (a, b)| bits | (a ^ b));
        differing == 0
    }
}

impl Eq for KeyDigest {}

impl Hash for KeyDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// Shows the first 8 hexadecimal digits: enough to tell two keys apart in a log.
impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "KeyDigest({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn is_sha_256_of_the_bytes() {
        // FIPS 180-2, appendix B.1.
        let expected = [
            0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03,
            0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
        ];
        assert_eq!(KeyDigest::of(b"abc").as_bytes(), &expected);
    }

    #[test]
    fn a_difference_in_any_byte_is_seen() {
        let digest = KeyDigest::of(b"abc");
        for at in 0..32 {
            let mut bytes = *digest.as_bytes();
            bytes[at] ^= 0x80;
            assert_ne!(KeyDigest::from_bytes(bytes), digest, "byte {at}");
        }
    }

    proptest! {
        /// Two differences of the same bits do not make up for each other.
        #[test]
        fn equal_is_what_has_equal_bytes(a: [u8; 32], at in 0..31_usize, bits: u8) {
            let mut b = a;
            b[at] ^= bits;
            b[at + 1] ^= bits;
            prop_assert_eq!(KeyDigest::from_bytes(a) == KeyDigest::from_bytes(b), a == b);
        }

        /// Whatever hasher a map brings along, digests spread over its buckets.
        #[test]
        fn what_differs_hashes_to_something_else(a: [u8; 32], b: [u8; 32]) {
            let hasher = RandomState::new();
            let hash = |bytes| hasher.hash_one(KeyDigest::from_bytes(bytes));
            prop_assert_eq!(hash(a) == hash(b), a == b);
            prop_assert_eq!(hash(a), hash(a));
        }
    }

    #[test]
    fn debug_shows_eight_digits() {
        assert_eq!(format!("{:?}", KeyDigest::of(b"abc")), "KeyDigest(ba7816bf..)");
    }
}
