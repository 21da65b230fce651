//! Whole requests through the layer, against a reference model of what each must come to.
//!
//! Keys, policies of organizations, clocks, outages, headers and targets are generated, and keys are revoked, replaced
//! and narrowed in between: through the layer's own store, which may be a cache, or elsewhere. `MODEL_REQUESTS=1000000` asks for so many requests, in place of 5,000.
#![cfg(all(feature = "cache", feature = "routes", feature = "test-kit"))]

mod generated;
mod reference;
mod seeded;
mod subject;

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use tokio::runtime::{Builder, Runtime};

use self::generated::{Case, REQUESTS, case};
use self::reference::{Expected, Reference};
use self::seeded::Seed;
use self::subject::Subject;

/// Cases: 203.
#[test]
fn generated_requests_match_the_model() {
    let requests: u32 = std::env::var("MODEL_REQUESTS").map_or(5_000, |text| text.parse().expect("a number"));
    let tally = Tally::default();
    let result = run(requests, Seed::None, &tally);
    let statuses = tally.statuses.take();
    println!("{} requests, statuses {statuses:?}", tally.requests.get());
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(tally.requests.get() >= requests);
    let seen: Vec<_> = statuses.into_keys().collect();
    assert_eq!(seen, [200, 401, 403, 404, 503], "every verdict occurs");
}

/// Cases: 203.
/// What the model is for: a fault in the store or in front of the layer is a disagreement.
#[test]
fn harness_detects_each_seeded_fault() {
    for seed in Seed::ALL {
        let result = run(50_000, seed, &Tally::default());
        assert!(matches!(result, Err(TestError::Fail(..))), "{seed:?} was not found");
    }
}

#[derive(Default)]
struct Tally {
    requests: Cell<u32>,
    statuses: Cell<BTreeMap<u16, u32>>,
}

fn run(requests: u32, seed: Seed, tally: &Tally) -> Result<(), TestError<Case>> {
    subject::silence_injected_panics();
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let config = Config {
        cases: requests.div_ceil(REQUESTS),
        failure_persistence: None,
        max_shrink_iters: if seed == Seed::None { 10_000 } else { 0 },
        ..Config::default()
    };
    TestRunner::new(config).run(&case(), |case| check(&runtime, &case, seed, tally))
}

fn check(runtime: &Runtime, case: &Case, seed: Seed, tally: &Tally) -> Result<(), TestCaseError> {
    runtime.block_on(async {
        let mut reference = Reference::new(case);
        let subject = Subject::new(case, seed);
        for step in &case.steps {
            if let Some(change) = &step.change {
                let made = subject.change(change, step.elsewhere, &reference).await;
                prop_assert_eq!(made.is_some(), reference.takes(change), "{:?}", change);
                reference.change(change, step.elsewhere, made);
            }
            let headers = reference.headers(step);
            let got = subject.ask(step, &headers).await;
            let expected = reference.expect(step, &headers);
            prop_assert!(
                got.handled == 0 || expected.handler_may_run(),
                "the handler ran without a valid key: {:?} after {:?}",
                step,
                got
            );
            prop_assert_eq!(&got, &expected, "{:?} with {:?}", step, headers);
            let Expected { status, .. } = expected;
            let mut statuses = tally.statuses.take();
            *statuses.entry(status).or_insert(0) += 1;
            tally.statuses.set(statuses);
            tally.requests.set(tally.requests.get() + 1);
        }
        Ok(())
    })
}
