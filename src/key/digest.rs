use std::fmt;
use std::hash::{Hash, Hasher};
use std::slice;

use sha2::block_api::compress256;
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
        of_one_block(presented).unwrap_or_else(|| of_blocks(presented))
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
    #[inline(always)]
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

/// The longest message that fits into one block with its padding (FIPS 180-4, 5.1.1).
const LONGEST_IN_ONE_BLOCK: usize = 55;

/// The digest of a message of one block, as API keys are: without the library's buffer for messages that come in pieces,
/// which is a sixth of the work.
#[inline]
fn of_one_block(message: &[u8]) -> Option<KeyDigest> {
    if message.len() > LONGEST_IN_ONE_BLOCK {
        return None;
    }
    let mut block = [0; 64];
    block[..message.len()].copy_from_slice(message);
    block[message.len()] = 0x80;
    block[56..].copy_from_slice(&(8 * message.len() as u64).to_be_bytes());
    // The first state (5.3.3).
    let mut state =
        [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    compress256(&mut state, slice::from_ref(&block));
    let mut digest = [0; 32];
    digest.as_chunks_mut().0.iter_mut().zip(state).for_each(|(bytes, word)| *bytes = word.to_be_bytes());
    Some(KeyDigest(digest))
}

#[cold]
#[inline(never)]
fn of_blocks(message: &[u8]) -> KeyDigest {
    KeyDigest(Sha256::digest(message).into())
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

    /// Those of one block and those of more, up to the longest that is presented.
    #[test]
    fn is_what_the_library_says_at_every_length() {
        let text: Vec<u8> = (0..=512_u32).map(|n| (n * 31 % 251) as u8).collect();
        for length in 0..=text.len() {
            let expected: [u8; 32] = Sha256::digest(&text[..length]).into();
            assert_eq!(KeyDigest::of(&text[..length]).as_bytes(), &expected, "{length}");
        }
    }

    proptest! {
        #[test]
        fn is_what_the_library_says_of_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..=64)) {
            let expected: [u8; 32] = Sha256::digest(&bytes).into();
            prop_assert_eq!(KeyDigest::of(&bytes), KeyDigest::from_bytes(expected));
        }
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
