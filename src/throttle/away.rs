use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::BoxError;
use crate::error_chain::error_chain;

/// Whether a limit store is away. It is then asked by one request a second, so that the others do not wait for it.
pub(super) struct Away {
    start: Instant,
    /// When it is asked again, in milliseconds. 0: it is not away.
    again: AtomicU64,
}

const PAUSE: Duration = Duration::from_secs(1);

impl Away {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), again: AtomicU64::new(0) }
    }

    /// Returns whether this request is to ask the store.
    pub(super) fn asks(&self) -> bool {
        let again = self.again.load(Ordering::Relaxed);
        if again == 0 {
            return true;
        }
        let now = self.now();
        now >= again
            && self.again.compare_exchange(again, now + millis(PAUSE), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub(super) fn answered(&self, name: &str) {
        if self.again.load(Ordering::Relaxed) != 0 && self.again.swap(0, Ordering::Relaxed) != 0 {
            tracing::info!("the limit store answers again{}", of(name));
        }
    }

    /// Logs the first of several failures.
    pub(super) fn failed(&self, name: &str, instead: &str, error: &BoxError) {
        if self.again.swap(self.now() + millis(PAUSE), Ordering::Relaxed) == 0 {
            tracing::warn!(
                "no answer from the limit store{}, {instead} until it answers: {}",
                of(name),
                error_chain(&**error)
            );
        }
    }

    fn now(&self) -> u64 {
        // Never 0, which has a meaning.
        millis(self.start.elapsed()).saturating_add(1)
    }
}

fn of(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" for {name}") }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
