use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use tower_api_key::OrganizationId;
use tower_api_key::client::ClientInfo;
use tower_api_key::console::is_same_origin;
use zeroize::Zeroizing;

use super::sessions::{Session, Sessions, cookie};
use crate::app::App;
use crate::form::Form;
use crate::reply::{ApiError, with_secret};
use crate::signup::{LONGEST_EMAIL, LONGEST_PASSWORD};
use crate::time::rfc3339;

/// What a client sees of its session.
#[derive(Serialize)]
struct View {
    email: String,
    expires_at: String,
}

pub(super) async fn log_in(
    State(app): State<App>,
    Extension(client): Extension<ClientInfo>,
    request: Request,
) -> Result<Response, ApiError> {
    own_origin(&request)?;
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
            // Takes as long, so that the time does not show whether there is an account.
            app.passwords.hash(password).await.map_err(ApiError::internal)?;
            None
        }
    };
    let user = user.ok_or_else(|| ApiError::bad_request("The email or the password is wrong."))?;
    let organization = OrganizationId::new(&user.uid).map_err(ApiError::internal)?;
    let (secret, session) = app.sessions.open(organization, &user.email).map_err(ApiError::internal)?;
    tracing::info!("logged in organization={}", session.organization);
    let mut response = with_secret(StatusCode::OK, View::of(&session));
    let cookie = cookie(Some(secret.expose_secret()), app.sessions.lifetime(), client.is_https());
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}

pub(super) async fn who(session: Session) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(View::of(&session))).into_response()
}

pub(super) async fn log_out(
    session: Session,
    State(sessions): State<Sessions>,
    Extension(client): Extension<ClientInfo>,
    request: Request,
) -> Result<(StatusCode, HeaderMap), ApiError> {
    own_origin(&request)?;
    Form::read(request).await?;
    sessions.end(&session);
    tracing::info!("logged out organization={}", session.organization);
    let ended = [(SET_COOKIE, cookie(None, sessions.lifetime(), client.is_https()))];
    let headers =
        HeaderMap::from_iter(ended.into_iter().chain([(CACHE_CONTROL, HeaderValue::from_static("no-store"))]));
    Ok((StatusCode::NO_CONTENT, headers))
}

fn own_origin(request: &Request) -> Result<(), ApiError> {
    let foreign = || ApiError::Other(StatusCode::FORBIDDEN, "This request comes from another site.".into());
    is_same_origin(request).then_some(()).ok_or_else(foreign)
}

impl View {
    fn of(session: &Session) -> Self {
        Self { email: session.email.as_ref().into(), expires_at: rfc3339(session.expires_at) }
    }
}

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let missing = || ApiError::Other(StatusCode::UNAUTHORIZED, "You are not logged in.".into());
        parts.extensions.get().cloned().ok_or_else(missing)
    }
}
