//! Many keys stored in one step.

use std::time::{Duration, SystemTime};

use tower_api_key::key::{KeyDigest, KeyId};
use tower_api_key::store::{ImportedFacts, InsertRules, Inserted, KeyBackend, NewRecord};
use tower_api_key::{Access, MemoryStore, OrganizationId};

use super::database::Database;
use crate::support::calls::acme;

on_each_database! {
    batch_with_taken_keys_ends_as_in_memory
    batch_with_untypical_values_is_stored_as_it_is
}

/// More than one statement inserts. Ids and digests repeat: within a statement, over two, and from before.
fn batch(keys: u32, seed: u32) -> Vec<NewRecord> {
    let now = SystemTime::now();
    (0..keys)
        .map(|number| {
            let mix = number.wrapping_add(seed).wrapping_mul(2_654_435_761);
            let (id, digest) = if number % 7 == 0 { (mix % 50, mix / 50 % 50) } else { (100 + number, 100 + number) };
            let organization = OrganizationId::new(["acme", "other"][number as usize % 2]).unwrap();
            let digest = KeyDigest::hash(&digest.to_be_bytes());
            let record = NewRecord::new(KeyId::from_u128(id.into()), digest, organization, Access::Full);
            let expires_at = (number % 11 == 0).then(|| now - Duration::from_secs(60));
            let used = ImportedFacts {
                last_used_at: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)),
                request_count: number.into(),
                ..ImportedFacts::default()
            };
            NewRecord {
                expires_at,
                imported: (number % 3 == 0).then_some(used),
                name: format!("key {number}").into(),
                ..record
            }
        })
        .collect()
}

fn outcomes(inserted: &[Inserted]) -> Vec<String> {
    let outcome = |inserted: &Inserted| match inserted {
        Ok(record) => format!("{} {} {} {}", record.id(), record.name(), record.organization(), record.request_count()),
        Err(error) => format!("{error:?}"),
    };
    inserted.iter().map(outcome).collect()
}

/// Cases: 193.
async fn batch_with_taken_keys_ends_as_in_memory<D: Database>() {
    let database = D::new().await;
    let (store, memory) = (database.store().await, MemoryStore::new());
    for (keys, seed) in [(1_203, 1), (40, 9), (0, 0)] {
        for rules in [InsertRules::new(), InsertRules::new().with_max_active(1_000)] {
            let batch = batch(keys, seed);
            let stored = store.insert_many(batch.clone(), rules).await.unwrap();
            let expected = memory.insert_many(batch, rules).await.unwrap();
            assert_eq!(outcomes(&stored), outcomes(&expected));
            assert!(keys == 0 || expected.iter().any(Result::is_err));
        }
    }
    for organization in [acme().clone(), OrganizationId::new("other").unwrap()] {
        let counts = store.counts((&organization).into()).await.unwrap();
        assert!(counts.active > 100);
        assert_eq!(counts, memory.counts((&organization).into()).await.unwrap());
    }
}

/// Cases: 193.
async fn batch_with_untypical_values_is_stored_as_it_is<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    let names =
        ["'; DROP TABLE tower_api_key_keys; --", "\"quoted\" \\ {} [] \\u0000", "🔑 \u{202e}漢字", "null", "$1 %s"];
    let new = |number: usize, name: &str| {
        let digest = KeyDigest::hash(&number.to_be_bytes());
        let record = NewRecord::new(KeyId::from_u128(number as u128), digest, acme().clone(), Access::Full);
        let facts = ImportedFacts { created_at: Some(SystemTime::UNIX_EPOCH), ..ImportedFacts::default() };
        NewRecord { name: name.into(), created_by: Some(name.into()), imported: Some(facts), ..record }
    };
    let batch = names.iter().enumerate().map(|(number, name)| new(number, name)).collect();
    for (stored, name) in store.insert_many(batch, InsertRules::new()).await.unwrap().into_iter().zip(names) {
        let stored = stored.unwrap();
        let read = store.get(acme(), stored.id()).await.unwrap();
        for record in [stored, read] {
            assert_eq!((record.name(), record.created_by()), (name, Some(name)));
            assert_eq!((record.created_at(), record.environment()), (SystemTime::UNIX_EPOCH, None));
        }
    }
}
