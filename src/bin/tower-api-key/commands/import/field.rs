//! The fields of a row. A text can be any type, since CSV has no other. No message repeats a value.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::source::Fields;
use crate::values;

/// The name of every field.
pub(super) const FIELDS: [&str; 17] = [
    "organization",
    "name",
    "digest",
    "plaintext",
    "hint",
    "scopes",
    "full_access",
    "environment",
    "allowed_networks",
    "metadata",
    "created_at",
    "created_by",
    "expires_at",
    "suspended",
    "revoked_at",
    "last_used_at",
    "request_count",
];

/// Takes a field out of a row, so that what is left at the end is unknown.
pub(super) fn take(fields: &mut Fields, name: &str) -> Option<Value> {
    fields.remove(name).filter(|value| !value.is_null())
}

pub(super) fn text(fields: &mut Fields, name: &'static str) -> Result<Option<String>, String> {
    match take(fields, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name} is no text")),
    }
}

/// Returns a text as something that is parsed from it.
pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    fields: &mut Fields,
    name: &'static str,
) -> Result<Option<T>, String> {
    let text = text(fields, name)?;
    text.map(|text| text.parse().map_err(|error| format!("{name}: {error}"))).transpose()
}

pub(super) fn flag(fields: &mut Fields, name: &'static str) -> Result<bool, String> {
    match take(fields, name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(Value::String(text)) if text == "true" || text == "1" => Ok(true),
        Some(Value::String(text)) if text == "false" || text == "0" => Ok(false),
        Some(_) => Err(format!("{name} is neither true nor false")),
    }
}

pub(super) fn number(fields: &mut Fields, name: &'static str) -> Result<Option<u64>, String> {
    let number = match take(fields, name) {
        None => return Ok(None),
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    number.map(Some).ok_or_else(|| format!("{name} is no number"))
}

/// Returns a time in RFC 3339, a date, or Unix seconds, up to the year 9999: Unix milliseconds would be a key that expires in
/// 50,000 years.
pub(super) fn time(fields: &mut Fields, name: &'static str) -> Result<Option<SystemTime>, String> {
    const LAST: u64 = 253_402_300_799;
    let at = |seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).filter(|_| seconds <= LAST);
    let time = match take(fields, name) {
        None => return Ok(None),
        Some(Value::Number(number)) => number.as_u64().and_then(at),
        Some(Value::String(text)) => match text.parse() {
            Ok(seconds) => at(seconds),
            Err(_) => values::time(&text).ok(),
        },
        Some(_) => None,
    };
    time.map(Some).ok_or_else(|| format!("{name} is no time: expected RFC 3339 or Unix seconds"))
}

/// Returns the words of a text, or the texts of a list.
pub(super) fn words(fields: &mut Fields, name: &'static str) -> Result<Option<Vec<String>>, String> {
    let words = match take(fields, name) {
        None => return Ok(None),
        Some(Value::String(text)) => Some(text.split_whitespace().map(str::to_owned).collect()),
        Some(Value::Array(values)) => {
            values.into_iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        }
        Some(_) => None,
    };
    words.map(Some).ok_or_else(|| format!("{name} is no list of texts"))
}
