use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tower_api_key::{KeyManager, UsageTracker};

use crate::store::causes;

/// How often the store is told which keys were used. Until then the list of keys shows an older time.
const INTERVAL: Duration = Duration::from_secs(5);

/// A store that hangs must not keep the server from ending.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells the store which keys were used, now and then, and once more at the end. No report is given up when the
/// server stops, as one that is under way would be if this ran `UsageTracker::run` and dropped it.
pub(crate) async fn report(usage: UsageTracker, keys: impl KeyManager, mut stopped: oneshot::Receiver<()>) {
    let mut ticks = interval_at(Instant::now() + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut running, mut failing) = (true, false);
    while running {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut stopped => running = false,
        }
        let failure = match timeout(PATIENCE, usage.flush(&keys)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(causes(&error)),
            Err(elapsed) => Some(causes(&elapsed)),
        };
        // Once, until it works again.
        if let Some(failure) = failure.as_ref().filter(|_| !failing || !running) {
            log::warn!("the store was not told which keys were used: {failure}");
        }
        failing = failure.is_some();
    }
}
