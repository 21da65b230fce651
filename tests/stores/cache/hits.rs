//! What is answered from memory, and for how long.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tower_api_key::key::OrganizationPolicy;
use tower_api_key::manage::StoredCredential;
use tower_api_key::observe::LookupKind;
use tower_api_key::store::{KeyBackend, Lookup};
use tower_api_key::{Access, ApiKeyLayer, KeyStore, NewKey};

use super::probe::LookupFault;
use super::world::{TIME_TO_LIVE, World, acme, ask, begin, find};
use crate::support::manage::Manage;
use crate::support::reply::INVALID;

const NANOSECOND: Duration = Duration::from_nanos(1);
const MISSING: &str = r#"{"detail":"Authentication credentials were not provided."}"#;
const EXPIRED: &str = r#"{"detail":"API key has expired."}"#;
const UNAVAILABLE: &str = r#"{"detail":"Service temporarily unavailable, try again later."}"#;

#[tokio::test]
async fn cached_key_is_answered_without_the_store() {
    let world = World::new();
    let key = world.key().await;
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&kinds);
    let layer =
        ApiKeyLayer::new(world.cache.clone()).on_decision(move |event| seen.lock().unwrap().push(event.lookup()));

    for _ in 0..100 {
        assert_eq!(ask(layer.clone(), key.secret.expose_secret()).await.status, 200);
    }
    assert_eq!(world.store.lookups(), 1);
    let mut expected = [LookupKind::Immediate; 100];
    expected[0] = LookupKind::Awaited;
    assert_eq!(*kinds.lock().unwrap(), expected);

    let Lookup::Found(record) = world.cache.try_find(key.record.digest()) else { panic!("it is remembered") };
    assert_eq!(format!("{record:?}"), format!("{:?}", key.record));
}

#[tokio::test]
async fn request_without_key_is_not_looked_up() {
    let world = World::new();
    let reply = world.request("").await;
    assert_eq!((reply.status, reply.body.as_str(), world.store.lookups()), (401, MISSING, 0));
}

#[tokio::test]
async fn key_is_cached_for_five_seconds_by_default() {
    let world = World::new();
    let key = world.cached_key().await;
    world.clocks.pass(TIME_TO_LIVE - NANOSECOND);
    assert!(world.remembers(&key));
    world.clocks.pass(NANOSECOND);
    assert!(!world.remembers(&key));
    assert!(find(&world.cache, key.record.digest()).await.unwrap().is_some());
    assert!(world.remembers(&key));
    assert_eq!(world.store.lookups(), 2);
}

/// Every few milliseconds around the end, and anywhere else.
fn shift(life: u64) -> impl Strategy<Value = i64> {
    let life = i64::try_from(life).unwrap();
    prop_oneof![
        2 => -3_600_000_i64..3_600_000,
        2 => Just(0),
        3 => (-2_i64..=2).prop_map(move |around| life + around),
        1 => Just(-life),
    ]
}

proptest! {
    /// Cases: 72, 73.
    /// The monotonic clock may stop, and the other one stop or go back.
    #[test]
    fn cached_key_ages_by_the_clock_that_is_ahead(
        (life, monotonic, wall) in (1_u64..10_000)
            .prop_flat_map(|life| (Just(life), shift(life).prop_map(|shift| shift.max(0).unsigned_abs()), shift(life))),
    ) {
        futures::executor::block_on(async {
            let world = World::with(|cache| cache.time_to_live(Duration::from_millis(life)));
            let key = world.cached_key().await;
            world.clocks.pass_monotonic(Duration::from_millis(monotonic));
            let now = world.clocks.now();
            let distance = Duration::from_millis(wall.unsigned_abs());
            world.clocks.wall.set(if wall < 0 { now - distance } else { now + distance });

            let age = monotonic.max(u64::try_from(wall).unwrap_or(0));
            prop_assert_eq!(world.remembers(&key), age < life, "{} ms old", age);
            find(&world.cache, key.record.digest()).await.unwrap();
            prop_assert_eq!(world.store.lookups(), if age < life { 1 } else { 2 });
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn slow_answer_is_as_old_as_its_question() {
    let world = World::new();
    let key = world.key().await;
    world.store.hold();
    let lookup = begin(find(&world.cache, key.record.digest()));
    world.clocks.pass(Duration::from_secs(3));
    world.store.release();
    assert!(lookup.await.unwrap().is_some());
    world.clocks.pass(Duration::from_secs(2) - NANOSECOND);
    assert!(world.remembers(&key));
    world.clocks.pass(NANOSECOND);
    assert!(!world.remembers(&key));
}

/// An answer that was slower than the time to live is only for the requests that waited for it.
#[tokio::test]
async fn late_answer_is_not_cached() {
    let world = World::new();
    let key = world.key().await;
    world.store.hold();
    let lookup = begin(find(&world.cache, key.record.digest()));
    world.clocks.pass(TIME_TO_LIVE);
    world.store.release();
    assert!(lookup.await.unwrap().is_some());
    assert!(!world.remembers(&key));
}

/// Cases: 74.
#[tokio::test]
async fn cached_key_does_not_outlive_its_expiry() {
    let world = World::new();
    let second = Duration::from_secs(1);
    let key = NewKey::new("short-lived", Access::Full).unwrap().with_expires_at(world.clocks.now() + 2 * second);
    world.store.elsewhere().manage().import(&acme(), (key, StoredCredential::from_plaintext(b"key"))).await.unwrap();

    for time in [Duration::ZERO, second, second - NANOSECOND] {
        world.clocks.pass(time);
        assert_eq!(world.request("key").await.status, 200);
    }
    for time in [NANOSECOND, NANOSECOND, second] {
        world.clocks.pass(time);
        let reply = world.request("key").await;
        assert_eq!((reply.status, reply.body.as_str()), (401, EXPIRED));
    }
    assert_eq!(world.store.lookups(), 1, "all of it while the key was remembered");
}

/// Cases: 74, 76.
/// The same for the age that an organization allows, which counts from the creation of a key.
#[tokio::test]
async fn cached_key_does_not_outlive_its_maximum_age() {
    let world = World::new();
    let key = world.key().await;
    let age = Duration::from_secs(2);
    // The keys in memory are dated by the clock of the system.
    world.clocks.wall.set(key.record.created_at());
    let policy = OrganizationPolicy::default().with_max_key_age(age);
    world.cache.set_organization_policy(&acme(), policy).await.unwrap();

    assert_eq!(world.request(key.secret.expose_secret()).await.status, 200);
    world.clocks.pass(age - NANOSECOND);
    assert_eq!(world.request(key.secret.expose_secret()).await.status, 200);
    world.clocks.pass(NANOSECOND);
    let reply = world.request(key.secret.expose_secret()).await;
    assert_eq!((reply.status, reply.body.as_str()), (401, EXPIRED));
    assert_eq!(world.store.lookups(), 1, "all of it while the key was remembered");
}

/// Cases: 91.
#[tokio::test]
async fn outage_serves_nothing_past_its_ttl() {
    for fault in [LookupFault::Fails, LookupFault::PanicsWhenPolled, LookupFault::PanicsWhenCalled] {
        let world = World::new();
        let key = world.cached_key().await;
        assert_eq!((world.request("unknown").await.status, world.store.lookups()), (401, 2));
        world.store.fail_lookups(fault);

        let (known, unknown) = (key.secret.expose_secret(), "unknown");
        assert_eq!(world.request(known).await.status, 200, "{fault:?}");
        let reply = world.request(unknown).await;
        assert_eq!((reply.status, reply.body.as_str()), (401, INVALID), "{fault:?}");
        assert_eq!(world.store.lookups(), 2, "{fault:?}");

        world.clocks.pass(TIME_TO_LIVE);
        for presented in [known, unknown, known, unknown] {
            let reply = world.request(presented).await;
            assert_eq!((reply.status, reply.body.as_str()), (503, UNAVAILABLE), "{fault:?}");
            assert_eq!(reply.headers["retry-after"], "1", "{fault:?}");
        }
        world.store.fail_lookups(None);
        assert_eq!(world.request(known).await.status, 200, "{fault:?}");
        assert_eq!(world.request(unknown).await.status, 401, "{fault:?}");
    }
}
