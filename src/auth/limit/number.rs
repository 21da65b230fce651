//! Numbers as values of headers, which hardly ever take an allocation.

use std::cell::RefCell;

use bytes::Bytes;
use http::header::HeaderValue;

use super::text::{DIGITS, write_before};

/// Returns the value of a number.
pub(super) fn value(number: u64) -> HeaderValue {
    small(number).unwrap_or_else(|| written(number))
}

/// Returns the value of a number that many responses show, as the number of a limit or a second: those of a thread share it.
pub(super) fn shared_value(number: u64) -> HeaderValue {
    small(number).unwrap_or_else(|| recent(number))
}

/// How many numbers have prepared texts.
const SMALL: usize = 10_000;
/// The digits of the largest one.
const WIDTH: usize = 4;

/// The numbers below [`SMALL`], one after the other, with leading zeros.
static SMALL_DIGITS: [u8; SMALL * WIDTH] = {
    let mut digits = [b'0'; SMALL * WIDTH];
    let mut number = 0;
    while number < SMALL {
        let (mut rest, mut at) = (number, (number + 1) * WIDTH);
        while rest > 0 {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        number += 1;
    }
    digits
};

static SMALL_TEXTS: &str = match std::str::from_utf8(&SMALL_DIGITS) {
    Ok(texts) => texts,
    Err(_) => panic!("digits are UTF-8"),
};

fn small(number: u64) -> Option<HeaderValue> {
    let len = match number {
        0..10 => 1,
        10..100 => 2,
        100..1_000 => 3,
        1_000..10_000 => 4,
        _ => return None,
    };
    let end = (number as usize + 1) * WIDTH;
    Some(HeaderValue::from_static(&SMALL_TEXTS[end - len..end]))
}

/// How many numbers a thread remembers: all seconds of a minute have a place of their own.
const REMEMBERED: usize = 64;

/// Returns the value of a number that this thread may have written before.
fn recent(number: u64) -> HeaderValue {
    thread_local! {
        static RECENT: RefCell<[(u64, HeaderValue); REMEMBERED]> =
            const { RefCell::new([const { (0, HeaderValue::from_static("0")) }; REMEMBERED]) };
    }
    let remembered = RECENT.try_with(|recent| {
        let (of, value) = &mut recent.borrow_mut()[number as usize % REMEMBERED];
        if *of != number {
            (*of, *value) = (number, written(number));
        }
        value.clone()
    });
    // A thread that ends has forgotten them.
    remembered.unwrap_or_else(|_| written(number))
}

fn written(number: u64) -> HeaderValue {
    let mut bytes = [0; DIGITS];
    let start = write_before(DIGITS, number, &mut bytes);
    HeaderValue::from_maybe_shared(Bytes::from_owner(Digits { bytes, start })).expect("digits are a header value")
}

struct Digits {
    bytes: [u8; DIGITS],
    start: usize,
}

impl AsRef<[u8]> for Digits {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_all_their_digits_and_no_others() {
        let around = (0..=DIGITS as u32).map(|digits| 10_u64.pow(digits)).flat_map(|power| power - 1..=power + 1);
        for number in (0..10_200).chain(around) {
            let expected = number.min(999_999_999_999_999).to_string();
            assert_eq!((value(number), shared_value(number)), (expected.parse().unwrap(), expected.parse().unwrap()));
        }
    }

    #[test]
    fn a_number_with_the_place_of_another_has_its_value() {
        let (first, second) = (1_800_000_000, 1_800_000_000 + REMEMBERED as u64);
        for number in [first, second, second, first] {
            assert_eq!(shared_value(number), *number.to_string());
        }
        let shared = [shared_value(second), shared_value(second)].map(|value| value.as_bytes().as_ptr());
        assert_eq!(shared[0], shared[1]);
    }
}
