//! Keys that a file lists.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::store::{CachedStore, KeyBackend, KeyFile, KeyUpdate};
use tower_api_key::{Access, ApiKeyLayer, BoxError, KeyStore, MemoryStore};

use crate::support::calls::{Reply, acme, call};
use crate::support::log_lines::{record_log, take_log, watch_log_for};

/// A file that is gone when this is dropped.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tower-api-key-{}-{name}.json", std::process::id()));
        Self(path)
    }

    /// Writes a new file and renames it over the old one.
    fn write(&self, content: &str) {
        let new = self.0.with_extension("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, &self.0).unwrap();
    }

    fn open(&self) -> KeyFile {
        KeyFile::open(&self.0, |text| Ok(serde_json::from_str(text)?)).unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A key in the file, with these fields in addition.
fn key(number: u8, more: &str) -> String {
    let digest = KeyDigest::hash(plain(number).as_bytes()).to_hex();
    let id = KeyId::from_u128(number.into());
    format!(r#"{{"id":"{id}","digest":"{digest}","organization":"acme","access":"full"{more}}}"#)
}

fn plain(number: u8) -> String {
    format!("key-{number}")
}

fn accepted() -> Reply {
    Reply::accepted(&Access::Full)
}

/// Cases: 218.
#[tokio::test]
async fn file_that_changes_applies_to_the_next_request() {
    let file = File::new("changes");
    file.write(&format!("[{},{}]", key(1, ""), key(2, r#","revoked_at":"2026-01-31T00:00:00Z""#)));
    let keys = file.open();
    let cached = CachedStore::new(keys.keys().clone());
    for layer in [ApiKeyLayer::new(keys.keys().clone()), ApiKeyLayer::new(cached)] {
        file.write(&format!("[{},{}]", key(1, ""), key(2, r#","revoked_at":"2026-01-31T00:00:00Z""#)));
        keys.reload().unwrap();
        assert_eq!([call(&layer, "key-1").await, call(&layer, "key-2").await], [accepted(), Reply::invalid()]);
        assert!(!keys.reload().unwrap(), "nothing has changed");
        // Revoked, and added.
        file.write(&format!("[{},{}]", key(1, r#","revoked_at":"2026-01-31T00:00:00Z""#), key(3, "")));
        assert_eq!(call(&layer, "key-1").await, accepted(), "not read yet");
        assert!(keys.reload().unwrap());
        assert_eq!(call(&layer, "key-1").await, Reply::invalid());
        assert_eq!([call(&layer, "key-2").await, call(&layer, "key-3").await], [Reply::invalid(), accepted()]);
        // Expired, and limited.
        file.write(&format!("[{}]", key(3, r#","expires_at":"2026-01-31T00:00:00Z""#)));
        keys.reload().unwrap();
        assert_eq!(call(&layer, "key-3").await, Reply::expired());
    }
}

/// Cases: 218.
#[tokio::test]
async fn invalid_file_changes_nothing_and_names_the_reason() {
    let file = File::new("invalid");
    let valid = format!("[{}]", key(1, ""));
    file.write(&valid);
    let keys = file.open();
    let layer = ApiKeyLayer::new(keys.keys().clone());
    let secret = "avk_00112233445566778899aabbccddeeff01234567";
    let as_digest = key(1, "").replace(&KeyDigest::hash(b"key-1").to_hex(), secret);
    for (content, reason) in [
        (String::new(), "EOF while parsing a value at line 1 column 0"),
        (valid[..valid.len() - 1].to_owned(), "EOF while parsing a list"),
        (format!("[{},{}]", key(1, ""), key(1, "")), "each key must be listed once"),
        (format!("[{}]", key(1, r#","expire_at":"2026-01-31T00:00:00Z""#)), "unknown field `expire_at`"),
        (format!("[{as_digest}]"), "invalid key digest: expected the 64 hexadecimal digits"),
    ] {
        file.write(&content);
        let error = keys.reload().unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("invalid.json"), "{error}");
        assert!(!error.contains('\n') && !error.contains(&secret[4..]), "{error}");
        assert_eq!(call(&layer, "key-1").await, accepted(), "{reason}");
    }
    fs::remove_file(&file.0).unwrap();
    assert!(keys.reload().is_err());
    assert_eq!(call(&layer, "key-1").await, accepted());
    assert!(KeyFile::open(&file.0, |text| Ok(serde_json::from_str(text)?)).is_err());
}

/// Cases: 218.
#[tokio::test(start_paused = true)]
async fn running_file_follows_each_change() {
    let file = File::new("running");
    watch_log_for("-running.json");
    record_log();
    file.write(&format!("[{}]", key(1, "")));
    let keys = file.open();
    let layer = ApiKeyLayer::new(keys.keys().clone());
    let running = tokio::spawn(keys.run());
    let second = Duration::from_secs(1);
    let step = async || tokio::time::sleep(2 * second).await;
    for round in 0..3 {
        file.write("[]");
        step().await;
        assert_eq!(call(&layer, "key-1").await, Reply::invalid(), "round {round}");
        file.write("[{}]");
        step().await;
        step().await;
        file.write(&format!("[{}]", key(1, "")));
        step().await;
        assert_eq!(call(&layer, "key-1").await, accepted(), "round {round}");
    }
    running.abort();
    let lines = crate::support::log_lines::logged("-running.json");
    let warnings = lines.iter().filter(|line| line.starts_with("WARN cannot use the key file ")).count();
    assert_eq!(warnings, 3, "one line for each invalid content: {lines:?}");
    assert!(lines[1].contains("keeping the keys as they are: missing field `id` at line 1 column 3"), "{lines:?}");
    drop(take_log());
}

const KEYS: u8 = 64;

fn generation(store: &MemoryStore, number: u8) -> u64 {
    let digest = KeyDigest::hash(plain(number).as_bytes());
    let found = futures::executor::block_on(store.find(&digest)).unwrap().unwrap();
    found.name().parse().unwrap()
}

fn records(generation: u64) -> impl Iterator<Item = KeyRecord> {
    (0..KEYS).map(move |number| {
        let digest = KeyDigest::hash(plain(number).as_bytes());
        let record = KeyRecord::new(KeyId::from_u128(number.into()), digest, acme().clone(), Access::Full);
        record.with_name(generation.to_string())
    })
}

/// Replaces all keys again and again while others look keys up, and returns how often a lookup found an older generation
/// than an earlier lookup of the same thread.
fn steps_back(replace: fn(&MemoryStore, u64) -> Result<(), BoxError>) -> usize {
    let store = MemoryStore::new();
    store.replace_all(records(0)).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let (store, done) = (&store, &done);
                scope.spawn(move || {
                    let (mut latest, mut back, mut number) = (0, 0, reader);
                    while !done.load(Ordering::Relaxed) {
                        number = (number + 37) % KEYS;
                        let found = generation(store, number);
                        back += usize::from(found < latest);
                        latest = found;
                    }
                    back
                })
            })
            .collect();
        for generation in 1..300 {
            replace(&store, generation).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    })
}

/// Cases: 218.
#[test]
fn all_keys_are_replaced_in_one_step() {
    let back = steps_back(|store, generation| {
        store.replace_all(records(generation))?;
        Ok(())
    });
    assert_eq!(back, 0, "a lookup found an old record after a new one");
}

/// Cases: 218.
///
/// The negative control.
#[test]
fn keys_replaced_one_by_one_are_seen_halfway() {
    let back = steps_back(|store, generation| {
        for number in 0..KEYS {
            let update = KeyUpdate::new().with_name(generation.to_string());
            futures::executor::block_on(store.update(acme(), KeyId::from_u128(number.into()), update))?;
        }
        Ok(())
    });
    assert!(back > 0);
}
