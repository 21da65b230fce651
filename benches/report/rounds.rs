//! Times cases in many short rounds, in each of which every case has a turn: what disturbs one disturbs all.

use std::time::Instant;

use crate::case::Case;

const ROUNDS: usize = 100;
/// How long a turn takes, in nanoseconds.
const TURN: f64 = 400_000.0;

/// For each case the nanoseconds of one request, in each round.
pub(crate) fn time(cases: &mut [Case]) -> Vec<Vec<f64>> {
    let turns: Vec<usize> = cases.iter_mut().map(|case| ((TURN / turn(case, 256)) as usize).max(16)).collect();
    let mut times = vec![Vec::with_capacity(ROUNDS); cases.len()];
    for round in 0..ROUNDS {
        for place in 0..cases.len() {
            let number = (place + round) % cases.len();
            times[number].push(turn(&mut cases[number], turns[number]));
        }
    }
    times
}

fn turn(case: &mut Case, requests: usize) -> f64 {
    let start = Instant::now();
    (case.run)(requests);
    start.elapsed().as_nanos() as f64 / requests as f64
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
