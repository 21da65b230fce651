//! The texts of `RateLimit` and `RateLimit-Policy`, written into one allocation.

use bytes::Bytes;

use super::LimitState;
use super::state::whole_seconds;

/// The most digits of a number.
pub(super) const DIGITS: usize = 15;

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

/// Writes the digits of a number in front of `end`, and returns where they start.
pub(super) fn write_before(end: usize, number: u64, bytes: &mut [u8]) -> usize {
    // The most that a structured field holds (RFC 9651, 3.3.1). No Unix time comes near it.
    let (mut rest, mut start) = (number.min(999_999_999_999_999), end);
    while rest >= 10
        && let Some(pair) = bytes[..start].last_chunk_mut()
    {
        *pair = PAIRS[(rest % 100) as usize];
        rest /= 100;
        start -= 2;
    }
    if (rest > 0 || start == end)
        && let Some(first) = bytes[..start].last_mut()
    {
        *first = b'0' + rest as u8;
        start -= 1;
    }
    start
}

/// Writes these numbers and what `RateLimit` and `RateLimit-Policy` show, each with a line feed after it.
pub(super) fn draft(state: &LimitState, numbers: &[u64]) -> Bytes {
    let mut text = Text::new();
    for number in numbers {
        text.number(*number);
        text.push(b"\n");
    }
    text.policy(whole_seconds(state.limit().window()));
    text.parameter(b";r=", state.remaining().into());
    text.parameter(b";t=", whole_seconds(state.reset_after()));
    text.push(b"\n");
    for (at, limit) in state.policies().iter().enumerate() {
        let seconds = whole_seconds(limit.window());
        text.push(if at == 0 { b"" } else { b", " });
        text.policy(seconds);
        text.parameter(b";q=", limit.requests().into());
        text.parameter(b";w=", seconds);
    }
    text.push(b"\n");
    Bytes::from_owner(text)
}

/// The most bytes of all five headers, four limits in `RateLimit-Policy`.
const LONGEST: usize = 3 * (DIGITS + 1) + 5 * (3 * DIGITS + 16);

/// A text of limited length.
struct Text {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Text {
    const fn new() -> Self {
        Self { bytes: [0; LONGEST], len: 0 }
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
        let mut digits = [0; DIGITS];
        let start = write_before(DIGITS, number, &mut digits);
        self.push(&digits[start..]);
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
