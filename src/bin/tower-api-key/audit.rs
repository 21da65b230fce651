//! A line of JSON for each change, for `--audit-log`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use serde_json::json;
use tower_api_key::manage::{Change, ChangeEvent};

use crate::failure::{Failure, write_error};
use crate::values::rfc3339;

/// Opens the log, so that no change is made that it would lack.
pub(crate) fn open(path: &Path) -> Result<File, Failure> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map_err(|error| Failure::failed(format!("cannot open the audit log {}: {error}", path.display())))
}

/// Appends the change in one write, so that the lines of two processes do not mix.
pub(crate) fn record(mut log: &File, event: &ChangeEvent<'_>) {
    let mut line = line(event, SystemTime::now());
    line.push('\n');
    if let Err(error) = log.write_all(line.as_bytes()) {
        write_error(&format!("cannot write to the audit log: {error}"));
    }
}

fn line(event: &ChangeEvent<'_>, now: SystemTime) -> String {
    let replacement = event.record().filter(|_| event.change() == Change::Regenerated);
    let policy = event.policy();
    json!({
        "time": rfc3339(now),
        "change": event.change().code(),
        "outcome": event.outcome().code(),
        "actor": event.actor(),
        "organization": event.organization().map(ToString::to_string),
        "id": event.key().map(|id| id.to_string()),
        "new_id": replacement.map(|record| record.id().to_string()),
        "fields": event.update().map(|update| update.fields()),
        "max_key_age_seconds": policy.and_then(|policy| policy.max_key_age()).map(|age| age.as_secs()),
        "disabled": policy.map(|policy| policy.is_disabled()),
        "count": event.count(),
    })
    .to_string()
}
