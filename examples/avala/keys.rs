//! Managing keys: list, create, revoke, regenerate. The handlers ask only who is calling, so that they serve
//! under any key layer whose keys belong to an organization.

use std::time::SystemTime;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::Value;
use tower_api_key::key::{KeyId, KeyRecord};
use tower_api_key::manage::IssuedKey;
use tower_api_key::scope::ScopeSet;
use tower_api_key::store::{Expiry, ListKeys};
use tower_api_key::{Access, ApiKey, NewKey, Scope};
use utoipa::ToSchema;

use crate::app::App;
use crate::form::Form;
use crate::listing::{Listing, Page};
use crate::reply::{ApiError, Named, in_time, with_secret};
use crate::store::Keys;
use crate::time::{self, rfc3339};

pub(crate) fn routes(prefix: &str) -> Router<App> {
    Router::new()
        .route(&format!("{prefix}/"), get(list).post(create))
        .route(&format!("{prefix}/{{uid}}/revoke/"), post(revoke))
        .route(&format!("{prefix}/{{uid}}/regenerate/"), post(regenerate))
}

/// What its owner sees of a key.
#[derive(Serialize, ToSchema)]
pub(crate) struct View {
    #[schema(format = "uuid")]
    uid: String,
    name: String,
    hint: String,
    full_access: bool,
    scopes: Vec<String>,
    #[schema(format = "date-time")]
    created_at: String,
    /// When the key stops working, be it for its own expiry or for the organization's maximum age.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    #[schema(format = "date-time")]
    last_used_at: Option<String>,
    #[schema(format = "date-time")]
    revoked_at: Option<String>,
    #[schema(pattern = "^(active|expired|revoked)$")]
    status: &'static str,
}

/// A new key, the only time it is shown.
#[derive(Serialize, ToSchema)]
pub(crate) struct Issued<'a> {
    #[serde(flatten)]
    view: View,
    api_key: &'a str,
}

async fn list(key: ApiKey, keys: State<Keys>, listing: Listing) -> Result<Json<Page<View>>, ApiError> {
    let mut query = ListKeys::new().with_limit(listing.limit()).with_after(listing.cursor()?);
    if let Some(status) = listing.parameter("status") {
        let status = status.parse().map_err(|_| ApiError::field("status", "active, expired or revoked."))?;
        query = query.with_status(status);
    }
    let page = in_time(keys.list(key.organization(), &query)).await?;
    let results = page.keys.iter().map(|record| View::of(record)).collect();
    Ok(listing.reply(results, page.next.map(|next| next.to_string()), None))
}

async fn create(key: ApiKey, keys: State<Keys>, request: Request) -> Result<Response, ApiError> {
    let mut form = Form::read(request).await?;
    let name = form.text("name", NewKey::MAX_NAME_LEN);
    let access = access(&mut form);
    let expires_at = expires_at(&mut form);
    form.check()?;

    let new = NewKey::new(name, access).map_err(|error| ApiError::field("name", format!("{error}.")))?;
    let issued = in_time(asked_by(&key, &keys).issue(key.organization(), new.with_expires_at(expires_at))).await?;
    Ok(shown_once(&issued))
}

async fn revoke(key: ApiKey, keys: State<Keys>, Named(uid): Named<String>) -> Result<Json<View>, ApiError> {
    let record = in_time(asked_by(&key, &keys).revoke(key.organization(), id(&uid)?)).await?;
    Ok(Json(View::of(&record)))
}

async fn regenerate(
    key: ApiKey,
    keys: State<Keys>,
    Named(uid): Named<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let mut form = Form::read_optional(request).await?;
    let expiry = expires_at(&mut form).map_or(Expiry::SameLifetime, Expiry::At);
    form.check()?;

    let issued = in_time(asked_by(&key, &keys).regenerate(key.organization(), id(&uid)?, expiry)).await?;
    Ok(shown_once(&issued))
}

/// Returns a manager of the same keys, whose changes the audit trail records as this caller's.
fn asked_by(caller: &ApiKey, keys: &Keys) -> Keys {
    keys.on_behalf_of(caller.id().to_string())
}

fn shown_once(issued: &IssuedKey) -> Response {
    let issued = Issued { view: View::of(&issued.record), api_key: issued.secret.expose_secret() };
    with_secret(StatusCode::CREATED, issued)
}

/// What is no id at all is the id of no key.
fn id(uid: &str) -> Result<KeyId, ApiError> {
    uid.parse().map_err(|_| ApiError::NOT_FOUND)
}

/// Full access has to be asked for by name: no list of scopes, however empty, turns into it.
fn access(form: &mut Form) -> Access {
    let full = match form.take("full_access") {
        None => false,
        Some(Value::Bool(full)) => full,
        Some(_) => {
            form.wrong("full_access", "Must be a valid boolean.");
            return Access::Full;
        }
    };
    match (full, form.take("scopes")) {
        (true, None) => return Access::Full,
        (true, Some(_)) => form.wrong("scopes", "A key has scopes or full access, not both."),
        (false, None) => form.wrong("scopes", "Give at least one scope, or ask for \"full_access\": true."),
        (false, Some(scopes)) => return Access::Scoped(scope_set(form, scopes)),
    }
    Access::scoped([])
}

fn scope_set(form: &mut Form, scopes: Value) -> ScopeSet {
    let Value::Array(scopes) = scopes else {
        form.wrong("scopes", "Expected a list of scopes.");
        return ScopeSet::empty();
    };
    if scopes.is_empty() {
        form.wrong("scopes", "This list may not be empty.");
    }
    let scopes: Option<ScopeSet> = scopes.iter().map(|scope| Scope::new(scope.as_str()?).ok()).collect();
    scopes.unwrap_or_else(|| {
        form.wrong("scopes", "Not a scope of this API.");
        ScopeSet::empty()
    })
}

fn expires_at(form: &mut Form) -> Option<SystemTime> {
    let text = form.optional_text("expires_at", 100)?;
    match time::parse(&text) {
        None => form.wrong("expires_at", "Not a time of RFC 3339, such as 2026-11-24T10:00:00Z."),
        Some(time) if time <= SystemTime::now() => form.wrong("expires_at", "This time is in the past."),
        time => return time,
    }
    None
}

impl View {
    fn of(record: &KeyRecord) -> Self {
        let scopes = record.access().scopes().into_iter().flat_map(ScopeSet::iter);
        Self {
            uid: record.id().to_string(),
            name: record.name().into(),
            hint: record.hint().to_string(),
            full_access: record.access().is_full(),
            scopes: scopes.map(|scope| scope.as_str().into()).collect(),
            created_at: rfc3339(record.created_at()),
            expires_at: record.valid_until().map(rfc3339),
            last_used_at: record.last_used_at().map(rfc3339),
            revoked_at: record.revoked_at().map(rfc3339),
            status: record.status(SystemTime::now()).as_str(),
        }
    }
}
