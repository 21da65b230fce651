//! Revoked keys at the end of their time to live: threads look them up just when their entries and the marks of their
//! revocations expire, while another thread keeps the cache busy.
//!
//! The same run also looks each entry up as if the age were checked before the mark, which accepts revoked keys: so the
//! run was at the right time. The long run:
//!
//! ```text
//! EXPIRY_ROUNDS=100 EXPIRY_SECONDS=600 cargo test --release --features cache --lib expiry_race -- --nocapture
//! ```

use std::cell::Cell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use futures::executor::block_on;

use super::{CachedStore, CachedStoreBuilder};
use crate::key::{KeyDigest, KeyId, KeyRecord};
use crate::scope::Access;
use crate::store::{KeyStore, Lookup};

const THREADS: usize = 8;

/// A store whose keys are revoked and made live again, so that a long run needs no more memory.
struct Keys(HashMap<KeyDigest, Key>);

struct Key {
    is_revoked: AtomicBool,
    /// Odd after a revoke has returned, until the key is made live again.
    phase: AtomicU64,
    live: Arc<KeyRecord>,
    revoked: Arc<KeyRecord>,
}

impl Keys {
    fn new(number: u128) -> Self {
        let keys = (0..number).map(|number| {
            let digest = KeyDigest::hash(&number.to_be_bytes());
            let live = KeyRecord::new(KeyId::from_u128(number), digest, "acme".parse().unwrap(), Access::Full);
            let revoked = Arc::new(live.clone().with_revoked_at(SystemTime::UNIX_EPOCH));
            let (is_revoked, phase) = (AtomicBool::new(true), AtomicU64::new(1));
            (digest, Key { is_revoked, phase, live: Arc::new(live), revoked })
        });
        Self(keys.collect())
    }
}

impl KeyStore for Keys {
    type Error = Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        let record = |key: &Key| if key.is_revoked.load(Ordering::SeqCst) { &key.revoked } else { &key.live }.clone();
        Ok(self.0.get(digest).map(record))
    }
}

/// What the threads do.
const WAIT: u8 = 0;
const LOOK_UP: u8 = 1;
const END: u8 = 2;

/// What the threads have counted.
#[derive(Default)]
struct Counts {
    lookups: AtomicU64,
    accepted: AtomicU64,
    accepted_by_age_first: AtomicU64,
}

/// What a run has counted.
#[derive(Default)]
struct Figures {
    time_to_live: Duration,
    rounds: u64,
    revokes: usize,
    lookups: u64,
    accepted: u64,
    accepted_by_age_first: u64,
}

impl Figures {
    fn add(&mut self, revokes: usize, counts: &Counts) {
        self.rounds += 1;
        self.revokes += revokes;
        self.lookups = counts.lookups.load(Ordering::SeqCst);
        self.accepted = counts.accepted.load(Ordering::SeqCst);
        self.accepted_by_age_first = counts.accepted_by_age_first.load(Ordering::SeqCst);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time_to_live, rounds, revokes, lookups, accepted, accepted_by_age_first } = self;
        write!(
            f,
            "expiry race, time to live {time_to_live:?}: {rounds} rounds, {revokes} revokes, {lookups} lookups by \
             {THREADS} threads at the end of the time to live: {accepted} accepted, {accepted_by_age_first} with the age checked first"
        )
    }
}

/// Each round caches and revokes every key, and lets the threads look all of them up until they have expired.
fn race(cache: &CachedStore<Keys>, figures: &mut Figures, mut goes_on: impl FnMut(&Figures) -> bool) {
    let (phase, counts) = (AtomicU8::new(WAIT), Counts::default());
    thread::scope(|scope| {
        let (phase, counts) = (&phase, &counts);
        for thread in 0..THREADS {
            scope.spawn(move || look_up(cache, thread, phase, counts));
        }
        scope.spawn(|| keep_busy(cache, phase));
        while goes_on(figures) {
            let first = Instant::now();
            cache.get_ref().0.values().for_each(|key| cache_and_revoke(cache, key));
            let last = Instant::now();
            // They need to be at work already when the first key expires.
            let early = figures.time_to_live.saturating_sub(Duration::from_millis(1));
            thread::sleep((first + early).saturating_duration_since(last));
            phase.store(LOOK_UP, Ordering::SeqCst);
            // Long enough that a thread that was interrupted goes on.
            thread::sleep(
                (last + figures.time_to_live + Duration::from_millis(5)).saturating_duration_since(Instant::now()),
            );
            phase.store(WAIT, Ordering::SeqCst);
            figures.add(cache.get_ref().0.len(), counts);
        }
        phase.store(END, Ordering::SeqCst);
    });
}

fn cache_and_revoke(cache: &CachedStore<Keys>, key: &Key) {
    key.phase.fetch_add(1, Ordering::SeqCst);
    key.is_revoked.store(false, Ordering::SeqCst);
    let found = block_on(cache.find(key.live.digest())).unwrap().expect("it is a key of the store");
    assert!(!found.is_revoked());
    key.is_revoked.store(true, Ordering::SeqCst);
    cache.invalidate_key(found.id());
    key.phase.fetch_add(1, Ordering::SeqCst);
}

fn look_up(cache: &CachedStore<Keys>, thread: usize, phase: &AtomicU8, counts: &Counts) {
    READINGS.set(Some(thread as u64));
    let keys: Vec<_> = cache.get_ref().0.values().collect();
    for key in keys.iter().cycle().skip(thread * keys.len() / THREADS) {
        if !is_at_work(phase) {
            return;
        }
        let find: [&dyn Fn() -> Lookup; 2] =
            [&|| cache.try_find(key.live.digest()), &|| cache.shared.entries.find_age_first(key.live.digest())];
        for (find, accepted) in find.into_iter().zip([&counts.accepted, &counts.accepted_by_age_first]) {
            let before = key.phase.load(Ordering::SeqCst);
            let is_accepted = matches!(find(), Lookup::Found(record) if !record.is_revoked());
            if is_accepted && before % 2 == 1 && key.phase.load(Ordering::SeqCst) == before {
                accepted.fetch_add(1, Ordering::SeqCst);
            }
        }
        counts.lookups.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lookups of unknown keys make the cache forget marks that have expired.
fn keep_busy(cache: &CachedStore<Keys>, phase: &AtomicU8) {
    for number in 0_u64.. {
        if !is_at_work(phase) {
            return;
        }
        assert_eq!(block_on(cache.find(&KeyDigest::hash(&number.to_le_bytes()))).unwrap(), None);
    }
}

/// Waits until there is work. Returns false at the end.
fn is_at_work(phase: &AtomicU8) -> bool {
    while phase.load(Ordering::Relaxed) == WAIT {
        thread::sleep(Duration::from_micros(100));
    }
    phase.load(Ordering::Relaxed) == LOOK_UP
}

thread_local! {
    /// How often a thread that looks keys up has read the clock.
    static READINGS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Builds a default cache in front of so many keys. Now and then its clock interrupts a lookup, before or after the reading:
/// there, the two checks of an entry meet.
fn builder(keys: u128) -> CachedStoreBuilder<Keys> {
    let interrupt = |reading| {
        if READINGS.get().is_some_and(|readings| readings % 16 == reading) {
            thread::sleep(Duration::from_millis(1));
        }
    };
    let clock = move || {
        READINGS.set(READINGS.get().map(|readings| readings + 1));
        interrupt(0);
        let now = Instant::now();
        interrupt(8);
        now
    };
    CachedStore::builder(Keys::new(keys)).clocks(clock, SystemTime::now)
}

/// Returns the number in an environment variable.
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// Cases: 121.
#[test]
fn revoked_key_expiring_after_1_ms_is_not_served() {
    let time_to_live = Duration::from_millis(1);
    let cache = builder(64).time_to_live(time_to_live).build();
    let mut figures = Figures { time_to_live, ..Figures::default() };
    let (began, length) = (Instant::now(), Duration::from_secs(number("EXPIRY_SECONDS", 1)));
    // A busy machine needs longer until the control accepts one.
    race(&cache, &mut figures, |figures| {
        let elapsed = began.elapsed();
        elapsed < length || (figures.accepted_by_age_first == 0 && elapsed < length + Duration::from_secs(60))
    });
    println!("{figures}");
    assert_eq!(figures.accepted, 0, "{figures}");
    assert!(figures.accepted_by_age_first > 0, "{figures}");
}

/// Cases: 121.
///
/// A round takes the 5 seconds of the default time to live.
#[test]
fn revoked_key_expiring_by_default_is_not_served() {
    let rounds = number("EXPIRY_ROUNDS", 1);
    let cache = builder(4_000).build();
    let mut figures = Figures { time_to_live: Duration::from_secs(5), ..Figures::default() };
    race(&cache, &mut figures, |figures| figures.rounds < rounds);
    println!("{figures}");
    assert_eq!(figures.accepted, 0, "{figures}");
    assert!(rounds < 100 || figures.accepted_by_age_first > 0, "{figures}");
}
