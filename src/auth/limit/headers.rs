use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

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

/// The header values of a limit: parts of one text, so that they take one allocation.
#[derive(Clone)]
pub(crate) struct RenderedLimit {
    text: Bytes,
    /// Where each value ends. The first three are those of `X-RateLimit-`.
    ends: [u16; 5],
}

impl RenderedLimit {
    /// Renders the state as of now. `None` where no header shows it.
    pub(crate) fn new(state: &LimitState, now: impl FnOnce() -> SystemTime) -> Option<Self> {
        let (x, draft) = match state.headers {
            LimitHeaders::XRateLimit => (true, false),
            LimitHeaders::RateLimit => (false, true),
            LimitHeaders::Both => (true, true),
            LimitHeaders::None => return None,
        };
        Some(if draft { Text::<LONGEST>::render(state, x, now) } else { Text::<{ 3 * DIGITS }>::of_x(state, now()) })
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        // A map grows one header at a time, with two allocations each. One more is for `Cache-Control`.
        headers.reserve(self.number() + 1);
        self.insert(headers, [(X_LIMIT, 0), (X_REMAINING, 1), (X_RESET, 2)]);
        self.insert(headers, [(RATE_LIMIT, 3), (POLICY, 4)]);
    }

    fn number(&self) -> usize {
        3 * usize::from(self.ends[2] > 0) + 2 * usize::from(self.ends[4] > self.ends[2])
    }

    /// An inner limit is the closer one: its headers stay.
    fn insert<const N: usize>(&self, headers: &mut HeaderMap, values: [(HeaderName, usize); N]) {
        let [(first, index), ..] = &values[..] else { return };
        if self.value(*index).is_empty() || headers.contains_key(first) {
            return;
        }
        for (name, index) in values {
            if let Ok(value) = HeaderValue::from_maybe_shared(self.value(index)) {
                headers.insert(name, value);
            }
        }
    }

    fn value(&self, index: usize) -> Bytes {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.slice(usize::from(start)..usize::from(self.ends[index]))
    }
}

/// The most digits of a number.
const DIGITS: usize = 20;
/// The most bytes of all five headers, four limits in `RateLimit-Policy`.
const LONGEST: usize = 3 * DIGITS + 5 * (3 * DIGITS + 16);

/// A text of limited length. It is moved into the one allocation.
struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    fn of_x(state: &LimitState, now: SystemTime) -> RenderedLimit {
        let mut text = Self { bytes: [0; N], len: 0 };
        let mut ends = [0; 5];
        text.x(state, now, &mut ends);
        let last = ends[2];
        ends[3..].fill(last);
        text.finish(ends)
    }

    fn render(state: &LimitState, x: bool, now: impl FnOnce() -> SystemTime) -> RenderedLimit {
        let mut text = Self { bytes: [0; N], len: 0 };
        let mut ends = [0; 5];
        if x {
            text.x(state, now(), &mut ends);
        }
        text.policy(whole_seconds(state.limit().window()));
        text.number(b";r=", u64::from(state.remaining()));
        text.number(b";t=", whole_seconds(state.reset_after()));
        ends[3] = text.end();
        for (at, limit) in state.policies.as_slice().iter().enumerate() {
            let seconds = whole_seconds(limit.window());
            text.push(if at == 0 { b"" } else { b", " });
            text.policy(seconds);
            text.number(b";q=", u64::from(limit.requests()));
            text.number(b";w=", seconds);
        }
        ends[4] = text.end();
        text.finish(ends)
    }

    fn x(&mut self, state: &LimitState, now: SystemTime, ends: &mut [u16; 5]) {
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let reset = whole_seconds(since_epoch.saturating_add(state.reset_after()));
        for (end, number) in ends.iter_mut().zip([state.limit().requests().into(), state.remaining().into(), reset]) {
            self.number(b"", number);
            *end = self.end();
        }
    }

    /// Names a limit by its window.
    fn policy(&mut self, seconds: u64) {
        self.number(b"\"", seconds);
        self.push(b"s\"");
    }

    fn number(&mut self, before: &[u8], number: u64) {
        self.push(before);
        // The most that a structured field holds (RFC 9651, 3.3.1). No Unix time comes near it.
        let mut rest = number.min(999_999_999_999_999);
        let (mut digits, mut at) = ([0; DIGITS], DIGITS);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.push(&digits[at..]);
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    fn end(&self) -> u16 {
        self.len as u16
    }

    fn finish(self, ends: [u16; 5]) -> RenderedLimit {
        RenderedLimit { text: Bytes::from_owner(self), ends }
    }
}

impl<const N: usize> AsRef<[u8]> for Text<N> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
