//! loom tries every interleaving of requests that are counted and reports that are taken, kept or dropped.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loom::thread;

use super::UsageTracker;
use crate::key::KeyId;
use crate::store::KeyUsage;
use crate::store::usage_counters::usage;

/// A tracker, and what it has reported.
struct World {
    tracker: UsageTracker,
    reported: Mutex<Vec<KeyUsage>>,
}

impl World {
    fn new(capacity: usize) -> Arc<Self> {
        let tracker = UsageTracker::builder().capacity(capacity).build();
        Arc::new(Self { tracker, reported: Mutex::default() })
    }

    fn count(&self, key: u8, seconds: u64) {
        self.tracker.count(KeyId::from_u128(key.into()), at(seconds));
    }

    fn report(&self) {
        self.reported.lock().unwrap().extend(self.tracker.sink.counters().take().flatten());
    }

    fn report_that_fails(&self) {
        let usage: Vec<_> = self.tracker.sink.counters().take().flatten().collect();
        self.tracker.sink.counters().keep(&usage);
    }

    /// Reads the counters, and empties them in a second step.
    fn naive_report(&self) {
        let counters = self.tracker.sink.counters();
        for shard in counters.shards() {
            let read = shard.lock().unwrap().clone();
            counters.empty(&mut shard.lock().unwrap());
            self.reported.lock().unwrap().extend(usage(read));
        }
    }

    /// How many requests were reported, and when the last of them came.
    fn reported(&self) -> (u64, Option<SystemTime>) {
        let reported = self.reported.lock().unwrap();
        let requests = reported.iter().map(|usage| usage.request_count).sum();
        (requests, reported.iter().map(|usage| usage.last_used_at).max())
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Two requests with a key during a report.
fn two_requests_during(report: fn(&World)) {
    loom::model(move || {
        let world = World::new(1);
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.count(0, 2);
                world.count(0, 1);
            })
        };
        report(&world);
        other.join().unwrap();
        world.report();
        assert_eq!(world.reported(), (2, Some(at(2))), "a request was lost");
        assert_eq!(world.tracker.dropped(), 0);
    });
}

/// Cases: 117.
#[test]
fn usage_counted_during_report_is_reported_once() {
    two_requests_during(World::report);
}

/// Cases: 118.
#[test]
fn usage_counted_during_failed_report_is_kept() {
    two_requests_during(World::report_that_fails);
}

#[test]
#[should_panic(expected = "a request was lost")]
fn usage_counted_during_naive_report_is_lost() {
    two_requests_during(World::naive_report);
}

/// Two requests with one key at once.
#[test]
fn usage_of_two_requests_at_once_adds_up() {
    loom::model(|| {
        let world = World::new(1);
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.count(0, 2))
        };
        world.count(0, 1);
        other.join().unwrap();
        world.report();
        assert_eq!(world.reported(), (2, Some(at(2))));
    });
}

/// Two keys of different shards are used while the report of one of them fails, and only one fits.
#[test]
fn usage_beyond_capacity_is_dropped() {
    loom::model(|| {
        let world = World::new(1);
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.count(1, 1);
                world.count(1, 1);
            })
        };
        world.count(0, 1);
        world.report_that_fails();
        other.join().unwrap();
        let kept: Vec<_> = world.tracker.sink.counters().take().flatten().collect();
        assert!(kept.len() <= 1, "more keys than the capacity");
        let kept: u64 = kept.iter().map(|usage| usage.request_count).sum();
        assert_eq!(kept + world.tracker.dropped(), 3, "a request was lost");
    });
}
