use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use crate::audit::ChangeEvent;
use crate::event::DecisionEvent;

const REQUESTS: &str = "api_key_requests_total";
const DURATION: &str = "api_key_request_duration_seconds";
const CHANGES: &str = "api_key_changes_total";

/// Counts a request and measures it: a hook for [`ApiKeyLayer::on_decision`](crate::ApiKeyLayer::on_decision).
///
/// | metric | kind | label |
/// |---|---|---|
/// | `api_key_requests_total` | counter | `outcome` |
/// | `api_key_request_duration_seconds` | histogram | `outcome` |
///
/// The outcome is that of [`Outcome::code`](crate::Outcome::code), a word out of a short list: no label holds a key, an
/// organization or a path. The duration of an accepted request is that of the inner service too.
///
/// Two hooks are one closure:
///
/// ```
/// use tower_api_key::{ApiKeyLayer, MemoryStore, observe};
///
/// observe::describe_metrics();
/// let layer = ApiKeyLayer::new(MemoryStore::new()).on_decision(|event| {
///     observe::count_decision(event);
///     // And whatever else shall hear of it.
/// });
/// ```
pub fn count_decision(event: &DecisionEvent<'_>) {
    let outcome = event.outcome().code();
    counter!(REQUESTS, "outcome" => outcome).increment(1);
    histogram!(DURATION, "outcome" => outcome).record(event.elapsed());
}

/// Counts a change of a key: a hook for [`AuditedStore`](crate::AuditedStore).
///
/// | metric | kind | labels |
/// |---|---|---|
/// | `api_key_changes_total` | counter | `change`, `outcome` |
///
/// The labels are those of [`Change::code`](crate::Change::code) and
/// [`ChangeOutcome::code`](crate::ChangeOutcome::code).
pub fn count_change(event: &ChangeEvent<'_>) {
    counter!(CHANGES, "change" => event.change().code(), "outcome" => event.outcome().code()).increment(1);
}

/// Tells the recorder what each metric means. Call it once, after the recorder is installed.
pub fn describe_metrics() {
    describe_counter!(REQUESTS, Unit::Count, "Requests that came to a key check, by how they ended");
    describe_histogram!(DURATION, Unit::Seconds, "Time from the key check to the response head, by how it ended");
    describe_counter!(CHANGES, Unit::Count, "Changes that were asked of keys, by what became of them");
}
