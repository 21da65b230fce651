use tracing::{Span, field, info, warn};

use crate::audit::{ChangeEvent, ChangeOutcome};
use crate::error_chain::error_chain;
use crate::event::{DecisionEvent, Outcome};
use crate::key::KeyRecord;
use crate::rejection::Rejection;
use crate::store::ManageError;

/// Names the key in the current span, and tells a refusal as an event: a hook for
/// [`ApiKeyLayer::on_decision`](crate::ApiKeyLayer::on_decision).
///
/// The field is `api_key.id`, which the span must have declared. It is recorded when the response head is there. A
/// refusal is at the level `INFO`, or `WARN` where the service is at fault (5xx). It carries the
/// [reason](Rejection::code) and the status, the id of a known key and the digest of an unknown one, never a key, and
/// no path either, into which people paste secrets: the span of the request has that.
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
///     .layer(ApiKeyLayer::new(MemoryStore::new()).on_decision(observe::trace_decision))
///     .layer(spans);
/// ```
pub fn trace_decision(event: &DecisionEvent<'_>) {
    let id = event.key().map(KeyRecord::id).map(field::display);
    if let Some(id) = &id {
        Span::current().record("api_key.id", id);
    }
    let Outcome::Rejected(rejection) = event.outcome() else { return };
    let (reason, status) = (rejection.code(), rejection.status().as_u16());
    // Whom an unknown key belongs to can be found out by its digest only.
    let digest = event.digest().filter(|_| id.is_none()).map(field::debug);
    let cause = event.store_error().map(|error| error_chain(error));
    match rejection {
        Rejection::Unavailable(_) | Rejection::Misconfigured => {
            warn!(reason, status, api_key.id = id, cause, "request refused");
        }
        _ => info!(reason, status, api_key.id = id, api_key.digest = digest, "request refused"),
    }
}

/// Tells a change of a key as an event: a hook for [`AuditedStore`](crate::AuditedStore).
///
/// It is at the level `INFO`, or `WARN` where the store failed or nobody knows what became of it. It carries what was
/// changed, who asked, the organization and the id of the key, and nothing else that a client has chosen: an unknown
/// scope, which may be a key in the wrong place, is not named.
///
/// ```
/// use tower_api_key::{AuditedStore, MemoryStore, observe};
///
/// let keys = AuditedStore::new(MemoryStore::new(), observe::trace_change);
/// ```
pub fn trace_change(event: &ChangeEvent<'_>) {
    let (change, outcome) = (event.change().code(), event.outcome().code());
    let organization = event.organization().as_str();
    let id = event.key().map(field::display);
    let new = event.record().map(KeyRecord::id).filter(|new| event.key() != Some(*new)).map(field::display);
    let actor = event.actor();
    match event.outcome() {
        ChangeOutcome::Done => {
            info!(change, outcome, actor, organization, api_key.id = id, new_id = new, "key changed");
        }
        ChangeOutcome::Failed(error) if outcome == "refused" => {
            let cause = match error {
                // Whoever asked has chosen its name, which may be a key in the wrong place.
                ManageError::UnknownScope(_) => "a scope is not in the catalogue of this service".to_owned(),
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
