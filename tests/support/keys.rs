//! A key that was not issued here.

use tower_api_key::Access;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};

pub(crate) const KEY: &str = "avk_00112233445566778899aabbccddeeff01234567";

/// The record of [`KEY`].
pub(crate) fn record(access: Access) -> KeyRecord {
    KeyRecord::new(KeyId::from_u128(1), KeyDigest::hash(KEY.as_bytes()), "acme".parse().unwrap(), access)
}
