//! Times as texts: RFC 3339.

use std::time::SystemTime;

use crate::time::Timestamp;

/// The first second that RFC 3339 can write.
const FIRST: i64 = -62_167_219_200;
/// The last one.
const LAST: i64 = 253_402_300_799;

/// Returns whether a time is in the years 0 to 9999, which RFC 3339 can write.
#[cfg(feature = "serde")]
pub(crate) fn is_writable(time: SystemTime) -> bool {
    (FIRST..=LAST).contains(&Timestamp::floor(time).seconds())
}

/// Writes a time in UTC and whole seconds, such as `2026-11-24T10:00:00Z`. A time outside of the years 0 to 9999 is written as
/// their first or last second.
pub(crate) fn format(time: SystemTime) -> String {
    let seconds = Timestamp::floor(time).seconds().clamp(FIRST, LAST);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// Reads a time with any offset from UTC, rounded down to seconds. A leap second is read as the second before it.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let mut text = text.as_bytes();
    let year = number(&mut text, 4)?;
    let month = after(&mut text, b"-").and_then(|()| number(&mut text, 2))?;
    let day = after(&mut text, b"-").and_then(|()| number(&mut text, 2))?;
    let hour = after(&mut text, b"Tt ").and_then(|()| number(&mut text, 2))?;
    let minute = after(&mut text, b":").and_then(|()| number(&mut text, 2))?;
    let second = after(&mut text, b":").and_then(|()| number(&mut text, 2))?;
    if after(&mut text, b".").is_some() {
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        text = text.get(digits..).filter(|_| digits > 0)?;
    }
    let offset = offset(&mut text)?;
    let in_range = (1..=12).contains(&month) && hour < 24 && minute < 60 && second <= 60;
    if !text.is_empty() || !in_range || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second.min(59);
    Some(Timestamp::from_seconds(seconds - offset).system_time())
}

/// Takes `Z`, or the seconds by which a time is ahead of UTC.
fn offset(text: &mut &[u8]) -> Option<i64> {
    if after(text, b"Zz").is_some() {
        return Some(0);
    }
    let sign = if after(text, b"+").is_some() { 1 } else { after(text, b"-").map(|()| -1)? };
    let hour = number(text, 2)?;
    let minute = after(text, b":").and_then(|()| number(text, 2))?;
    (hour < 24 && minute < 60).then_some(sign * (hour * 3600 + minute * 60))
}

/// Takes a number of exactly this many digits.
fn number(text: &mut &[u8], digits: usize) -> Option<i64> {
    let (taken, rest) = text.split_at_checked(digits)?;
    *text = rest;
    taken.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

/// Takes one of these characters.
fn after(text: &mut &[u8], any: &[u8]) -> Option<()> {
    let (first, rest) = text.split_first()?;
    any.contains(first).then(|| *text = rest)
}

fn days_in(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years begin in March, so that a leap day ends one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

/// The date so many days after 1970-01-01: the inverse of [`days`].
fn date(days: i64) -> (i64, i64, i64) {
    // Days of 400, 100, 4 years and of one.
    let (era, of_era) = ((days + 719_468).div_euclid(146_097), (days + 719_468).rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Cases: 236.
        #[test]
        fn time_is_written_as_another_library_does(seconds in FIRST..=253_402_207_200) {
            let time = Timestamp::from_seconds(seconds).system_time();
            let other = jiff::Timestamp::from_second(seconds).unwrap();
            prop_assert_eq!(format(time), other.to_string());
            prop_assert_eq!(parse(&other.to_string()), Some(time));
        }

        /// Cases: 236.
        #[test]
        fn time_is_read_as_another_library_does(
            text in "(19|20|00)[0-9]{2}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-6][0-9])"
        ) {
            let other = text.parse::<jiff::Timestamp>().ok().map(|time| {
                // Before 1970, it rounds towards the epoch.
                let seconds = time.as_second() - i64::from(time.subsec_nanosecond() < 0);
                Timestamp::from_seconds(seconds).system_time()
            });
            prop_assert_eq!(parse(&text), other);
        }
    }

    /// Cases: 236.
    #[test]
    fn time_without_offset_or_digits_is_unreadable() {
        let at = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", at(0)),
            ("1970-01-01T00:00:00.999Z", at(0)),
            ("1970-01-01T02:30:01+02:30", at(1)),
            ("1972-06-30T23:59:60Z", at(78_796_799)),
            ("2024-02-29T00:00:00Z", at(1_709_164_800)),
            ("2023-02-29T00:00:00Z", None),
            ("", None),
            ("1970-01-01", None),
            ("1970-01-01T00:00:00", None),
            ("1970-01-01T00:00:00.Z", None),
            ("1970-01-01T00:00Z", None),
            ("1970-01-01T24:00:00Z", None),
            ("1970-01-01T00:00:00Zx", None),
            ("1970-01-01T00:00:00+0100", None),
            ("-0001-01-01T00:00:00Z", None),
            ("99999-01-01T00:00:00Z", None),
            ("１970-01-01T00:00:00Z", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        let late = Timestamp::from_seconds(i64::MAX).system_time();
        assert_eq!((&*format(late), &*format(UNIX_EPOCH)), ("9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z"));
    }
}
