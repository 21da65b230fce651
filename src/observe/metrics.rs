//! Hooks that count requests and changes through the `metrics` facade.

use ::metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use super::DecisionEvent;
use crate::manage::ChangeEvent;

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
/// The outcome is [`Outcome::code`](super::Outcome::code), a word out of a short list: no label holds a key, an
/// organization or a path. The duration of an accepted request includes the inner service.
///
/// ```
/// use tower_api_key::{ApiKeyLayer, MemoryStore, observe};
///
/// observe::metrics::describe();
/// let layer = ApiKeyLayer::new(MemoryStore::new()).on_decision(observe::metrics::record_decision);
/// ```
pub fn record_decision(event: &DecisionEvent<'_>) {
    let outcome = event.outcome().code();
    counter!(REQUESTS, "outcome" => outcome).increment(1);
    histogram!(DURATION, "outcome" => outcome).record(event.elapsed());
}

/// Counts a change of a key: a hook for [`KeyManager::on_change`](crate::KeyManager::on_change).
///
/// | metric | kind | labels |
/// |---|---|---|
/// | `api_key_changes_total` | counter | `change`, `outcome` |
///
/// The labels are those of [`Change::code`](crate::manage::Change::code) and
/// [`ChangeOutcome::code`](crate::manage::ChangeOutcome::code).
pub fn record_change(event: &ChangeEvent<'_>) {
    counter!(CHANGES, "change" => event.change().code(), "outcome" => event.outcome().code()).increment(1);
}

/// Describes each metric to the recorder. Call it once, after the recorder is installed.
pub fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "Requests that reached a key check, by outcome");
    describe_histogram!(DURATION, Unit::Seconds, "Time from the key check to the response head, by outcome");
    describe_counter!(CHANGES, Unit::Count, "Changes of keys, by change and outcome");
}
