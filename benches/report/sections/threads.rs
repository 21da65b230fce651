//! Two threads that look keys up while a third one revokes others, against one thread alone.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use futures::executor::block_on;
use tower_api_key::key::{KeyDigest, KeyId};
use tower_api_key::store::{KeyBackend, Lookup};
use tower_api_key::{KeyStore, MemoryStore};

use crate::bars::Bars;
use crate::keys::{store, text};
use crate::rounds::median;

const ROUNDS: usize = 15;
const KEYS: u64 = 1_000;
/// Enough that each is revoked once.
const OTHERS: u64 = 100_000;

pub(crate) fn report(bars: &Bars) {
    let keys = store(KEYS + OTHERS, None);
    let digests: Vec<_> = (0..KEYS).map(|number| KeyDigest::hash(text(number * 7 % KEYS).as_bytes())).collect();
    let mut victims = KEYS..KEYS + OTHERS;
    let rounds: Vec<_> =
        (0..ROUNDS).map(|_| (alone(&keys, &digests), together(&keys, &digests, &mut victims))).collect();
    let (one, two) = (median(rounds.iter().map(|round| round.0)), median(rounds.iter().map(|round| round.1)));
    let ratio = median(rounds.iter().map(|(one, two)| two / one));
    println!("\n## Two readers and a writer that revokes\n\n| threads | CPU ns of a lookup |\n|---|--:|");
    println!("| one reader | {one:.1} |");
    println!("| two readers and a writer | {two:.1} |");
    println!("\n{} keys were revoked meanwhile.", OTHERS - (victims.end - victims.start));
    bars.at_most("two readers and a writer: CPU of a lookup, of one thread", ratio, 1.6, 2);
}

fn alone(keys: &MemoryStore, digests: &[KeyDigest]) -> f64 {
    let stop = AtomicBool::new(false);
    thread::scope(|threads| {
        let reader = threads.spawn(|| read(keys, digests, &stop));
        thread::sleep(Duration::from_millis(60));
        stop.store(true, Relaxed);
        reader.join().expect("no panic")
    })
}

fn together(keys: &MemoryStore, digests: &[KeyDigest], victims: &mut impl Iterator<Item = u64>) -> f64 {
    let stop = AtomicBool::new(false);
    let organization = "acme".parse().expect("a name");
    thread::scope(|threads| {
        let readers = [(); 2].map(|()| threads.spawn(|| read(keys, digests, &stop)));
        // About 10,000 a second.
        for _ in 0..100 {
            thread::sleep(Duration::from_millis(1));
            for victim in victims.take(10) {
                block_on(keys.revoke(&organization, KeyId::from_u128(victim.into()))).expect("it is there");
            }
        }
        stop.store(true, Relaxed);
        readers.into_iter().map(|reader| reader.join().expect("no panic")).sum::<f64>() / 2.0
    })
}

/// The CPU time of a lookup until it is stopped, in nanoseconds.
fn read(keys: &MemoryStore, digests: &[KeyDigest], stop: &AtomicBool) -> f64 {
    let (start, mut lookups) = (cpu_time(), 0);
    // Where to look next depends on what was found, so that lookups do not overlap, as those of requests do not.
    let mut shift = 0;
    while !stop.load(Relaxed) {
        for at in 0..digests.len() {
            let found = keys.try_find(black_box(&digests[(at + shift) % digests.len()]));
            shift = usize::from(!matches!(found, Lookup::Found(_)));
        }
        lookups += digests.len();
    }
    assert_eq!(shift, 0);
    (cpu_time() - start) as f64 / lookups as f64
}

/// What this thread has used of a CPU, in nanoseconds.
#[expect(unsafe_code, reason = "clock_gettime")]
pub(super) fn cpu_time() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
