//! The verifiers of `examples/legacy_keys`, against rows that the original libraries have written. Laravel Sanctum's are
//! made by its documented scheme, since it is written in PHP.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tower_api_key::auth::{LegacyFormat, LegacyKey, LegacyLimits, LegacyVerifier};
use tower_api_key::key::{KeyDigest, KeyRecord, KeyStatus};
use tower_api_key::manage::ImportedKey;
use tower_api_key::{Access, ApiKeyLayer, KeyManager, KeyStore, MemoryStore, OrganizationId};

use super::examples::{bcrypt, better_auth, django, keyshield, sanctum};
use crate::support::calls::{Reply, call, scopes};

/// A key as the client has it, and its row.
#[derive(Deserialize)]
struct Original {
    key: String,
    row: serde_json::Value,
}

/// The rows of a scheme by the name of the case. `ORIGINAL_ROWS` is the folder of the files.
fn rows(file: &str, scheme: &str) -> HashMap<String, Original> {
    let folder = PathBuf::from(std::env::var("ORIGINAL_ROWS").expect("tests/adoption/originals/run sets it"));
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let mut schemes: HashMap<String, HashMap<String, Original>> = serde_json::from_str(&text).unwrap();
    schemes.remove(scheme).unwrap()
}

fn all<R: DeserializeOwned>(rows: &HashMap<String, Original>) -> Vec<R> {
    rows.values().map(|original| serde_json::from_value(original.row.clone()).unwrap()).collect()
}

/// Counts the verifications of another verifier.
struct Counted<V>(V, Arc<AtomicUsize>);

impl<V: LegacyVerifier> LegacyVerifier for Counted<V> {
    type Error = V::Error;

    fn formats(&self) -> Vec<LegacyFormat> {
        self.0.formats()
    }

    fn limits(&self) -> LegacyLimits {
        self.0.limits()
    }

    async fn verify(&self, key: LegacyKey) -> Result<Option<(OrganizationId, ImportedKey)>, V::Error> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.verify(key).await
    }
}

/// Checks one scheme: each of the keys has this status and access, once and for all.
async fn check(
    originals: &HashMap<String, Original>,
    verifier: impl LegacyVerifier,
    expected: &[(&str, KeyStatus, Access)],
) -> Vec<Arc<KeyRecord>> {
    let (store, verifications) = (MemoryStore::new(), Arc::new(AtomicUsize::new(0)));
    let manager = KeyManager::new(store.clone());
    let layer = ApiKeyLayer::new(store.clone())
        .legacy_keys(manager.clone(), Counted(verifier, Arc::clone(&verifications)))
        .unwrap()
        // A slow hash takes long without optimization.
        .lookup_timeout(Duration::from_secs(60));
    let mut records = Vec::new();
    assert_eq!(originals.len(), expected.len());
    for (name, status, access) in expected {
        let key = originals[*name].key.as_str();
        let before = verifications.load(Ordering::Relaxed);
        let reply = match status {
            KeyStatus::Active => Reply::accepted(access),
            KeyStatus::Expired => Reply::expired(),
            _ => Reply::invalid(),
        };
        // The first request asks the old table, the second one does not.
        for _ in 0..2 {
            assert_eq!(call(&layer, key).await, reply, "{name}");
            assert_eq!(verifications.load(Ordering::Relaxed), before + 1, "{name}");
        }
        let Ok(record) = store.find(&KeyDigest::hash(key.as_bytes())).await;
        records.push(record.unwrap());

        // The same row with another secret.
        let mut other = key.to_owned();
        let last = if other.pop() == Some('x') { 'y' } else { 'x' };
        other.push(last);
        assert_eq!(call(&layer, &other).await, Reply::invalid(), "{name}");

        let revoked = manager.revoke_plaintext(key.as_bytes()).await.unwrap().unwrap();
        assert_eq!(call(&layer, key).await, Reply::invalid(), "{name} revoked");
        assert_eq!(manager.purge(revoked.organization(), Duration::ZERO).await.unwrap(), 1);
        assert_eq!(call(&layer, key).await, Reply::invalid(), "{name} purged");
        assert_eq!(verifications.load(Ordering::Relaxed), before + 2, "{name}");
    }
    records
}

fn reader() -> Access {
    Access::Scoped(scopes(&["datasets.read"]))
}

/// Cases: 216.
#[tokio::test]
#[ignore = "needs rows of the original libraries: tests/adoption/originals/run"]
async fn django_keys_work_from_their_first_request() {
    let originals = rows("python.json", "django");
    let expected = [
        ("valid", KeyStatus::Active, Access::Full),
        ("old_hash", KeyStatus::Active, Access::Full),
        ("expired", KeyStatus::Expired, Access::Full),
        ("revoked", KeyStatus::Revoked, Access::Full),
    ];
    let records = check(&originals, django::Django::new(all(&originals)), &expected).await;
    assert!(records[0].expires_at().is_some() && records[1].expires_at().is_none());
    assert_eq!(records[0].organization().as_str(), "acme");
}

/// Cases: 216.
#[tokio::test]
#[ignore = "needs rows of the original libraries: tests/adoption/originals/run"]
async fn sanctum_tokens_work_from_their_first_request() {
    let originals = rows("python.json", "sanctum");
    let expected = [
        ("valid", KeyStatus::Active, reader()),
        ("full", KeyStatus::Active, Access::Full),
        ("expired", KeyStatus::Expired, Access::Full),
    ];
    let records = check(&originals, sanctum::Sanctum::new(all(&originals)), &expected).await;
    assert_eq!((records[0].organization().as_str(), records[0].name()), ("user-7", "laptop"));
    assert!(records[0].created_at() < records[0].last_used_at().unwrap());
}

/// Cases: 216.
#[tokio::test]
#[ignore = "needs rows of the original libraries: tests/adoption/originals/run"]
async fn better_auth_keys_work_from_first_request() {
    let originals = rows("node.json", "better_auth");
    let expected = [
        ("valid", KeyStatus::Active, reader()),
        ("disabled", KeyStatus::Suspended, reader()),
        ("expired", KeyStatus::Expired, reader()),
    ];
    let records = check(&originals, better_auth::BetterAuth::new(all(&originals)), &expected).await;
    assert_eq!(records[0].name(), "ci");
    assert!(records[1].is_suspended());
}

/// Cases: 216.
#[tokio::test]
#[ignore = "needs rows of the original libraries: tests/adoption/originals/run"]
async fn keyshield_keys_work_from_their_first_request() {
    let originals = rows("python.json", "keyshield");
    let expected = [
        ("valid", KeyStatus::Active, reader()),
        ("inactive", KeyStatus::Suspended, reader()),
        ("expired", KeyStatus::Expired, reader()),
    ];
    let verifier = keyshield::Keyshield::new(all(&originals), "a pepper of the service");
    check(&originals, verifier, &expected).await;
    let verifier = keyshield::Keyshield::new(all(&originals), "another pepper");
    let store = MemoryStore::new();
    let layer = ApiKeyLayer::new(store.clone()).legacy_keys(KeyManager::new(store), verifier).unwrap();
    let layer = layer.lookup_timeout(Duration::from_secs(60));
    assert_eq!(call(&layer, &originals["valid"].key).await, Reply::invalid());
}

/// Cases: 216.
#[tokio::test]
#[ignore = "needs rows of the original libraries: tests/adoption/originals/run"]
async fn bcrypt_keys_work_from_their_first_request() {
    let originals = rows("python.json", "bcrypt");
    let expected = [("valid", KeyStatus::Active, Access::Full), ("disabled", KeyStatus::Suspended, Access::Full)];
    check(&originals, bcrypt::Bcrypt::new(all(&originals)), &expected).await;
}
