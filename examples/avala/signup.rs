use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use tower_api_key::manage::IssuedKey;
use tower_api_key::{Access, NewKey, OrganizationId};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::accounts::{Account, User};
use crate::app::App;
use crate::data::{Organization, new_uid};
use crate::form::Form;
use crate::policy;
use crate::reply::{ApiError, in_time, with_secret};

pub(crate) const LONGEST_EMAIL: usize = 254;
pub(crate) const SHORTEST_PASSWORD: usize = 8;
/// Longer ones only cost time: no one types them.
pub(crate) const LONGEST_PASSWORD: usize = 1000;
pub(crate) const LONGEST_NAME: usize = 150;
/// Whom the audit trail names where there is no key yet.
const ACTOR: &str = "signup";

#[derive(Serialize, ToSchema)]
pub(crate) struct SignedUp<'a> {
    user: &'a User,
    api_key: &'a str,
}

/// A new user with an organization of their own, and its first key, which has full access.
pub(crate) async fn sign_up(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let mut form = Form::read(request).await?;
    let email = form.text("email", LONGEST_EMAIL);
    if !email.is_empty() && !is_email(&email) {
        form.wrong("email", "Enter a valid email address.");
    }
    let password = Zeroizing::new(form.text("password", LONGEST_PASSWORD));
    if (1..SHORTEST_PASSWORD).contains(&password.chars().count()) && !password.trim().is_empty() {
        form.wrong("password", format!("Ensure this field has at least {SHORTEST_PASSWORD} characters."));
    }
    let first_name = form.optional_text("first_name", LONGEST_NAME).unwrap_or_default();
    let last_name = form.optional_text("last_name", LONGEST_NAME).unwrap_or_default();
    form.check()?;

    // Asked before the expensive part; `add` has the last word.
    if app.accounts.find(&email).await?.is_some() {
        return Err(taken());
    }
    let password_hash = app.passwords.hash(password).await.map_err(ApiError::internal)?;
    let uid = new_uid().map_err(ApiError::internal)?;
    let username = username(&email, &uid);
    let organization = OrganizationId::new(&uid).map_err(ApiError::internal)?;
    let first_data = Organization::for_signup(&username).map_err(ApiError::internal)?;
    let account = Account { user: User { uid, username, email, first_name, last_name }, password_hash };
    // First the key, which no one knows until the reply is sent, and then the account: whatever comes in between, no account
    // is left without a key.
    let issued = first_key(&app, &organization, &account.user.email).await?;
    let added = app.accounts.add(&account, &first_data).await;
    if !matches!(added, Ok(true)) {
        discard(&app, &issued).await;
    }
    if !added? {
        return Err(taken());
    }
    tracing::info!("signed up organization={organization} key={}", issued.record.id());
    Ok(with_secret(StatusCode::CREATED, SignedUp { user: &account.user, api_key: issued.secret.expose_secret() }))
}

async fn first_key(app: &App, organization: &OrganizationId, email: &str) -> Result<IssuedKey, ApiError> {
    in_time(policy::demand(&app.keys.on_behalf_of(ACTOR), organization, app.max_key_age)).await?;
    let keys = app.keys.on_behalf_of(email);
    let new = NewKey::new("Sign up", Access::Full).map_err(ApiError::internal)?;
    in_time(keys.issue(organization, new)).await
}

/// A key that will never be shown to anybody. It would be no harm if it stayed.
async fn discard(app: &App, issued: &IssuedKey) {
    let record = &issued.record;
    let keys = app.keys.on_behalf_of(ACTOR);
    if in_time(keys.revoke(record.organization(), record.id())).await.is_err() {
        tracing::warn!("cannot revoke key={}, which no client has seen", record.id());
    }
}

/// As Avala answers. It shows that the address has an account; the limit keeps a search slow.
fn taken() -> ApiError {
    ApiError::bad_request("Email already registered.")
}

/// Whether mail could go there. Only mail that arrives proves that it does.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let blank = |c: char| c.is_whitespace() || c.is_control();
    !local.is_empty()
        && !text.contains(blank)
        && !domain.contains('@')
        && domain.contains('.')
        && domain.split('.').all(|label| !label.is_empty())
}

/// The part before the `@`, in characters that need no escaping in a URL, and enough of the uid to distinguish two people of
/// the same name.
fn username(email: &str, uid: &str) -> String {
    let local = email.split('@').next().unwrap_or_default().to_lowercase();
    let name: String = local.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let suffix = uid.split('-').next().unwrap_or_default();
    format!("{name}-{suffix}")
}
