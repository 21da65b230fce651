//! The same keys in every run, and the stores of this crate that hold them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::HeaderValue;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::scope::avala;
use tower_api_key::{Access, MemoryStore, OrganizationId};

/// How many of a large number of keys are presented, so that lookups miss the near caches.
const WIDE: u64 = 16_384;

/// 44 characters, as the crate issues them.
pub(crate) fn text(number: u64) -> String {
    let digest = KeyDigest::hash(&number.to_le_bytes());
    let digits: String = digest.as_bytes()[..20].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("avk_{digits}")
}

/// A value that shares a buffer, as hyper's do.
pub(crate) fn value(text: String) -> HeaderValue {
    let value = HeaderValue::from_maybe_shared(Bytes::from(text)).expect("ASCII");
    // The first clone allocates what the others share.
    drop(value.clone());
    value
}

/// 64 of the first thousand keys, or 16,384 of more, in no order.
pub(crate) fn presented(keys: u64) -> Arc<[HeaderValue]> {
    let count = if keys <= 1_000 { 64 } else { WIDE };
    // 40,503 is prime, and so has no divisor in common with the number of keys.
    (0..count).map(|number| value(text(number * 40_503 % keys))).collect()
}

pub(crate) fn unknown() -> Arc<[HeaderValue]> {
    (0..64).map(|number| value(text(u64::MAX - number))).collect()
}

pub(crate) fn tomorrow() -> SystemTime {
    SystemTime::now() + Duration::from_secs(86_400)
}

/// A name of 17 bytes.
pub(crate) fn name(number: u64) -> String {
    format!("service k {number:07}")
}

pub(crate) fn record(number: u64, organization: &OrganizationId, expires: Option<SystemTime>) -> KeyRecord {
    let digest = KeyDigest::hash(text(number).as_bytes());
    let access = Access::scoped([avala::DATASETS_READ, avala::PROJECTS_READ]);
    KeyRecord::new(KeyId::from_u128(number.into()), digest, organization.clone(), access)
        .with_name(name(number))
        .with_created_at(SystemTime::now())
        .with_expires_at(expires)
}

pub(crate) fn store(keys: u64, expires: Option<SystemTime>) -> MemoryStore {
    let (store, organization) = (MemoryStore::new(), "acme".parse().expect("a name"));
    for number in 0..keys {
        store.add(record(number, &organization, expires)).expect("each key is there once");
    }
    store
}
