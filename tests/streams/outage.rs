//! What becomes of open streams while the store gives no answer.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use tower_api_key::store::KeyBackend;
use tower_api_key::test_kit::{Fault, FaultyStore, ManualClock};
use tower_api_key::{Access, ApiKeyLayer, KeyManager, MemoryStore, NewKey};

use crate::support::log_lines::{record_log, take_log};
use crate::world::{ACME, accepted, end, is_open, issue, watch};

const SECOND: Duration = Duration::from_secs(1);

/// Cases: 228.
#[tokio::test(start_paused = true)]
async fn streams_end_when_the_store_is_away_too_long() {
    for (fault, code) in
        [(Fault::Error, "store_failed"), (Fault::Hang, "store_timed_out"), (Fault::Panic, "store_panicked")]
    {
        let store = FaultyStore::new(MemoryStore::new());
        let issued = issue(&store).await;
        let layer = ApiKeyLayer::new(store.clone());
        let mut ended = accepted(&layer, &issued).await.ended();
        watch(&mut ended);
        assert!(is_open(&mut ended).await);
        record_log();
        store.set_fault(fault);
        let (rejection, took) = end(&mut ended).await;
        assert_eq!((rejection.code(), rejection.status().as_u16()), (code, 503), "{fault:?}");
        // Since the last answer, which was up to an interval before.
        assert!((28 * SECOND..=33 * SECOND).contains(&took), "{fault:?}: {took:?}");
        let log = take_log();
        let lines: Vec<_> = log.iter().filter(|line| line.contains("not checked")).collect();
        assert_eq!(lines.len(), 1, "one line for the outage: {log:?}");
        assert!(lines[0].starts_with("WARN ") && lines[0].contains("30.0s"), "{lines:?}");
        store.set_fault(Fault::None);
        drop(ended);
        sleep(SECOND).await;
    }
}

/// Cases: 228.
#[tokio::test(start_paused = true)]
async fn streams_survive_a_short_outage() {
    let store = FaultyStore::new(MemoryStore::new());
    let issued = issue(&store).await;
    let layer = ApiKeyLayer::new(store.clone()).keep_streams_in_outage(15 * SECOND);
    let mut ended = accepted(&layer, &issued).await.ended();
    watch(&mut ended);
    for _ in 0..3 {
        store.set_fault(Fault::Error);
        assert!(is_open(&mut ended).await, "10 of 15 seconds");
        store.set_fault(Fault::None);
        assert!(is_open(&mut ended).await);
    }
    store.set_fault(Fault::Error);
    let (_, took) = end(&mut ended).await;
    assert!((13 * SECOND..=17 * SECOND).contains(&took), "{took:?}");
}

/// Cases: 228.
///
/// What was revoked in an outage ends as soon as the store answers again.
#[tokio::test(start_paused = true)]
async fn key_revoked_in_an_outage_ends_after_it() {
    let keys = MemoryStore::new();
    let store = FaultyStore::new(keys.clone());
    let issued = issue(&store).await;
    let layer = ApiKeyLayer::new(store.clone());
    let mut ended = accepted(&layer, &issued).await.ended();
    watch(&mut ended);
    store.set_fault(Fault::Error);
    assert!(is_open(&mut ended).await);
    keys.revoke(&ACME, issued.record.id()).await.unwrap();
    assert!(is_open(&mut ended).await, "the store gives no answer");
    store.set_fault(Fault::None);
    let (rejection, took) = end(&mut ended).await;
    assert_eq!(rejection.code(), "revoked");
    assert!(took <= SECOND, "{took:?}");
}

/// Cases: 228.
#[tokio::test(start_paused = true)]
async fn key_that_expires_in_an_outage_ends_on_time() {
    for fault in [Fault::Error, Fault::Hang] {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000));
        let store = FaultyStore::new(MemoryStore::builder().clock(clock.clone()).build());
        let new = NewKey::new("short", Access::Full).unwrap().with_expires_at(clock.now() + 10 * SECOND);
        let issued = KeyManager::new(store.clone()).issue(&ACME, new).await.unwrap();
        let layer = ApiKeyLayer::new(store.clone()).clock(clock.clone());
        let mut ended = accepted(&layer, &issued).await.ended();
        watch(&mut ended);
        store.set_fault(fault);
        assert!(is_open(&mut ended).await);
        clock.advance(10 * SECOND);
        let began = Instant::now();
        assert_eq!(end(&mut ended).await.0.code(), "expired", "{fault:?}");
        assert!(began.elapsed() <= 2 * SECOND, "{fault:?}: {:?}", began.elapsed());
    }
}
