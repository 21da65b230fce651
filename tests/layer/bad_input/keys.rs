//! Keys in the documented format, so that none is rejected for its format alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::scope::avala;
use tower_api_key::{Access, MemoryStore};

/// May read datasets.
pub(crate) const KEY: &str = "avk_00112233445566778899aabbccddeeff0fbdaacc";
pub(crate) const REVOKED: &str = "avk_abcdef0123456789fedcba9876543210c5ccf3b7";
pub(crate) const EXPIRED: &str = "avk_abcdef0123456789fedcba9876543211b2cbc321";
/// It was never issued.
pub(crate) const UNKNOWN: &str = "avk_abcdef0123456789fedcba98765432122bc2929b";

/// The time of all layers.
pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(2_000_000_000)
}

pub(crate) fn store() -> MemoryStore {
    let keys = MemoryStore::new();
    let record = |number: u8, key: &str| {
        let (id, digest) = (KeyId::from_u128(number.into()), KeyDigest::hash(key.as_bytes()));
        KeyRecord::new(id, digest, "acme".parse().unwrap(), Access::scoped([avala::DATASETS_READ]))
    };
    keys.add(record(1, KEY)).unwrap();
    keys.add(record(2, REVOKED).with_revoked_at(now())).unwrap();
    keys.add(record(3, EXPIRED).with_expires_at(now())).unwrap();
    keys
}
