use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::store::Invalidation;
use crate::sync::RwLock;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Counts invalidations. What was asked of the store at one generation is stale after a later invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(u64);

/// Remembers what was invalidated, instead of searching for it in the cache.
///
/// An answer carries the generation at which the store was asked, and is stale if its subject was invalidated at a later
/// one. So an answer that is on its way while its key is revoked is stale when it arrives, and a cache by digest need not
/// know which digests an organization has.
pub(super) struct Ledger {
    generation: AtomicU64,
    /// Every answer that was asked for before this generation is stale.
    floor: AtomicU64,
    /// How many marks there are, so that a hit need not look while there is none.
    marked: AtomicU64,
    marks: RwLock<Marks>,
    /// Older answers are not served, so a mark that is older concerns none.
    longest_life: Duration,
    /// With more marks than this, everything is invalidated instead.
    capacity: usize,
}

#[derive(Default)]
struct Marks {
    latest: HashMap<Invalidation, Generation>,
    /// The same in the order in which they were made.
    history: VecDeque<(Instant, Generation, Invalidation)>,
}

impl Ledger {
    pub(super) const CAPACITY: usize = 10_000;

    pub(super) fn new(longest_life: Duration, capacity: usize) -> Self {
        Self {
            generation: AtomicU64::new(0),
            floor: AtomicU64::new(0),
            marked: AtomicU64::new(0),
            marks: RwLock::new(Marks::default()),
            longest_life,
            capacity,
        }
    }

    /// To be read before the store is asked.
    pub(super) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::SeqCst))
    }

    /// When this returns, every answer about this subject is stale that was asked for before.
    pub(super) fn invalidate(&self, subject: Invalidation, now: Instant) {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        let generation = Generation(self.generation.fetch_add(1, Ordering::SeqCst) + 1);
        marks.forget_older(now, self.longest_life);
        if subject == Invalidation::All || marks.history.len() >= self.capacity {
            self.floor.store(generation.0, Ordering::SeqCst);
            *marks = Marks::default();
        } else {
            marks.latest.insert(subject.clone(), generation);
            marks.history.push_back((now, generation, subject));
        }
        self.marked.store(marks.history.len() as u64, Ordering::SeqCst);
    }

    /// Returns whether an answer about these subjects may be served, if the store was asked at `asked`.
    ///
    /// `is_young` reads the clock after the marks. A mark is forgotten only when every answer that it concerns has
    /// expired, so a reader that misses the mark finds the answer too old. The other way round, an answer could expire
    /// between the two checks and be served.
    pub(super) fn serves(
        &self,
        asked: Generation,
        subjects: impl FnOnce() -> [Option<Invalidation>; 3],
        is_young: impl FnOnce() -> bool,
    ) -> bool {
        !self.is_stale(asked, subjects) && is_young()
    }

    /// Returns whether an answer about any of these subjects is stale, if the store was asked at `asked`.
    pub(super) fn is_stale(&self, asked: Generation, subjects: impl FnOnce() -> [Option<Invalidation>; 3]) -> bool {
        // Nothing was invalidated since, so no mark can match.
        if asked.0 == self.generation.load(Ordering::SeqCst) {
            return false;
        }
        if self.marked.load(Ordering::SeqCst) > 0 {
            let marks = self.marks.read().unwrap_or_else(PoisonError::into_inner);
            if subjects().into_iter().flatten().any(|subject| marks.latest.get(&subject).is_some_and(|&at| asked < at))
            {
                return true;
            }
        }
        // After the marks, since the floor rises before they are cleared.
        asked.0 < self.floor.load(Ordering::SeqCst)
    }

    /// Forgets marks that concern no answer any more, so that hits need not look at them.
    pub(super) fn tidy(&self, now: Instant) {
        if self.marked.load(Ordering::SeqCst) > 0 {
            let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
            marks.forget_older(now, self.longest_life);
            self.marked.store(marks.history.len() as u64, Ordering::SeqCst);
        }
    }
}

impl Marks {
    fn forget_older(&mut self, now: Instant, longest_life: Duration) {
        while let Some((made, generation, subject)) = self.history.front() {
            if now.saturating_duration_since(*made) <= longest_life {
                break;
            }
            if self.latest.get(subject) == Some(generation) {
                self.latest.remove(subject);
            }
            self.history.pop_front();
        }
    }
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::key::KeyId;

    const LIFE: u64 = 10;

    #[derive(Clone, Debug)]
    enum Step {
        Ask,
        Pass { seconds: u64 },
        Invalidate { key: u128 },
        Flush,
        Tidy,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Ask),
            4 => (0..LIFE).prop_map(|seconds| Step::Pass { seconds }),
            4 => (0..3_u128).prop_map(|key| Step::Invalidate { key }),
            1 => Just(Step::Flush),
            1 => Just(Step::Tidy),
        ]
    }

    fn subject(key: u128) -> Invalidation {
        Invalidation::Key(KeyId::from_u128(key))
    }

    proptest! {
        /// Nothing else is stale: a revoke costs no other key its place in the cache.
        #[test]
        fn answer_is_stale_if_invalidated_after_asking(steps in vec(step(), 1..80)) {
            let (ledger, start) = (Ledger::new(Duration::from_secs(LIFE), 100), Instant::now());
            let (mut now, mut asked) = (0, Vec::new());
            // Everything that was ever invalidated; `None` for a flush.
            let mut history: Vec<Option<u128>> = Vec::new();
            for step in steps {
                let instant = start + Duration::from_secs(now);
                match step {
                    Step::Ask => asked.push((now, history.len(), ledger.generation())),
                    Step::Pass { seconds } => now += seconds,
                    Step::Invalidate { key } => {
                        ledger.invalidate(subject(key), instant);
                        history.push(Some(key));
                    }
                    Step::Flush => {
                        ledger.invalidate(Invalidation::All, instant);
                        history.push(None);
                    }
                    Step::Tidy => ledger.tidy(instant),
                }
                // Older answers are not served.
                for &(_, since, generation) in asked.iter().filter(|(at, ..)| now - at <= LIFE) {
                    for key in 0..3 {
                        let invalidated = history[since..].iter().any(|what| what.is_none_or(|what| what == key));
                        let subjects = || [None, Some(subject(key)), None];
                        prop_assert_eq!(ledger.is_stale(generation, subjects), invalidated);
                    }
                }
            }
        }
    }

    #[test]
    fn mark_older_than_the_longest_life_is_forgotten() {
        let (life, start) = (Duration::from_secs(LIFE), Instant::now());
        let left = |later| {
            let ledger = Ledger::new(life, 100);
            ledger.invalidate(subject(1), start);
            ledger.tidy(start + later);
            let marks = ledger.marks.into_inner().unwrap();
            (ledger.marked.into_inner(), marks.latest.len(), marks.history.len())
        };
        assert_eq!(left(life), (1, 1, 1));
        assert_eq!(left(life + Duration::from_nanos(1)), (0, 0, 0));
    }

    #[test]
    fn marks_beyond_capacity_invalidate_everything() {
        let (ledger, now) = (Ledger::new(Duration::from_secs(LIFE), 3), Instant::now());
        let unmarked = || [Some(subject(u128::MAX)), None, None];
        let before = ledger.generation();
        for key in 0..3 {
            ledger.invalidate(subject(key), now);
        }
        assert!(!ledger.is_stale(before, unmarked));
        ledger.invalidate(subject(0), now);
        assert!(ledger.is_stale(before, unmarked));
        assert!(!ledger.is_stale(ledger.generation(), unmarked));
    }
}
