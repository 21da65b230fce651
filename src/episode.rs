//! Log lines whose number depends on the outages, not on the requests that fail in them: [`Episode`].

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// An episode ends this long after its last failure. Failures and successes alternate in an overload.
const CALM: Duration = Duration::from_secs(10);

/// How many different causes are logged in an episode.
const MOST_CAUSES: usize = 8;

/// Failures in quick succession, of which the log gets the causes once and the number at the end.
#[derive(Default)]
pub(crate) struct Episode {
    /// So that a success outside an episode only reads.
    is_open: AtomicBool,
    failures: Mutex<Failures>,
}

#[derive(Default)]
struct Failures {
    /// The first and the last one.
    times: Option<[Instant; 2]>,
    count: u64,
    causes: Vec<String>,
}

/// What there was in an episode that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) failures: u64,
    pub(crate) length: Duration,
}

impl Episode {
    /// Counts a failure. Returns whether to log it: the first of its cause in this episode.
    pub(crate) fn fail(&self, cause: &str) -> bool {
        let (mut failures, now) = (self.failures(), Instant::now());
        let first = match failures.times {
            Some([first, last]) if now.saturating_duration_since(last) < CALM => first,
            _ => {
                *failures = Failures::default();
                now
            }
        };
        failures.times = Some([first, now]);
        failures.count += 1;
        self.is_open.store(true, Ordering::Relaxed);
        let is_new = failures.causes.len() < MOST_CAUSES && failures.causes.iter().all(|logged| logged != cause);
        if is_new {
            failures.causes.push(cause.to_owned());
        }
        is_new
    }

    /// Returns the episode that this success ends.
    pub(crate) fn succeed(&self) -> Option<Ended> {
        if !self.is_open.load(Ordering::Relaxed) {
            return None;
        }
        let mut failures = self.failures();
        let [first, last] = failures.times.filter(|[_, last]| last.elapsed() >= CALM)?;
        self.is_open.store(false, Ordering::Relaxed);
        let Failures { count, .. } = mem::take(&mut *failures);
        Some(Ended { failures: count, length: last.saturating_duration_since(first) })
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Episode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Episode").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_are_one_episode_until_calm() {
        let (episode, second) = (Episode::default(), Duration::from_secs(1));
        assert_eq!(episode.succeed(), None);
        assert!(episode.fail("down"));
        for _ in 0..30 {
            advance(second).await;
            assert_eq!(episode.succeed(), None);
            assert!(!episode.fail("down"));
        }
        assert!(episode.fail("another cause"));
        advance(CALM - Duration::from_millis(1)).await;
        assert_eq!(episode.succeed(), None);
        advance(Duration::from_millis(1)).await;
        assert_eq!(episode.succeed(), Some(Ended { failures: 32, length: 30 * second }));
        assert_eq!(episode.succeed(), None);
        assert!(episode.fail("down"), "the next episode");
    }

    /// Where no success is noticed in between.
    #[tokio::test(start_paused = true)]
    async fn failure_after_calm_is_another_episode() {
        let episode = Episode::default();
        for _ in 0..3 {
            assert!(episode.fail("down"));
            advance(CALM).await;
        }
        assert_eq!(episode.succeed(), Some(Ended { failures: 1, length: Duration::ZERO }));
    }

    #[tokio::test(start_paused = true)]
    async fn causes_that_always_differ_are_bounded() {
        let episode = Episode::default();
        let logged = (0..1_000).filter(|number| episode.fail(&format!("row {number}"))).count();
        assert_eq!(logged, MOST_CAUSES);
    }
}
