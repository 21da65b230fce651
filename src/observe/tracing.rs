//! Hooks that record requests and changes as events of the crate `tracing`.
//!
//! ```
//! use tower_api_key::{ApiKeyLayer, KeyManager, MemoryStore, observe};
//!
//! let store = MemoryStore::new();
//! let keys = KeyManager::new(store.clone()).on_change(observe::tracing::record_change);
//! let layer = ApiKeyLayer::new(store).on_decision(observe::tracing::record_decision);
//! ```

use ::tracing::{Span, field, info, warn};

use super::{DecisionEvent, Outcome};
use crate::error_chain::error_chain;
use crate::identity::Identity;
use crate::key::{KeyId, KeyRecord, OrganizationId};
use crate::manage::{ChangeEvent, ChangeOutcome, ManageError};
use crate::rejection::reason::Rejection;

/// Records the key id and emits an event per rejection: a hook for
/// [`ApiKeyLayer::on_decision`](crate::ApiKeyLayer::on_decision).
///
/// The id is recorded in the field `api_key.id` of the current span, if the span declares it, when the response head is
/// there. The default span of tower-http's `TraceLayer` does not: there, and without a span, an accepted request is an
/// event of level `INFO` that has the id, "request accepted". To have no such events, declare the field as below.
///
/// A rejection has the level `INFO`, or `WARN` where the service is at fault (5xx). An outage of the store is this event
/// and no other line. The event has the [reason](Rejection::code), the status, the id of a known key, the digest of an
/// unknown one and the actor of an identity. It never has a key, and no path, into which people paste secrets: the span of
/// the request has the path.
///
/// ```
/// use axum::{Router, http::Request, routing::get};
/// use tower_api_key::{ApiKeyLayer, MemoryStore, observe};
/// use tower_http::trace::TraceLayer;
///
/// let spans = TraceLayer::new_for_http().make_span_with(|request: &Request<_>| {
///     tracing::info_span!("request", path = request.uri().path(), api_key.id = tracing::field::Empty)
/// });
/// let app: Router = Router::new()
///     .route("/", get(|| async { "Hello\n" }))
///     .layer(ApiKeyLayer::new(MemoryStore::new()).on_decision(observe::tracing::record_decision))
///     .layer(spans);
/// ```
pub fn record_decision(event: &DecisionEvent<'_>) {
    let id = event.key().map(KeyRecord::id).map(field::display);
    let is_recorded = id.as_ref().is_some_and(record_on_span);
    let Outcome::Rejected(rejection) = event.outcome() else {
        if id.is_some() && !is_recorded {
            info!(api_key.id = id, "request accepted");
        }
        return;
    };
    let (reason, status) = (rejection.code(), rejection.status().as_u16());
    // An unknown key has no id; its digest finds it in a table of leaked keys.
    let digest = event.digest().filter(|_| id.is_none()).map(field::debug);
    let actor = event.identity().map(Identity::actor);
    let cause = event.store_error().map(|error| error_chain(error));
    event.set_logged();
    match rejection {
        Rejection::Unavailable(_) | Rejection::Misconfigured => {
            warn!(reason, status, api_key.id = id, cause, "request rejected");
        }
        _ => info!(reason, status, actor, api_key.id = id, api_key.digest = digest, "request rejected"),
    }
}

/// Returns whether the current span has a field for the id. Of any other span, `record` would drop the id in silence.
fn record_on_span(id: &field::DisplayValue<KeyId>) -> bool {
    let span = Span::current();
    let declared = span.metadata().is_some_and(|metadata| metadata.fields().field(FIELD).is_some());
    if declared {
        span.record(FIELD, id);
    }
    declared
}

const FIELD: &str = "api_key.id";

/// Records a change of a key as an event: a hook for [`KeyManager::on_change`](crate::KeyManager::on_change).
///
/// The level is `INFO`, or `WARN` where the store failed or the caller stopped waiting. The event has the change, the actor,
/// the organization, the id of the key and the names of the fields that an update sets, and nothing else that a client has
/// chosen: an unknown scope, which may be a key in the wrong place, is not named.
///
/// ```
/// use tower_api_key::{KeyManager, MemoryStore, observe};
///
/// let keys = KeyManager::new(MemoryStore::new()).on_change(observe::tracing::record_change);
/// ```
pub fn record_change(event: &ChangeEvent<'_>) {
    let (change, outcome) = (event.change().code(), event.outcome().code());
    let organization = event.organization().map(OrganizationId::as_str);
    let id = event.key().map(field::display);
    let new = event.record().map(KeyRecord::id).filter(|new| event.key() != Some(*new)).map(field::display);
    let (actor, count) = (event.actor(), event.count());
    let fields = event.update().map(|update| update.fields().join(","));
    match event.outcome() {
        ChangeOutcome::Done => {
            info!(change, outcome, actor, organization, api_key.id = id, new_id = new, fields, count, "key changed");
        }
        ChangeOutcome::Failed(error) if outcome == "rejected" => {
            let cause = match error {
                // The client has chosen the name, which may be a key in the wrong place.
                ManageError::UnknownScope(_) => "a scope is not in the catalog of this service".to_owned(),
                ManageError::ScopeNotGranted(_) => "a scope is not granted to new keys".to_owned(),
                ManageError::UnknownEnvironment(_) => "no key format has the environment".to_owned(),
                error => error_chain(error),
            };
            info!(change, outcome, actor, organization, api_key.id = id, cause, "key not changed");
        }
        ChangeOutcome::Failed(error) => {
            let cause = error_chain(error);
            warn!(change, outcome, actor, organization, api_key.id = id, cause, "key perhaps not changed");
        }
        ChangeOutcome::Unknown => {
            warn!(change, outcome, actor, organization, api_key.id = id, "key perhaps not changed");
        }
    }
}
