//! What a limit adds to a request, what it takes in memory, and how threads share it, compared with governor and with Redis by hand.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use governor::{Quota, RateLimiter};
use tower_api_key::key::KeyId;
use tower_api_key::throttle::{Hit, Limit, LimitHeaders, LimitRule, MemoryLimits};

use super::threads::cpu_time;
use crate::bars::Bars;
use crate::case::Case;
use crate::counting::count;
use crate::figures::Group;
use crate::guard::{accepted, bare, by_default};
use crate::inner::Inner;
use crate::keys::{presented, store, tomorrow};
use crate::rounds::median;

const WITHOUT: &str = "this crate, default";
const LIMITED: &str = "the same, limited, three headers";

pub(crate) fn report(bars: &Bars) {
    requests(bars);
    memory(bars);
    pauses(bars);
    threads(bars);
}

fn requests(bars: &Bars) {
    let values = presented(1_000);
    let keys = by_default(store(1_000, Some(tomorrow())));
    let never = Limit::per_day(u32::MAX);
    let case = |name, rule: Option<LimitRule>| {
        let layer = rule.into_iter().fold(keys.clone(), tower_api_key::ApiKeyLayer::limit);
        accepted(name, &values, &layer, Inner::PLAIN)
    };
    let cases = vec![
        bare(&values, Inner::PLAIN),
        case(WITHOUT, None),
        case(LIMITED, Some(LimitRule::per_key(never))),
        case("the same, limited, no headers", Some(LimitRule::per_key(never).headers(LimitHeaders::None))),
        case("the same, limited, five headers", Some(LimitRule::per_key(never).headers(LimitHeaders::Both))),
        case("the same, two limits", Some(LimitRule::per_key([never, Limit::per_hour(u32::MAX)]))),
        case(
            "the same, two limits of 100 and less",
            Some(LimitRule::per_key([Limit::new(100, Duration::from_nanos(1)); 2])),
        ),
    ];
    let group = Group::measure("Accepted, limited", cases);
    let more = group.of(LIMITED).instructions - group.of(WITHOUT).instructions;
    let allocations = group.of(LIMITED).allocations - group.of(WITHOUT).allocations;
    bars.at_most("limit with headers: instructions more", more, 1_400.0, 0);
    bars.at_most("limit with headers: allocations more", allocations, 2.0, 0);

    let limits = MemoryLimits::new();
    let quota = Quota::per_second(NonZeroU32::MAX);
    let governor = RateLimiter::dashmap(quota);
    let mut at = 0_u128;
    let mut next = move || {
        at = (at + 7) % 1_000;
        KeyId::from_u128(at)
    };
    let mut other = next;
    for number in 0..1_000 {
        let _ = limits.acquire(&Hit::new(KeyId::from_u128(number), never));
    }
    Group::measure(
        "A count alone, 1,000 keys",
        vec![
            Case::new("nothing", || {
                black_box(());
            }),
            Case::new("`MemoryLimits::acquire`", move || {
                black_box(limits.acquire(&Hit::new(next(), never)).is_allowed());
            }),
            Case::new("governor `check_key`: no number of requests left", move || {
                black_box(governor.check_key(&other()).is_ok());
            }),
        ],
    );
}

fn memory(bars: &Bars) {
    const KEYS: u128 = 10_000;
    println!("\n## Memory of a limited key, of {KEYS}, its limit used up\n\n| limit | bytes |\n|---|--:|");
    for requests in [5, 100, 10_000, 1_000_000] {
        let limit = Limit::per_day(requests);
        let (limits, _, bytes) = count(|| {
            let limits = MemoryLimits::new();
            for number in 0..KEYS {
                for _ in 0..100.min(requests) {
                    let hit = Hit::new(KeyId::from_u128(number), limit).with_cost(requests.div_ceil(100));
                    black_box(limits.acquire(&hit).is_allowed());
                }
            }
            limits
        });
        drop(limits);
        let bytes = bytes as f64 / KEYS as f64;
        println!("| {requests} | {bytes:.0} |");
        bars.at_most(format!("memory: bytes of a key with a limit of {requests}"), bytes, 600.0, 0);
    }
}

/// The longest count, in CPU time, while a full table forgets all that it holds, little by little. Of each step the least of
/// several runs, since an interrupt of this machine is no pause of the table.
fn pauses(bars: &Bars) {
    let runs: Vec<_> = (0..9).map(|_| emptied()).collect();
    let least = (0..STEPS as usize).map(|step| runs.iter().map(|run| run[step]).fold(f64::MAX, f64::min));
    let longest = least.fold(0.0, f64::max);
    println!("\n100,000 keys leave without a pause above {longest:.0} us.");
    bars.at_most("limit: longest pause while 100,000 keys leave, us", longest, 1_000.0, 0);
}

const STEPS: u64 = 2_000;

/// The CPU time of each count while 100,000 keys leave, in microseconds.
fn emptied() -> Vec<f64> {
    let (start, millis) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let hand = Arc::clone(&millis);
    let limits = MemoryLimits::new().with_clock(move || start + Duration::from_millis(hand.load(Relaxed)));
    let count = |number| limits.acquire(&Hit::new(KeyId::from_u128(number), Limit::per_minute(100))).is_allowed();
    (0..100_000).for_each(|number| _ = black_box(count(number)));
    // After the minute, each shard has its turn within ten seconds.
    let steps = (0..STEPS).map(|step| {
        millis.store(120_000 + 10 * step, Relaxed);
        let began = cpu_time();
        black_box(count(step.into()));
        (cpu_time() - began) as f64 / 1e3
    });
    steps.collect()
}

const ROUNDS: usize = 15;

fn threads(bars: &Bars) {
    let limits = MemoryLimits::new();
    let limit = Limit::per_day(u32::MAX);
    let ours = |key: u128| limits.acquire(&Hit::new(KeyId::from_u128(key), limit)).is_allowed();
    let governor = RateLimiter::dashmap(Quota::per_second(NonZeroU32::MAX));
    let theirs = |key: u128| governor.check_key(&KeyId::from_u128(key)).is_ok();
    println!(
        "\n## Two threads that count\n\n| what | keys | CPU ns, one thread | two threads | ratio | share of two processors |\n\
         |---|--:|--:|--:|--:|--:|"
    );
    for keys in [1, 1_000] {
        let ratio = compare("`MemoryLimits`", &ours, keys);
        if keys == 1_000 {
            bars.at_most("limit: CPU of two threads, of one, 1,000 keys", ratio, 1.3, 1);
        }
        compare("governor", &theirs, keys);
    }
}

/// Prints what a count takes one thread and two of them, with the same keys in the same order, and returns the ratio.
fn compare(name: &str, count: &(impl Fn(u128) -> bool + Sync), keys: u128) -> f64 {
    let rounds: Vec<_> = (0..ROUNDS).map(|_| (run(1, count, keys), run(2, count, keys))).collect();
    let median_of = |figure: &dyn Fn(&(Run, Run)) -> f64| median(rounds.iter().map(figure));
    let ratio = median_of(&|(one, two)| two.nanos / one.nanos);
    let (one, two) = (median_of(&|(one, _)| one.nanos), median_of(&|(_, two)| two.nanos));
    // Threads that do not run at the same time never wait for each other.
    let share = median_of(&|(_, two)| two.share);
    println!("| {name} | {keys} | {one:.0} | {two:.0} | {ratio:.2} | {share:.2} |");
    ratio
}

struct Run {
    /// The CPU time of a count.
    nanos: f64,
    /// The CPU time of a thread, of the time that passed.
    share: f64,
}

fn run(threads: usize, count: &(impl Fn(u128) -> bool + Sync), keys: u128) -> Run {
    let (ready, stop) = (Barrier::new(threads + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        let counting: Vec<_> = (0..threads)
            .map(|thread| {
                let (ready, stop) = (&ready, &stop);
                scope.spawn(move || {
                    ready.wait();
                    let (began, start, mut counted, mut key) = (Instant::now(), cpu_time(), 0_u32, 31 * thread as u128);
                    while !stop.load(Relaxed) {
                        for _ in 0..100 {
                            key = (key + 7) % keys;
                            black_box(count(black_box(key)));
                        }
                        counted += 100;
                    }
                    let nanos = (cpu_time() - start) as f64;
                    Run { nanos: nanos / f64::from(counted), share: nanos / began.elapsed().as_nanos() as f64 }
                })
            })
            .collect();
        ready.wait();
        thread::sleep(Duration::from_millis(40));
        stop.store(true, Relaxed);
        let runs: Vec<_> = counting.into_iter().map(|counting| counting.join().expect("no panic")).collect();
        let mean = |of: fn(&Run) -> f64| runs.iter().map(of).sum::<f64>() / threads as f64;
        Run { nanos: mean(|run| run.nanos), share: mean(|run| run.share) }
    })
}
