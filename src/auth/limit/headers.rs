use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes};
use http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};

use super::LimitState;
use super::state::whole_seconds;

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
            LimitHeaders::RateLimit => Some(Self::Written(Text::draft(state, &[]))),
            LimitHeaders::Both => {
                Some(Self::Written(Text::draft(state, &[requests.into(), remaining.into(), reset()])))
            }
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
                    insert(headers, name, value);
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
                    let value = HeaderValue::from_maybe_shared(rest.split_to(end)).ok();
                    rest.advance(1);
                    if !(if at < 3 { has_x } else { has_draft }) {
                        insert(headers, name, value);
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
        let mut places = headers.values_mut();
        for value in usual(requests, remaining, reset) {
            if let (Some(place), Some(value)) = (places.next(), value) {
                *place = value;
            }
        }
        Some(headers)
    }
}

/// Returns the values of the usual three headers: parts of one text, so that they take one allocation.
fn usual(requests: u32, remaining: u32, reset: u64) -> [Option<HeaderValue>; 3] {
    let mut text = Text::<{ 3 * DIGITS }>::new();
    let mut start = 0;
    let lengths = [requests.into(), remaining.into(), reset].map(|number| {
        text.number(number);
        text.len - std::mem::replace(&mut start, text.len)
    });
    let mut text = Bytes::from_owner(text);
    lengths.map(|length| HeaderValue::from_maybe_shared(text.split_to(length)).ok())
}

fn insert(headers: &mut HeaderMap, name: &HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

/// The two digits of each number below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + number as u8 / 10, b'0' + number as u8 % 10];
        number += 1;
    }
    pairs
};

/// The most digits of a number.
const DIGITS: usize = 15;
/// The most bytes of all five headers, four limits in `RateLimit-Policy`.
const LONGEST: usize = 3 * (DIGITS + 1) + 5 * (3 * DIGITS + 16);

/// A text of limited length. It is moved into one allocation.
struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl Text<LONGEST> {
    /// Writes these numbers and what `RateLimit` and `RateLimit-Policy` show, each with a line feed after it.
    fn draft(state: &LimitState, numbers: &[u64]) -> Bytes {
        let mut text = Self::new();
        for number in numbers {
            text.number(*number);
            text.push(b"\n");
        }
        text.policy(whole_seconds(state.limit().window()));
        text.parameter(b";r=", state.remaining().into());
        text.parameter(b";t=", whole_seconds(state.reset_after()));
        text.push(b"\n");
        for (at, limit) in state.policies.as_slice().iter().enumerate() {
            let seconds = whole_seconds(limit.window());
            text.push(if at == 0 { b"" } else { b", " });
            text.policy(seconds);
            text.parameter(b";q=", limit.requests().into());
            text.parameter(b";w=", seconds);
        }
        text.push(b"\n");
        Bytes::from_owner(text)
    }
}

impl<const N: usize> Text<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    /// Names a limit by its window.
    fn policy(&mut self, seconds: u64) {
        self.parameter(b"\"", seconds);
        self.push(b"s\"");
    }

    fn parameter(&mut self, before: &[u8], number: u64) {
        self.push(before);
        self.number(number);
    }

    fn number(&mut self, number: u64) {
        // The most that a structured field holds (RFC 9651, 3.3.1). No Unix time comes near it.
        let mut rest = number.min(999_999_999_999_999);
        let digits = rest.checked_ilog10().map_or(1, |log| log as usize + 1);
        let (first, pairs) = self.bytes[self.len..self.len + digits].as_rchunks_mut();
        for pair in pairs.iter_mut().rev() {
            *pair = PAIRS[(rest % 100) as usize];
            rest /= 100;
        }
        if let [digit] = first {
            *digit = PAIRS[rest as usize % 100][1];
        }
        self.len += digits;
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }
}

impl<const N: usize> AsRef<[u8]> for Text<N> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
