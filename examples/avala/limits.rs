//! How many requests are answered in any minute: the documented limits.

use std::num::NonZeroU32;
use std::time::Duration;

use tower_api_key::throttle::{SlidingWindow, ThrottleLayer};

use crate::options::RequestsPerMinute;

const MINUTE: Duration = Duration::from_secs(60);
const ATTEMPTS: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// Counts the attempts of one client to sign up or to log in, those that fail as well. Each of these layers has a count
/// of its own.
pub(crate) fn attempts() -> ThrottleLayer {
    ThrottleLayer::per_client(SlidingWindow::new(ATTEMPTS, MINUTE))
}

/// Counts the requests of one key.
pub(crate) fn per_key(limit: RequestsPerMinute) -> ThrottleLayer {
    match limit {
        RequestsPerMinute::AtMost(limit) => ThrottleLayer::per_key(SlidingWindow::new(limit, MINUTE)),
        RequestsPerMinute::Off => ThrottleLayer::by(SlidingWindow::<()>::new(NonZeroU32::MAX, MINUTE), |_| None),
    }
}
