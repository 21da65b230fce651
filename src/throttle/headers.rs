use http::header::{HeaderMap, HeaderName};

use super::Hit;
use super::window::whole_seconds;
use crate::auth::Finish;
use crate::time::Clock;

/// The state of a limit, as `X-RateLimit-*` headers.
#[derive(Clone, Copy, Debug)]
#[expect(unnameable_types, reason = "part of a sealed trait")]
pub struct RateLimitHeaders {
    hit: Hit,
    /// Unix time.
    reset: u64,
}

impl RateLimitHeaders {
    const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
    const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
    const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

    pub(super) fn new(hit: Hit, clock: &dyn Clock) -> Self {
        let since_epoch = clock.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { hit, reset: whole_seconds(since_epoch.saturating_add(hit.reset_after())) }
    }
}

impl Finish for Option<RateLimitHeaders> {
    /// An inner limit is the closer one: its headers stay.
    fn apply(&self, headers: &mut HeaderMap) {
        let Some(RateLimitHeaders { hit, reset }) = self else { return };
        if !headers.contains_key(RateLimitHeaders::LIMIT) {
            headers.insert(RateLimitHeaders::LIMIT, hit.limit().into());
            headers.insert(RateLimitHeaders::REMAINING, hit.remaining().into());
            headers.insert(RateLimitHeaders::RESET, (*reset).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::throttle::SlidingWindow;

    /// Cases: 143.
    #[test]
    fn reset_of_longest_window_saturates() {
        let window = SlidingWindow::new(NonZeroU32::MIN, Duration::MAX);
        for _ in 0..2 {
            let mut headers = HeaderMap::new();
            let now = || SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_001);
            Some(RateLimitHeaders::new(window.hit(1), &now)).apply(&mut headers);
            assert_eq!(headers["x-ratelimit-reset"], "18446744073709551615");
        }
    }
}
