use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tower_api_key::key::KeyRecord;
use tower_api_key::{ApiKey, OrganizationId};
use zeroize::Zeroizing;

use super::Sessions;
use crate::app::App;
use crate::form::Form;
use crate::reply::{ApiError, with_secret};
use crate::signup::{LONGEST_EMAIL, LONGEST_PASSWORD};
use crate::time::rfc3339;

/// The one time that a session is shown. Whoever loses it logs in again.
#[derive(Serialize)]
struct LoggedIn<'a> {
    session: &'a str,
}

/// What the page sees of a session.
#[derive(Serialize)]
struct View {
    email: String,
    expires_at: Option<String>,
    /// So that the page need not trust the clock of its own machine.
    seconds_left: u64,
}

pub(super) async fn log_in(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let mut form = Form::read(request).await?;
    let email = form.text("email", LONGEST_EMAIL);
    let password = Zeroizing::new(form.text("password", LONGEST_PASSWORD));
    form.check()?;

    let account = app.accounts.find(&email).await?;
    let user = match account {
        Some(account) => {
            let is_right = app.passwords.verify(password, account.password_hash).await.map_err(ApiError::internal)?;
            is_right.then_some(account.user)
        }
        None => {
            // Takes as long, so that the time does not tell whether there is an account.
            app.passwords.hash(password).await.map_err(ApiError::internal)?;
            None
        }
    };
    let user = user.ok_or_else(|| ApiError::bad_request("The email or the password is wrong."))?;
    let organization = OrganizationId::new(&user.uid).map_err(ApiError::internal)?;
    let (session, record) = app.sessions.open(organization, &user.email).map_err(ApiError::internal)?;
    tracing::info!("logged in organization={} session={}", record.organization(), record.id());
    Ok(with_secret(StatusCode::OK, LoggedIn { session: session.expose_secret() }))
}

pub(super) async fn who(session: ApiKey, State(sessions): State<Sessions>) -> Response {
    let view = View::of(session.record(), sessions.left(session.record()));
    ([(CACHE_CONTROL, "no-store")], Json(view)).into_response()
}

pub(super) async fn log_out(session: ApiKey, State(sessions): State<Sessions>) -> StatusCode {
    sessions.end(session.record().digest());
    tracing::info!("logged out organization={} session={}", session.organization(), session.id());
    StatusCode::NO_CONTENT
}

impl View {
    fn of(record: &KeyRecord, left: std::time::Duration) -> Self {
        Self { email: record.name().into(), expires_at: record.expires_at().map(rfc3339), seconds_left: left.as_secs() }
    }
}
