//! What a key takes in memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use allocation_counter::measure;
use tower_api_key::Access;
use tower_api_key::OrganizationId;
use tower_api_key::key::{KeyDigest, KeyFormat, KeyHint, KeyId, KeyRecord};
use tower_api_key::scope::{ScopeSet, avala};

/// So few that another test of this process can measure how its memory grows. A shard of a million keys has as many, and is
/// as full.
const KEYS: usize = 15_625;

/// Cases: 194.
#[test]
fn key_takes_at_most_400_bytes_of_record_and_map() {
    let organization: OrganizationId = "acme".parse().unwrap();
    let actor: Arc<str> = "ada@example.com".into();
    let access = Access::Scoped(ScopeSet::from([avala::TASKS_READ]));
    let hint = KeyFormat::AVALA.hint(b"avk_00112233445566778899aabbccddeeff01234567");
    let record = |number: usize| {
        let digest = KeyDigest::hash(&number.to_be_bytes());
        let record = KeyRecord::new(KeyId::from_u128(number as u128), digest, organization.clone(), access.clone());
        let record = record.with_name("nightly export").with_hint(KeyHint::clone(&hint));
        record.with_created_by(Arc::clone(&actor)).with_expires_at(SystemTime::now() + Duration::from_secs(60))
    };
    let mut records = Vec::with_capacity(KEYS);
    let of_records = measure(|| records.extend((0..KEYS).map(|number| Arc::new(record(number))))).bytes_current;
    // A store has 64 shards of pointers to records.
    let mut shard = HashSet::new();
    let of_map = measure(|| (0..KEYS).for_each(|number| _ = shard.insert(number))).bytes_current;
    let per_key = |bytes: i64| bytes as f64 / KEYS as f64;
    println!("bytes of a key: record {:.0}, map {:.0}", per_key(of_records), per_key(of_map));
    assert!(per_key(of_records + of_map) <= 400.0);
}
