use std::time::SystemTime;

use ::serde::de::Error as _;
use ::serde::ser::Error as _;
use ::serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::rfc3339;

/// A time in UTC and whole seconds as a text (RFC 3339): `2027-01-31T00:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeText(pub(super) SystemTime);

impl TimeText {
    /// Reads the one form in which a time is written.
    fn parse(text: &str) -> Option<Self> {
        rfc3339::parse(text).filter(|time| rfc3339::format(*time) == text).map(Self)
    }

    /// `None` for a year of more than four digits, or before the first.
    fn text(self) -> Option<String> {
        rfc3339::is_writable(self.0).then(|| rfc3339::format(self.0))
    }
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
    use crate::time::Timestamp;

    const DAY: i64 = 24 * 60 * 60;

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
