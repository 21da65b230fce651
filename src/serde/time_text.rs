use std::time::SystemTime;

use ::serde::de::Error as _;
use ::serde::ser::Error as _;
use ::serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Timestamp;

/// A time in UTC and whole seconds as a text (RFC 3339): `2027-01-31T00:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeText(pub(super) SystemTime);

const DAY: i64 = 24 * 60 * 60;

impl TimeText {
    fn parse(text: &str) -> Option<Self> {
        let digits = |range: std::ops::Range<usize>| -> Option<i64> {
            let text = text.get(range)?;
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
        };
        let is_mark = |at: usize, mark: u8| text.as_bytes().get(at) == Some(&mark);
        let has_marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
        if text.len() != 20 || !has_marks.into_iter().all(|(at, mark)| is_mark(at, mark)) {
            return None;
        }
        let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
        let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
        let days = days_since_epoch(year, month, day);
        if hour > 23 || minute > 59 || second > 59 || date(days) != (year, month, day) {
            return None;
        }
        let seconds = days * DAY + hour * 3600 + minute * 60 + second;
        Some(Self(Timestamp::from_seconds(seconds).system_time()))
    }

    /// `None` for a year of more than four digits, or before the first.
    fn text(self) -> Option<String> {
        let seconds = Timestamp::floor(self.0).seconds();
        let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        // The days of the years 0 to 9999.
        if !(-719_528..=2_932_896).contains(&days) {
            return None;
        }
        let (year, month, day) = date(days);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
    }
}

/// Returns how many days after 1 January 1970 this date of the Gregorian calendar is.
///
/// The year is taken to begin in March, so that a leap day is its last day.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let months = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * months + 2) / 5 + day - 1 - 719_468
}

/// Returns the year, month and day of this day.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * months + 2) / 5 + 1, if months < 10 { months + 3 } else { months - 9 });
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

impl Serialize for TimeText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.text().ok_or_else(|| S::Error::custom("a time must be in the years 0 to 9999"))?;
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for TimeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The value is not shown: it may be a key in the wrong place.
        Self::parse(&text).ok_or_else(|| D::Error::custom("invalid time: expected UTC, such as 2027-01-31T00:00:00Z"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use jiff::Timestamp as Reference;

    use super::*;

    fn at(seconds: i64) -> TimeText {
        TimeText(Timestamp::from_seconds(seconds).system_time())
    }

    #[test]
    fn time_text_agrees_with_jiff() {
        // Each day of 400 years around the epoch, at another second each, and the ends of what both can express.
        let days = (-73_000..73_000).map(|day| day * DAY + (day * 7_919).rem_euclid(DAY));
        for seconds in days.chain([-62_167_219_200, 253_402_207_200]) {
            let reference = Reference::from_second(seconds).unwrap().to_string();
            assert_eq!(at(seconds).text(), Some(reference.clone()));
            assert_eq!(TimeText::parse(&reference), Some(at(seconds)), "{reference}");
        }
        assert_eq!(TimeText(UNIX_EPOCH + Duration::from_millis(1_500)).text().unwrap(), "1970-01-01T00:00:01Z");
        assert_eq!(
            [i64::MIN, -62_167_219_201, 253_402_300_800, i64::MAX].map(|seconds| at(seconds).text()),
            [None, None, None, None]
        );
    }

    #[test]
    fn time_text_in_another_form_is_rejected() {
        for text in [
            "",
            "2027-02-29T00:00:00Z",
            "2027-13-01T00:00:00Z",
            "2027-00-01T00:00:00Z",
            "2027-01-00T00:00:00Z",
            "2027-01-31T24:00:00Z",
            "2027-01-31T00:60:00Z",
            "2027-01-31T00:00:60Z",
            "2027-01-31T00:00:00",
            "2027-01-31",
            "2027-01-31 00:00:00Z",
            "2027-01-31T00:00:00+00:00",
            "+027-01-31T00:00:00Z",
            "2027-01-31T00:00:00z",
            "2027-01-31T00:00:0éZ",
        ] {
            assert_eq!(TimeText::parse(text), None, "{text}");
        }
        assert!(TimeText::parse("2028-02-29T23:59:59Z").is_some());
    }
}
