use std::time::SystemTime;

use jiff::Timestamp;

/// RFC 3339 in UTC, such as `2026-11-24T10:00:00Z`. A time after the year 9999 is shown as the end of that year.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    format!("{:.0}", Timestamp::try_from(time).unwrap_or(Timestamp::MAX))
}
