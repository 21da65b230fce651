//! Mission Control, the page on which people manage their keys, and what it calls.
//!
//! Whoever logs in gets a session, which is a credential of its own in a key layer of its own: so the same handlers
//! serve the page and the API, and losing the last key locks nobody out.

mod login;
mod page;
mod sessions;

use axum::Router;
use axum::body::Bytes;
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use serde_json::json;
use tower_api_key::rejection::{CredentialError, RejectedRequest};
use tower_api_key::{ApiKeyLayer, Rejection};

pub(crate) use self::page::PATH;
pub(crate) use self::sessions::Sessions;
use crate::app::App;
use crate::limits::Limits;
use crate::{audit, keys};

/// A session comes in a header that no other site can send, as nothing here allows it to by CORS. `api` is the layer in
/// whose form too many attempts to log in are rejected.
pub(crate) fn router(sessions: &Sessions, api: &ApiKeyLayer, limits: &Limits) -> Router<App> {
    let guarded = Router::new()
        .route("/session/", get(login::who))
        .route("/logout/", post(login::log_out))
        .merge(keys::routes("/api-keys"))
        .route_layer(sessions.layer().on_decision(audit::record).rejection_response(reject));
    let log_in = post(login::log_in).layer(limits.attempts("logins").reject_as(api));
    Router::new().nest("/mission-control", guarded.route("/login/", log_in)).merge(page::routes())
}

/// Rejects in the words of the page, on which a session is not called a key.
fn reject(rejected: &RejectedRequest<'_>) -> Response<Bytes> {
    let mut response = rejected.response();
    if response.status() == StatusCode::UNAUTHORIZED {
        let detail = match rejected.rejection() {
            Rejection::Credential(CredentialError::Missing) => "You are not logged in.",
            _ => "Your session has ended. Log in again.",
        };
        *response.body_mut() = json!({ "detail": detail }).to_string().into();
    }
    response
}
