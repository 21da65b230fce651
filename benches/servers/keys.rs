//! The same keys in every run: 10,000 are stored, and 1,000 of them are used.

use std::time::{Duration, SystemTime};

use tower_api_key::Access;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::scope::avala;

pub(crate) const STORED: u64 = 10_000;
pub(crate) const USED: u64 = 1_000;

/// 44 characters, as the crate issues them.
pub(crate) fn text(number: u64) -> String {
    let digest = KeyDigest::hash(&number.to_le_bytes());
    format!("avk_{}", &digest.to_hex()[..40])
}

/// The keys that are used, of those stored.
pub(crate) fn used_texts() -> Vec<String> {
    (0..USED).map(|number| text(number * (STORED / USED))).collect()
}

/// Returns which of these keys a connection presents in its n-th request: each of them, in no order.
pub(crate) fn presented(keys: &[String], connection: u64, request: u64) -> &str {
    // 457 is prime, and so has no divisor in common with the number of keys.
    &keys[(connection * 61 + request * 457) as usize % keys.len()]
}

pub(crate) fn name(number: u64) -> String {
    format!("service {number}")
}

pub(crate) fn tomorrow() -> SystemTime {
    SystemTime::now() + Duration::from_secs(86_400)
}

pub(crate) fn records() -> impl Iterator<Item = KeyRecord> {
    let organization = |number| format!("organization {}", number % 100).parse().expect("a name");
    let access = Access::scoped([avala::DATASETS_READ, avala::PROJECTS_READ]);
    (0..STORED).map(move |number| {
        let digest = KeyDigest::hash(text(number).as_bytes());
        KeyRecord::new(KeyId::from_u128(number.into()), digest, organization(number), access.clone())
            .with_name(name(number))
            .with_created_at(SystemTime::now())
            .with_expires_at(tomorrow())
    })
}
