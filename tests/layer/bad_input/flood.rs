//! Keys that were chosen to fall together in a weak hash.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_api_key::key::KeyDigest;
use tower_api_key::manage::StoredCredential;
use tower_api_key::{Access, ApiKey, ApiKeyLayer, MemoryStore, NewKey};

use super::counting::Counting;
use crate::support::manage::Manage;

const NUMBER: usize = 100_000;
const BUCKETS: u64 = 1 << 17;

/// Cases: 19.
/// What is tested: a presented key goes through SHA-256 before any map sees it, so keys that were chosen to
/// collide in a weaker hash are spread like any others, whichever bytes of the digest a map goes by. What is not:
/// that SHA-256 is hard to steer, and the time that a lookup takes, which no test should assert.
#[test]
fn keys_colliding_in_weak_hash_have_spread_digests() {
    let keys: Vec<_> = colliding().take(NUMBER).collect();
    assert_eq!(crowd(keys.iter().map(|key| weak_hash(key) % BUCKETS)), NUMBER, "they do collide");

    let digests: Vec<_> = keys.iter().map(|key| *KeyDigest::hash(key.as_bytes()).as_bytes()).collect();
    for at in [0, 7, 8, 15, 16, 24] {
        let window = |digest: &[u8; 32]| u64::from_le_bytes(digest[at..at + 8].try_into().unwrap());
        let crowd = crowd(digests.iter().map(|digest| window(digest) % BUCKETS));
        assert!(crowd <= 16, "{crowd} of {NUMBER} keys in one of {BUCKETS} buckets, by the bytes from {at}");
    }
}

/// Cases: 19.
/// The same keys stored, presented and distinguished; and as many unknown ones, each of which costs one lookup.
#[tokio::test]
async fn colliding_key_flood_is_decided_key_by_key() {
    let (keys, acme) = (MemoryStore::new(), "acme".parse().unwrap());
    let stored = || colliding().step_by(2).take(NUMBER / 2);
    for key in stored() {
        let new = NewKey::new("colliding", Access::Full).unwrap();
        keys.manage().import(&acme, (new, StoredCredential::from_plaintext(key.as_bytes()))).await.unwrap();
    }
    let (store, calls) = (Counting::new(keys, false), Arc::new(AtomicUsize::new(0)));
    let handler = |request: Request<KeyDigest>| {
        calls.fetch_add(1, Ordering::SeqCst);
        let digest = request.extensions().get::<ApiKey>().unwrap().record().digest();
        assert_eq!(digest, request.body());
        async { Ok::<_, Infallible>(Response::new(String::new())) }
    };
    let mut service = ApiKeyLayer::new(Arc::clone(&store)).layer(service_fn(handler));
    for (at, key) in colliding().take(NUMBER).enumerate() {
        let request = Request::builder().header("X-Avala-Api-Key", &key).body(KeyDigest::hash(key.as_bytes())).unwrap();
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.status(), if at % 2 == 0 { 200 } else { 401 }, "{key}");
    }
    assert_eq!((store.take_lookups(), calls.load(Ordering::SeqCst)), (NUMBER, NUMBER / 2));
}

/// `Aa` and `BB` have the same hash, and so has whatever is made of them.
fn colliding() -> impl Iterator<Item = String> {
    (0_u32..1 << 17).map(|bits| (0..17).map(|bit| if bits >> bit & 1 == 0 { "Aa" } else { "BB" }).collect())
}

/// The polynomial that some languages hash their strings with.
fn weak_hash(text: &str) -> u64 {
    text.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())).into()
}

/// How many there are of the most frequent one.
fn crowd(buckets: impl Iterator<Item = u64>) -> usize {
    let mut counts = HashMap::new();
    buckets.for_each(|bucket| *counts.entry(bucket).or_insert(0) += 1);
    counts.into_values().max().unwrap_or(0)
}
