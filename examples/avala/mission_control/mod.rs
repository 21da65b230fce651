//! Mission Control, the page on which people manage their keys, and what it calls.
//!
//! Whoever logs in gets a session, which is a credential of its own in a key layer of its own: so the same handlers
//! serve the page and the API, and losing the last key locks nobody out.

mod cookie;
mod login;
mod page;
mod sessions;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header::HeaderName;
use axum::http::{Response, StatusCode};
use axum::middleware::{Next, from_fn, map_request};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::json;
use tower_api_key::{ApiKeyLayer, CredentialError, Refusal, Rejection};

pub(crate) use self::cookie::SessionCookie;
pub(crate) use self::page::PATH;
pub(crate) use self::sessions::Sessions;
use crate::app::App;
use crate::reply::ApiError;
use crate::{audit, keys, limits};

/// What the page sends along. Another site cannot, as nothing here allows it to by CORS.
const FROM_PAGE: HeaderName = HeaderName::from_static("x-mission-control");

/// `api` is the layer in whose words too many attempts to log in are refused.
pub(crate) fn router(sessions: &Sessions, api: &ApiKeyLayer) -> Router<App> {
    let guarded = Router::new()
        .route("/session/", get(login::who))
        .route("/logout/", post(login::log_out))
        .merge(keys::routes("/api-keys"))
        .route_layer(sessions.layer().on_decision(audit::record).render_with(refuse))
        .route_layer(map_request(cookie::present));
    let log_in = post(login::log_in).layer(limits::logins().refuse_as(api));
    let called = guarded.route("/login/", log_in).route_layer(from_fn(only_from_page));
    Router::new().nest("/mission-control", called).merge(page::routes())
}

/// A cookie is sent whoever causes the request, so it alone proves nothing.
async fn only_from_page(request: Request, next: Next) -> axum::response::Response {
    let headers = request.headers();
    let elsewhere = headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin");
    if elsewhere || !headers.contains_key(FROM_PAGE) {
        let detail = "This request does not come from Mission Control.".to_owned();
        return ApiError::Other(StatusCode::FORBIDDEN, detail).into_response();
    }
    next.run(request).await
}

/// Nobody on the page has heard of the key that a session is.
fn refuse(refusal: &Refusal<'_>) -> Response<Bytes> {
    let mut response = refusal.response();
    if response.status() == StatusCode::UNAUTHORIZED {
        let detail = match refusal.rejection() {
            Rejection::Credential(CredentialError::Missing) => "You are not logged in.",
            _ => "Your session has ended. Log in again.",
        };
        *response.body_mut() = json!({ "detail": detail }).to_string().into();
    }
    response
}
