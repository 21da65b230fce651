//! Mission Control: the console of the crate behind the accounts of this server.
//!
//! A login is a cookie. It is good for the console's page and for the routes that manage keys, and for no other part of the
//! API: only their layer accepts its [`identity`].

mod login;
mod page;
mod sessions;

use axum::Router;
use axum::extract::Request;
use axum::http::Extensions;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use tower_api_key::auth::Identity;
use tower_api_key::console::{Console, Operator};
use tower_api_key::scope::avala;
use tower_api_key::{Access, ApiKeyLayer};

pub(crate) use self::sessions::{Sessions, identify};
use crate::app::{API_KEYS, App};
use crate::limits::Limits;
use crate::store::Keys;

pub(crate) const PATH: &str = "/settings/security";
const LOG_IN: &str = "/mission-control/";

/// The documented scopes with their documented meanings.
const MEANINGS: [(tower_api_key::Scope, &str); 5] = [
    (avala::DATASETS_READ, "List and get datasets and their items"),
    (avala::DATASETS_WRITE, "Create, update and delete datasets; upload items"),
    (avala::PROJECTS_READ, "List and get projects, their tasks and task results"),
    (avala::TASKS_READ, "List and get tasks and their results"),
    (avala::EXPORTS_CREATE, "Create exports and download completed ones"),
];

pub(crate) fn console(keys: &Keys) -> Console {
    Console::new(keys.clone())
        .title("Mission Control")
        .scope_meanings(MEANINGS)
        .log_in_at(LOG_IN)
        .log_out_at("/mission-control/logout/")
        .example_url("/api/v1/users/me/permissions/")
}

/// The page, logging in and logging out. `api` is the layer in whose form too many attempts are rejected.
pub(crate) fn router(console: &Console, api: &ApiKeyLayer, limits: &Limits) -> Router<App> {
    let page = Router::new().fallback_service(console.page(API_KEYS)).layer(from_fn(or_log_in));
    let calls = Router::new().route("/session/", get(login::who)).route("/logout/", post(login::log_out));
    let calls = calls.layer(limits.sessions().reject_as(api));
    let log_in = post(login::log_in).layer(limits.attempts("logins").reject_as(api));
    Router::new()
        .route("/", get(Redirect::to(PATH)))
        .nest(PATH, page)
        .nest("/mission-control", calls.route("/login/", log_in))
        .merge(page::routes())
}

/// Sends a person who is not logged in to the login, in place of the page.
async fn or_log_in(request: Request, next: Next) -> Response {
    let is_page = request.uri().path() == "/" && request.uri().query().is_none();
    if is_page && request.extensions().get::<Operator>().is_none() {
        return Redirect::to(LOG_IN).into_response();
    }
    next.run(request).await
}

/// What a login may do: everything, on the routes whose layer accepts it.
pub(crate) fn identity(extensions: &Extensions) -> Option<Identity> {
    let operator = extensions.get::<Operator>()?;
    Some(Identity::new(operator.organization()?.clone(), Access::Full, operator.actor()))
}
