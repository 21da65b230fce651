use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::secret::{RandomError, random};

/// Identifies a key in lists, logs and management calls without revealing it.
///
/// 128 bits, written as a UUID. The ids of this crate are random; a store of your own may use any unique number.
///
/// ```
/// use tower_api_key::key::KeyId;
///
/// let id = KeyId::from_u128(7);
/// assert_eq!(id.to_string(), "00000000-0000-0000-0000-000000000007");
/// assert_eq!("00000000-0000-0000-0000-000000000007".parse(), Ok(id));
/// assert!("7".parse::<KeyId>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// Generates a new id from random bytes of the operating system.
    ///
    /// # Errors
    /// [`RandomError`] when the operating system provides no random bytes.
    pub fn random() -> Result<Self, RandomError> {
        let mut bytes = [0; 16];
        random(&mut bytes)?;
        // Version 4, variant 1 (RFC 9562, 5.4), which every `uuid` column and library accepts.
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Ok(Self(bytes))
    }

    /// Returns the id with this number.
    #[must_use]
    pub const fn from_u128(number: u128) -> Self {
        Self(number.to_be_bytes())
    }

    /// Returns the id as a number.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    /// Returns the id with these bytes, as a `uuid` column holds them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes, as a `uuid` column holds them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Hashed in one piece, without its length.
impl Hash for KeyId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hex = [0; 32];
        let hex = base16ct::lower::encode_str(&self.0, &mut hex).map_err(|_| fmt::Error)?;
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Accepts only the form that `Display` writes.
impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, InvalidKeyId> {
        let text: &[u8; 36] = text.as_bytes().try_into().map_err(|_| InvalidKeyId)?;
        let mut hex = [0; 32];
        let mut digits = hex.iter_mut();
        for (at, &byte) in text.iter().enumerate() {
            match (at, byte) {
                (8 | 13 | 18 | 23, b'-') => {}
                // Any other character at the position of a dash is one digit too many.
                _ => *digits.next().ok_or(InvalidKeyId)? = byte,
            }
        }
        let mut bytes = [0; 16];
        base16ct::lower::decode(hex, &mut bytes).map_err(|_| InvalidKeyId)?;
        Ok(Self(bytes))
    }
}

/// The text is not a key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid key id: expected 32 lowercase hexadecimal digits in groups of 8-4-4-4-12")]
pub struct InvalidKeyId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_parses_only_its_own_text() {
        let id = KeyId::random().unwrap();
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.len(), 36);
        assert_eq!(&text[14..15], "4");
        for other in ["", "x", &text[1..], &format!("{text}0"), &text.replace('-', "0"), &format!("{}é", &text[..34])]
        {
            assert_eq!(other.parse::<KeyId>(), Err(InvalidKeyId), "{other}");
        }
        assert!("0000000A-0000-0000-0000-000000000000".parse::<KeyId>().is_err());
    }

    #[test]
    fn random_id_is_uuid_version_4() {
        let ids: Vec<u128> = (0..128).map(|_| KeyId::random().unwrap().as_u128()).collect();
        let (always_set, ever_set) = ids.iter().fold((u128::MAX, 0), |(all, any), id| (all & id, any | id));
        assert_eq!(always_set, 0x4000_8000_0000_0000_0000, "set in every one");
        assert_eq!(!ever_set, 0xb000_4000_0000_0000_0000, "set in none");
    }

    #[test]
    fn id_number_bytes_and_text_agree() {
        let id = KeyId::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        assert_eq!(id.as_bytes()[..3], [0x00, 0x11, 0x22]);
        assert_eq!(KeyId::from_bytes(*id.as_bytes()), id);
        assert_eq!(id.as_u128(), 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        assert_eq!(id.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(format!("{id:?}"), "KeyId(00112233-4455-6677-8899-aabbccddeeff)");
    }
}
