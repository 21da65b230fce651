//! The same keys in every run: 10,000 are stored, and 1,000 of them are used.

use std::time::{Duration, SystemTime};

use tower_api_key::Access;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::scope::avala;

pub(crate) const STORED: u64 = 10_000;
const USED: u64 = 1_000;

/// 44 characters, as the crate issues them.
pub(crate) fn text(number: u64) -> String {
    let digest = KeyDigest::hash(&number.to_le_bytes());
    format!("avk_{}", &digest.to_hex()[..40])
}

/// The key that a connection presents in its n-th request: each of those used, in no order.
pub(crate) fn used(connection: u64, request: u64) -> u64 {
    // 457 is prime, and so has no divisor in common with the number of keys.
    (connection * 61 + request * 457) % USED * (STORED / USED)
}

pub(crate) fn records() -> impl Iterator<Item = KeyRecord> {
    let organization = |number| format!("organization {}", number % 100).parse().expect("a name");
    let access = Access::scoped([avala::DATASETS_READ, avala::PROJECTS_READ]);
    (0..STORED).map(move |number| {
        let digest = KeyDigest::hash(text(number).as_bytes());
        KeyRecord::new(KeyId::from_u128(number.into()), digest, organization(number), access.clone())
            .with_name(format!("service {number}"))
            .with_created_at(SystemTime::now())
            .with_expires_at(SystemTime::now() + Duration::from_secs(86_400))
    })
}
