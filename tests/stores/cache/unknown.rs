//! Keys that the store does not know.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::manage::StoredCredential;
use tower_api_key::store::{CachedStore, InsertRules, KeyBackend, Lookup, NewRecord, Replacement};
use tower_api_key::{Access, KeyStore, NewKey};

use super::world::{Clocks, UNKNOWN_TIME_TO_LIVE, World, acme, begin, find, unknown_digest};
use crate::support::manage::Manage;
use crate::support::reply::INVALID;

fn new_key() -> NewKey {
    NewKey::new("imported", Access::Full).unwrap()
}

fn is_remembered_as_unknown(world: &World, digest: &KeyDigest) -> bool {
    matches!(world.cache.try_find(digest), Lookup::NotFound)
}

#[tokio::test]
async fn unknown_key_is_cached_for_at_most_a_second() {
    let second = UNKNOWN_TIME_TO_LIVE;
    let half = Duration::from_millis(500);
    for (time_to_live, life) in [(Duration::from_secs(5), second), (second, second), (half, half)] {
        for clock in ["both", "monotonic", "wall"] {
            let world = World::with(|cache| cache.time_to_live(time_to_live));
            let pass = |time| match clock {
                "both" => world.clocks.pass(time),
                "monotonic" => world.clocks.pass_monotonic(time),
                _ => world.clocks.wall.set(world.clocks.now() + time),
            };
            for _ in 0..100 {
                let reply = world.request("unknown").await;
                assert_eq!((reply.status, reply.body.as_str()), (401, INVALID));
            }
            assert_eq!(world.store.lookups(), 1, "{life:?} {clock}");
            pass(life - Duration::from_nanos(1));
            assert_eq!((world.request("unknown").await.status, world.store.lookups()), (401, 1), "{life:?} {clock}");
            pass(Duration::from_nanos(1));
            assert_eq!((world.request("unknown").await.status, world.store.lookups()), (401, 2), "{life:?} {clock}");
        }
    }
}

/// Cases: 84.
#[tokio::test]
async fn unknown_key_works_once_issued_in_process() {
    for way in ["import", "insert", "replace"] {
        let world = World::new();
        let old = world.key().await;
        assert_eq!(world.request("new").await.status, 401);
        assert!(is_remembered_as_unknown(&world, &KeyDigest::hash(b"new")));

        let credential = StoredCredential::from_plaintext(b"new");
        match way {
            "import" => drop(world.cache.manage().import(&acme(), (new_key(), credential)).await.unwrap()),
            "insert" => {
                let StoredCredential { digest, hint, .. } = credential;
                let record = NewRecord::new(KeyId::from_u128(1), digest, acme(), Access::Full);
                let record = NewRecord { hint, name: "new".into(), ..record };
                world.cache.insert(record, InsertRules::new()).await.unwrap();
            }
            _ => {
                let StoredCredential { digest, hint, .. } = credential;
                let replacement = Replacement { hint, ..Replacement::new(KeyId::from_u128(1), digest) };
                world.cache.replace(&acme(), old.record.id(), replacement, InsertRules::new()).await.unwrap();
            }
        }
        assert_eq!(world.request("new").await.status, 200, "{way}");
    }
}

/// Cases: 84.
/// A lookup that found nothing comes back after the key was made.
#[tokio::test]
async fn lookup_from_before_issue_does_not_hide_the_key() {
    let world = World::new();
    let digest = KeyDigest::hash(b"new");
    world.store.hold();
    let lookup = begin(find(&world.cache, &digest));
    world.cache.manage().import(&acme(), (new_key(), StoredCredential::from_plaintext(b"new"))).await.unwrap();
    world.store.release();
    assert!(lookup.await.unwrap().is_none(), "it was asked before");
    assert!(!is_remembered_as_unknown(&world, &digest));
    assert_eq!(world.request("new").await.status, 200);
}

/// Cases: 84.
#[tokio::test]
async fn key_issued_elsewhere_works_after_a_second() {
    let world = World::new();
    assert_eq!(world.request("new").await.status, 401);
    let credential = StoredCredential::from_plaintext(b"new");
    world.store.elsewhere().manage().import(&acme(), (new_key(), credential)).await.unwrap();
    world.clocks.pass(UNKNOWN_TIME_TO_LIVE);
    assert_eq!(world.request("new").await.status, 200);
}

/// The row is deleted and restored by hand.
#[tokio::test]
async fn known_key_may_become_unknown_and_known_again() {
    let key = World::new().key().await;
    let (row, clocks) = (Arc::new(Row::default()), Clocks::new());
    let cache = clocks.build(CachedStore::builder(Arc::clone(&row)));
    for there in [true, false, true, false] {
        *row.0.lock().unwrap() = there.then(|| Arc::clone(&key.record));
        cache.invalidate(key.record.digest());
        assert_eq!(find(&cache, key.record.digest()).await.unwrap().is_some(), there);
        match cache.try_find(key.record.digest()) {
            Lookup::Found(_) => assert!(there),
            Lookup::NotFound => assert!(!there),
            Lookup::Pending => panic!("it was looked up a moment ago"),
        }
    }
}

#[derive(Default)]
struct Row(Mutex<Option<Arc<KeyRecord>>>);

impl KeyStore for Row {
    type Error = Infallible;

    async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        Ok(self.0.lock().unwrap().clone())
    }
}

/// Cases: 85.
#[tokio::test]
async fn unknown_key_flood_evicts_no_known_key() {
    const CAPACITY: usize = 1_000;
    const FLOOD: usize = 100_000;
    let world = World::with(|cache| cache.capacity(CAPACITY));
    let mut known = Vec::new();
    for _ in 0..CAPACITY / 2 {
        known.push(world.cached_key().await);
    }
    let before = world.store.lookups();
    for number in 0..FLOOD {
        assert!(find(&world.cache, &unknown_digest(number)).await.unwrap().is_none());
    }
    assert_eq!(world.store.lookups(), before + FLOOD);

    assert!(known.iter().all(|key| world.remembers(key)));
    let remembered = (0..FLOOD).filter(|&number| is_remembered_as_unknown(&world, &unknown_digest(number))).count();
    // The cache rounds up for each of its parts.
    assert!((1..=CAPACITY / 10 + 32).contains(&remembered), "{remembered} unknown keys are remembered");
}

/// The same for known keys, which come and go: more of them than there is room for.
#[tokio::test]
async fn cached_keys_are_bounded() {
    const CAPACITY: usize = 1_000;
    let world = World::with(|cache| cache.capacity(CAPACITY));
    let mut keys = Vec::new();
    for _ in 0..5 * CAPACITY {
        keys.push(world.cached_key().await);
    }
    let remembered = keys.iter().filter(|key| world.remembers(key)).count();
    assert!((CAPACITY / 2..=CAPACITY + 32).contains(&remembered), "{remembered} keys are remembered");
}
