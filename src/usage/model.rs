//! loom tries every order in which requests that are counted and a report to the store can meet.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use loom::thread;

use super::{KeyUsage, Pending, UsageTracker};
use crate::key::{KeyDigest, KeyId, KeyRecord};
use crate::scope::Access;
use crate::store::{IssuePolicy, KeyStore, Lookup, MemoryStore};
use crate::sync::atomic::Ordering;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A store with so many keys, and a tracker with room for one.
struct World {
    store: MemoryStore,
    tracker: UsageTracker,
}

impl World {
    fn with_keys(keys: u8) -> Arc<Self> {
        let store = MemoryStore::with(IssuePolicy::default(), || UNIX_EPOCH);
        for which in 0..keys {
            let id = KeyId::from_u128(which.into());
            store.add(KeyRecord::new(id, digest(which), "acme".parse().unwrap(), Access::Full)).unwrap();
        }
        Arc::new(Self { store, tracker: UsageTracker::with_capacity(1) })
    }

    /// What a request finds: after a report another record than before it.
    fn record(&self, which: u8) -> Arc<KeyRecord> {
        match self.store.find_now(&digest(which)) {
            Lookup::Found(record) => record,
            other => panic!("{other:?}"),
        }
    }

    fn count(&self, which: u8, seconds: u64) {
        self.tracker.count(&self.record(which), at(seconds));
    }

    fn flush(&self) {
        self.tracker.flush(&self.store).now_or_never().unwrap().unwrap();
    }

    /// How often the store was told that the key was used, and when last.
    fn stored(&self, which: u8) -> (u64, Option<SystemTime>) {
        let record = self.record(which);
        (record.requests(), record.last_used_at())
    }
}

fn digest(which: u8) -> KeyDigest {
    KeyDigest::from_bytes([which; 32])
}

/// Two requests with the same record, and a report.
fn counted_while(report: fn(&World)) {
    loom::model(move || {
        let world = World::with_keys(1);
        let record = world.record(0);
        let other = {
            let (world, record) = (Arc::clone(&world), Arc::clone(&record));
            thread::spawn(move || {
                world.tracker.count(&record, at(1));
                world.tracker.count(&record, at(2));
            })
        };
        report(&world);
        other.join().unwrap();
        world.flush();
        assert_eq!(world.stored(0), (2, Some(at(2))), "a request was lost");
    });
}

#[test]
fn case_117_a_report_takes_each_request_once_and_the_time_of_the_last() {
    counted_while(World::flush);
}

#[test]
fn case_118_a_report_that_failed_loses_nothing() {
    counted_while(|world| {
        let report = world.tracker.take();
        world.tracker.keep(&report);
    });
}

/// The naive report reads the counter and then sets it to zero.
#[test]
#[should_panic(expected = "a request was lost")]
fn in_two_steps_it_loses_some() {
    counted_while(|world| {
        let pending = std::mem::take(&mut *world.tracker.pending());
        let usage = pending.into_iter().map(|(id, Pending { record, mut requests, .. })| {
            if let Some(record) = record {
                let unreported = record.unreported();
                requests += u64::from(unreported.requests.load(Ordering::SeqCst));
                unreported.requests.store(0, Ordering::SeqCst);
            }
            KeyUsage::new(id, requests, at(1))
        });
        world.tracker.keep(&usage.collect::<Vec<_>>());
    });
}

/// A request that found the record before a report, and one that found it after.
#[test]
fn two_records_of_a_key_are_counted_together() {
    loom::model(|| {
        let world = World::with_keys(1);
        world.count(0, 1);
        let record = world.record(0);
        let older = {
            let (world, record) = (Arc::clone(&world), Arc::clone(&record));
            thread::spawn(move || world.tracker.count(&record, at(2)))
        };
        world.flush();
        world.count(0, 3);
        older.join().unwrap();
        world.flush();
        assert_eq!(world.stored(0), (3, Some(at(3))), "a request was lost");
    });
}

/// Two requests at once with one record, of which the later one is the last.
#[test]
fn the_last_of_two_requests_at_once_is_the_later_one() {
    loom::model(|| {
        let world = World::with_keys(1);
        let record = world.record(0);
        let other = {
            let (world, record) = (Arc::clone(&world), Arc::clone(&record));
            thread::spawn(move || world.tracker.count(&record, at(1)))
        };
        world.tracker.count(&record, at(2));
        other.join().unwrap();
        world.flush();
        assert_eq!(world.stored(0), (2, Some(at(2))));
    });
}

/// There is room for one key, and two are in use.
#[test]
fn what_there_is_no_room_for_is_counted_as_dropped() {
    loom::model(|| {
        let world = World::with_keys(2);
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.count(1, 1);
                world.count(1, 1);
            })
        };
        world.count(0, 1);
        world.flush();
        other.join().unwrap();
        world.flush();
        let (stored, dropped) = (world.stored(0).0 + world.stored(1).0, world.tracker.dropped());
        assert_eq!(stored + dropped, 3, "a request was lost");
    });
}
