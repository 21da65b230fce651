//! The script against the definition of a limit.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;
use tower_api_key::throttle::{Acquired, Hit, Limit, LimitStore, RedisLimits};

use crate::support::clock::Hands;
use crate::support::redis::RedisServer;

const WINDOW: u64 = 60_000;

/// The hits of one key that were allowed: when, and what they cost.
type Allowed = Vec<(u64, u32)>;

fn counting(allowed: &Allowed, now: u64, window: u64) -> u32 {
    allowed.iter().filter(|&&(at, _)| now - at < window).map(|&(_, cost)| cost).sum()
}

fn of(requests: u32, window: u64) -> Limit {
    Limit::new(requests, Duration::from_millis(window))
}

fn at(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000) + Duration::from_millis(millis)
}

/// A store with a clock that the test moves, and what it answers.
struct World {
    runtime: Runtime,
    clock: Hands,
    redis: RedisLimits,
}

impl World {
    fn new(server: &RedisServer) -> Self {
        let clock = Hands::at(at(0));
        let redis = RedisLimits::new(&server.url()).unwrap().with_timeout(Duration::from_secs(20));
        Self { runtime: Runtime::new().unwrap(), redis: redis.with_clock(clock.clone()), clock }
    }

    fn acquire(&self, millis: u64, hit: &Hit) -> Acquired {
        self.clock.set(at(millis));
        self.runtime.block_on(self.redis.acquire(hit)).unwrap()
    }
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

/// Of two limits at once, for several keys and costs.
/// Cases: 246, 257.
#[test]
#[ignore = "needs redis-server"]
fn hits_in_redis_stay_within_limit() {
    let server = RedisServer::start();
    let world = World::new(&server);
    let rounds = AtomicU32::new(0);
    let hits = proptest::collection::vec((0_u64..24_000, 0_u32..3, 0_u32..4), 1..60);
    let checked = runner(60).run(&(1_u32..6, 1_u32..12, hits), |(limit, daily, hits)| {
        let round = rounds.fetch_add(1, Ordering::Relaxed);
        let both = [of(limit, WINDOW), of(daily, 4 * WINDOW)];
        let mut allowed = [const { Allowed::new() }; 3];
        let mut now = 0;
        for (step, key, cost) in hits {
            now += step;
            let counted = &mut allowed[key as usize];
            let fits = |counted: &Allowed, now: u64| {
                cost == 0
                    || both.iter().all(|limit| {
                        let window = limit.window().as_millis() as u64;
                        counting(counted, now, window) + cost <= limit.requests()
                    })
            };
            let acquired = world.acquire(now, &Hit::new(&*format!("{round}-{key}"), both).with_cost(cost));
            prop_assert_eq!(acquired.is_allowed(), fits(counted, now));
            let state = acquired.state();
            if acquired.is_allowed() {
                counted.push((now, cost));
                let left =
                    both.map(|limit| limit.requests() - counting(counted, now, limit.window().as_millis() as u64));
                prop_assert_eq!(state.remaining(), left.into_iter().min().unwrap());
            } else if both.iter().all(|limit| cost <= limit.requests()) {
                let free = now + state.reset_after().as_millis() as u64;
                prop_assert!(free > now && fits(counted, free) && !fits(counted, free - 1));
            }
        }
        Ok(())
    });
    checked.unwrap();
    assert!(rounds.into_inner() >= 60);
}

/// Cases: 248, 257.
#[test]
#[ignore = "needs redis-server"]
fn large_limit_in_redis_is_strict_within_a_64th() {
    let server = RedisServer::start();
    let world = World::new(&server);
    let rounds = AtomicU32::new(0);
    let hits = proptest::collection::vec((0_u64..10_000, 1_u32..400), 1..80);
    let checked = runner(40).run(&(101_u32..2_000, hits), |(limit, hits)| {
        let round = rounds.fetch_add(1, Ordering::Relaxed);
        let window = 64_000;
        let mut allowed = Allowed::new();
        let mut now = 0;
        for (step, cost) in hits {
            now += step;
            let acquired = world.acquire(now, &Hit::new(&*round.to_string(), of(limit, window)).with_cost(cost));
            let fits = |now: u64, window: u64| counting(&allowed, now, window) + cost <= limit;
            if acquired.is_allowed() {
                prop_assert!(fits(now, window));
                allowed.push((now, cost));
            } else {
                prop_assert!(!fits(now, window + window / 64));
                let free = now + acquired.state().reset_after().as_micros().div_ceil(1_000) as u64;
                prop_assert!(cost > limit || fits(free, window) && free <= now + window + window / 64);
            }
        }
        Ok(())
    });
    checked.unwrap();
}

/// A clock that goes back by an hour, and then on, allows no more, and a limit comes free after its window.
/// Cases: 257.
#[test]
#[ignore = "needs redis-server"]
fn clock_of_redis_going_back_does_not_lock_out() {
    let server = RedisServer::start();
    let world = World::new(&server);
    let hour = 3_600_000;
    for (name, requests) in [("exact", 2), ("parts", 200)] {
        let hit = Hit::new(name, of(requests, WINDOW)).with_cost(requests / 2);
        let allows = |millis| world.acquire(millis, &hit).is_allowed();
        assert!(allows(2 * hour) && allows(2 * hour + 10_000), "{name}");
        assert!(!allows(2 * hour + 11_000), "{name}");
        // No time has passed since the latest hit.
        assert!(!allows(hour) && !allows(hour + 40_000), "{name}");
        // The first hit leaves, and then the second one.
        assert!(allows(hour + 51_000), "{name}");
        assert!(!allows(hour + 52_000), "{name}");
        assert!(allows(hour + WINDOW + 1_000), "{name}");
    }
}

/// By the clock of the server, a hit is accepted after the time that its rejection named.
/// Cases: 257.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn retry_after_by_server_clock_is_honest() {
    let server = RedisServer::start();
    let redis = RedisLimits::new(&server.url()).unwrap().with_timeout(Duration::from_secs(20));
    let hit = Hit::new("a", of(3, 400));
    for _ in 0..3 {
        assert!(redis.acquire(&hit).await.unwrap().is_allowed());
    }
    let limited = redis.acquire(&hit).await.unwrap();
    let wait = limited.state().reset_after();
    assert!(!limited.is_allowed() && wait > Duration::ZERO && wait <= Duration::from_millis(400), "{limited:?}");
    // The server decides when: no clock of this process is asked.
    tokio::time::sleep(wait).await;
    assert!(redis.acquire(&hit).await.unwrap().is_allowed());
}
