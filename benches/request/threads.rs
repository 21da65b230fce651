//! What a request costs on two threads, of what it costs on one: with different keys, and with the same key.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use http::StatusCode;
use tower::Layer;
use tower_api_key::ApiKeyLayer;

use crate::case::Case;
use crate::inner::Inner;
use crate::keys::{text, value};
use crate::rounds::median;
use crate::stacks::{Requests, Stacks};

const ROUNDS: usize = 25;
const ROUND: Duration = Duration::from_millis(40);
/// How many keys each thread presents in turns, where the keys differ.
const KEYS: u64 = 32;

/// Makes the case of one thread.
type MakeCase<'a> = dyn Fn(Requests) -> Case + Sync + 'a;

pub(crate) fn report() {
    let stacks = Stacks::new();
    println!(
        "\n| two threads, of one | keys | CPU ns a request, one thread | two threads | ratio | share of two processors |\n\
         |---|---|--:|--:|--:|--:|"
    );
    for (name, layer, inner) in [
        ("bare service", None, Inner::PLAIN),
        ("same work", Some(&stacks.same_work), Inner::PLAIN),
        ("default", Some(&stacks.default), Inner::PLAIN),
        ("stack: cache, table, limit, usage, hook", Some(&stacks.recommended), Inner::WITH_HEADER),
    ] {
        compare(name, &|requests| case(&requests, layer, inner));
    }
}

fn case(requests: &Requests, layer: Option<&ApiKeyLayer>, inner: Inner) -> Case {
    match layer {
        None => Case::sending("", requests.next(), inner, StatusCode::OK),
        Some(layer) => Case::sending("", requests.next(), layer.layer(inner), StatusCode::OK),
    }
}

fn compare(name: &str, make: &MakeCase<'_>) {
    for (keys, same) in [("different", false), ("the same", true)] {
        let rounds: Vec<_> = (0..ROUNDS).map(|_| (run(1, same, make), run(2, same, make))).collect();
        let one = median(rounds.iter().map(|(one, _)| one.nanos));
        let two = median(rounds.iter().map(|(_, two)| two.nanos));
        let ratio = median(rounds.iter().map(|(one, two)| two.nanos / one.nanos));
        // Threads that do not run at the same time never wait for each other.
        let share = median(rounds.iter().map(|(_, two)| two.share));
        println!("| {name} | {keys} | {one:.0} | {two:.0} | {ratio:.2} | {share:.2} |");
    }
}

struct Run {
    /// The CPU time of a request.
    nanos: f64,
    /// The CPU time of a thread, of the time that passed.
    share: f64,
}

/// Sends requests on so many threads.
fn run(threads: u64, same: bool, make: &MakeCase<'_>) -> Run {
    let (ready, stop) = (Barrier::new(threads as usize + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        let sending: Vec<_> = (0..threads)
            .map(|thread| {
                let (ready, stop) = (&ready, &stop);
                scope.spawn(move || {
                    // Each thread has texts of its own, as each connection has a buffer.
                    let numbers = if same { 0..1 } else { thread * KEYS..(thread + 1) * KEYS };
                    let mut case =
                        make(Requests::new(numbers.map(|number| value(text(number))).collect(), "/datasets"));
                    ready.wait();
                    let (began, start, mut sent) = (Instant::now(), cpu_time(), 0);
                    while !stop.load(Relaxed) {
                        black_box(&mut case.run)(100);
                        sent += 100;
                    }
                    let nanos = (cpu_time() - start) as f64;
                    Run { nanos: nanos / f64::from(sent), share: nanos / began.elapsed().as_nanos() as f64 }
                })
            })
            .collect();
        ready.wait();
        thread::sleep(ROUND);
        stop.store(true, Relaxed);
        let runs: Vec<_> = sending.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        let mean = |of: fn(&Run) -> f64| runs.iter().map(of).sum::<f64>() / threads as f64;
        Run { nanos: mean(|run| run.nanos), share: mean(|run| run.share) }
    })
}

/// What this thread has used of a CPU, in nanoseconds.
#[expect(unsafe_code, reason = "clock_gettime")]
fn cpu_time() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
