//! Hooks that count requests, changes and limits through the `metrics` facade.
//!
//! ```
//! use tower_api_key::{ApiKeyLayer, KeyManager, MemoryStore, observe};
//!
//! // After the recorder of the service was installed.
//! observe::metrics::describe();
//! let store = MemoryStore::new();
//! let keys = KeyManager::new(store.clone()).on_change(observe::metrics::record_change);
//! let layer = ApiKeyLayer::new(store).on_decision(observe::metrics::record_decision);
//! ```

use ::metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use super::{DecisionEvent, LimitEvent};
use crate::manage::ChangeEvent;

const REQUESTS: &str = "api_key_requests_total";
const DURATION: &str = "api_key_request_duration_seconds";
const LEGACY: &str = "api_key_legacy_total";
const CHANGES: &str = "api_key_changes_total";
const LIMITS: &str = "api_key_limits_total";
const LIMIT_FAILURES: &str = "api_key_limit_store_failures_total";

/// Counts a request and measures it: a hook for [`ApiKeyLayer::on_decision`](crate::ApiKeyLayer::on_decision).
///
/// | metric | kind | label |
/// |---|---|---|
/// | `api_key_requests_total` | counter | `outcome` |
/// | `api_key_request_duration_seconds` | histogram | `outcome` |
/// | `api_key_legacy_total` | counter | `result` |
///
/// The outcome is [`Outcome::code`](super::Outcome::code), a word out of a short list: no label holds a key, an
/// organization or a path. The duration of an accepted request includes the inner service. `api_key_legacy_total` counts the
/// requests that were answered through the old table of [legacy keys](crate::ApiKeyLayer::legacy_keys), by
/// [`LegacyCheck::code`](super::LegacyCheck::code).
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
    if let Some(legacy) = event.legacy() {
        counter!(LEGACY, "result" => legacy.code()).increment(1);
    }
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

/// Counts a request that was counted against a limit: a hook for
/// [`LimitRule::on_count`](crate::throttle::LimitRule::on_count).
///
/// | metric | kind | labels |
/// |---|---|---|
/// | `api_key_limits_total` | counter | `limit`, `outcome` |
/// | `api_key_limit_store_failures_total` | counter | `limit` |
///
/// The limit is the name of the rule, the outcome [`LimitOutcome::code`](super::LimitOutcome::code). A request that the store
/// did not count may have been counted in this process instead.
pub fn record_limit(event: &LimitEvent<'_>) {
    let limit = event.name();
    counter!(LIMITS, "limit" => limit, "outcome" => event.outcome().code()).increment(1);
    if event.store_error().is_some() {
        counter!(LIMIT_FAILURES, "limit" => limit).increment(1);
    }
}

/// Describes each metric to the recorder. Call it once, after the recorder is installed.
pub fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "Requests that reached a key check, by outcome");
    describe_histogram!(DURATION, Unit::Seconds, "Time from the key check to the response head, by outcome");
    describe_counter!(LEGACY, Unit::Count, "Requests answered through the old table of legacy keys, by result");
    describe_counter!(CHANGES, Unit::Count, "Changes of keys, by change and outcome");
    describe_counter!(LIMITS, Unit::Count, "Requests counted against a limit, by limit and outcome");
    describe_counter!(LIMIT_FAILURES, Unit::Count, "Requests that the store of a limit did not count, by limit");
}
