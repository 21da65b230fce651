//! Values of arguments and of imported files.

use std::time::{Duration, SystemTime};

use jiff::{Span, SpanRelativeTo, Timestamp};
use tower_api_key::client::AllowedNetworks;
use tower_api_key::key::{InvalidPrefix, KeyFormat};

use crate::failure::Failure;

/// Parses a duration of whole seconds, where a day has 24 hours.
pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
    let span = text.parse::<Span>().ok();
    let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let duration = duration.and_then(|duration| Duration::try_from(duration).ok());
    duration
        .filter(|&duration| duration >= Duration::from_secs(1))
        .ok_or("expected a duration of at least a second, such as 90d or 24h")
}

/// Returns a duration in the form that [`duration`] parses.
pub(crate) fn shown_duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds => format!("{seconds}s"),
    }
}

/// Parses a date, which begins in UTC, or a time with its offset.
pub(crate) fn time(text: &str) -> Result<SystemTime, &'static str> {
    let is_date = text.len() == "2027-01-31".len();
    let time: Option<Timestamp> = if is_date { format!("{text}T00:00:00Z").parse() } else { text.parse() }.ok();
    time.and_then(|time| SystemTime::try_from(time).ok())
        .ok_or("expected a time such as 2027-01-31 or 2027-01-31T12:00:00Z")
}

pub(crate) fn prefix(text: &str) -> Result<KeyFormat, InvalidPrefix> {
    KeyFormat::new(text.to_owned())
}

/// Parses `NAME=VALUE`.
pub(crate) fn entry(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Returns these networks, or none if there is no argument.
pub(crate) fn networks(texts: &[String]) -> Result<Option<AllowedNetworks>, Failure> {
    if texts.is_empty() {
        return Ok(None);
    }
    let networks = texts.join(" ").parse().map_err(|error| Failure::usage(format!("--network: {error}")))?;
    Ok(Some(networks))
}

/// Returns a time as RFC 3339 in UTC. A time after the year 9999 becomes the end of that year.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    format!("{:.0}", Timestamp::try_from(time).unwrap_or(Timestamp::MAX))
}

/// Returns a time in UTC to the minute, as tables show it.
pub(crate) fn minute(time: SystemTime) -> String {
    let text = rfc3339(time);
    match text.split_once('T') {
        Some((date, clock)) => format!("{date} {}", clock.get(..5).unwrap_or(clock)),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn durations_are_whole_days_and_smaller() {
        for (text, seconds) in [("90d", 7_776_000), ("24h", 86_400), ("1h30m", 5400), ("2 weeks", 1_209_600)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["90d", "36h", "61s"] {
            assert_eq!(duration(text).map(shown_duration), Ok(text.to_owned()));
        }
        for text in ["", "90", "soon", "0s", "999ms", "-1d", "1 month", "1y"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_dates_or_have_an_offset() {
        let at = |seconds| Ok(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(time("2027-01-31"), at(1_801_353_600));
        assert_eq!(time("2027-01-31T12:00:00Z"), at(1_801_396_800));
        assert_eq!(time("2027-01-31T12:00:00+02:00"), at(1_801_389_600));
        for text in ["", "tomorrow", "31.01.2027", "2027-02-30", "2027-01-31T12:00:00"] {
            assert!(time(text).is_err(), "{text}");
        }
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(1_801_396_800)), "2027-01-31T12:00:00Z");
        assert_eq!(minute(UNIX_EPOCH + Duration::from_secs(1_801_396_800)), "2027-01-31 12:00");
        assert!(rfc3339(UNIX_EPOCH + Duration::from_secs(u64::MAX / 4)).starts_with("9999-12-3"));
    }

    #[test]
    fn entry_is_split_at_the_first_equals_sign() {
        assert_eq!(entry("plan=a=b"), Ok(("plan".to_owned(), "a=b".to_owned())));
        assert!(entry("plan").is_err());
    }
}
