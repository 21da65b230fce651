use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes};
use http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};

use super::state::whole_seconds;
use super::text::draft;
use super::{LimitState, number};

/// Which headers show the state of a limit.
///
/// | header | value |
/// |---|---|
/// | `X-RateLimit-Limit` | the number of requests in a window |
/// | `X-RateLimit-Remaining` | the number of requests that would be accepted now |
/// | `X-RateLimit-Reset` | when the next one is accepted, as Unix time |
/// | `RateLimit-Policy` | `"60s";q=100;w=60`: each limit, its number of requests and its window in seconds |
/// | `RateLimit` | `"60s";r=99;t=60`: the closest limit, the number that would be accepted, and seconds until one more is |
///
/// The last two follow draft-ietf-httpapi-ratelimit-headers-10 of the IETF. A handler or an inner layer that sets
/// `X-RateLimit-Limit` or `RateLimit` keeps its own headers of that kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitHeaders {
    /// The three `X-RateLimit-` headers.
    #[default]
    XRateLimit,
    /// `RateLimit` and `RateLimit-Policy`.
    RateLimit,
    /// All five.
    Both,
    /// None. A 429 still has `Retry-After`.
    None,
}

const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

static NAMES: [HeaderName; 5] = [X_LIMIT, X_REMAINING, X_RESET, RATE_LIMIT, POLICY];

/// What the headers of a response show of a limit.
#[derive(Clone)]
pub(crate) enum ShownLimit {
    /// The three `X-RateLimit-` headers, whose values are not written yet.
    Usual {
        requests: u32,
        remaining: u32,
        /// When one more request is accepted, in seconds since the Unix epoch.
        reset: u64,
    },
    /// The values of the last two or of all five headers, each with a line feed after it.
    Written(Bytes),
}

impl ShownLimit {
    /// Notes the state as of now. `None` where no header shows it.
    pub(crate) fn new(state: &LimitState, now: impl FnOnce() -> SystemTime) -> Option<Self> {
        let reset = || {
            let since_epoch = now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            whole_seconds(since_epoch.saturating_add(state.reset_after()))
        };
        let (requests, remaining) = (state.limit().requests(), state.remaining());
        match state.headers {
            LimitHeaders::XRateLimit => Some(Self::Usual { requests, remaining, reset: reset() }),
            LimitHeaders::RateLimit => Some(Self::Written(draft(state, &[]))),
            LimitHeaders::Both => Some(Self::Written(draft(state, &[requests.into(), remaining.into(), reset()]))),
            LimitHeaders::None => None,
        }
    }

    /// Adds the headers, and makes room for this many more.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, more: usize) {
        // An inner limit is the closer one: its headers stay. To compare the few names costs less than to hash one.
        let has = |first| headers.keys().any(|name| *name == first);
        // A map grows one header at a time, with two allocations each.
        match self {
            Self::Usual { requests, remaining, reset } if !has(X_LIMIT) => {
                headers.reserve(3 + more);
                for (name, value) in NAMES.iter().zip(usual(*requests, *remaining, *reset)) {
                    headers.insert(name, value);
                }
            }
            Self::Usual { .. } => {}
            Self::Written(text) => {
                let (has_x, has_draft) = (has(X_LIMIT), has(RATE_LIMIT));
                headers.reserve(5 + more);
                let mut rest = text.clone();
                let lines = text.iter().filter(|byte| **byte == b'\n').count();
                for (at, name) in NAMES.iter().enumerate().skip(NAMES.len() - lines) {
                    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                    let value = value(rest.split_to(end));
                    rest.advance(1);
                    if !(if at < 3 { has_x } else { has_draft }) {
                        headers.insert(name, value);
                    }
                }
            }
        }
    }

    /// Returns a map with the headers and `Cache-Control: private`, where the headers are the usual three: a copy of a
    /// prepared map costs less than to make one.
    pub(crate) fn with_private(&self) -> Option<HeaderMap> {
        static PREPARED: LazyLock<HeaderMap> = LazyLock::new(|| {
            let mut headers = HeaderMap::with_capacity(4);
            for name in &NAMES[..3] {
                headers.insert(name, HeaderValue::from_static(""));
            }
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
            headers
        });
        let Self::Usual { requests, remaining, reset } = *self else { return None };
        let mut headers = PREPARED.clone();
        for (place, value) in headers.values_mut().zip(usual(requests, remaining, reset)) {
            *place = value;
        }
        Some(headers)
    }
}

/// Returns the values of the usual three headers.
fn usual(requests: u32, remaining: u32, reset: u64) -> [HeaderValue; 3] {
    [number::shared_value(requests.into()), number::value(remaining.into()), number::shared_value(reset)]
}

fn value(text: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(text).expect("digits, letters and punctuation are a header value")
}
