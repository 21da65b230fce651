//! Managing keys. The handlers ask only who is calling, so that they serve under any key layer whose keys belong to an
//! organization.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use tower_api_key::key::{KeyId, KeyRecord};
use tower_api_key::manage::{IssuedKey, RegenerateOptions};
use tower_api_key::scope::ScopeSet;
use tower_api_key::store::{Expiry, KeyUpdate, ListKeys};
use tower_api_key::{ApiKey, NewKey};
use utoipa::ToSchema;

use crate::app::App;
use crate::fields;
use crate::form::Form;
use crate::listing::{Listing, Page};
use crate::reply::{ApiError, Named, in_time, with_secret};
use crate::store::Keys;
use crate::time::{self, rfc3339};

pub(crate) fn routes(prefix: &str) -> Router<App> {
    Router::new()
        .route(&format!("{prefix}/"), get(list).post(create))
        .route(&format!("{prefix}/{{uid}}/"), get(read).patch(update))
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
    /// `live` or `test`; null for a key that was issued elsewhere.
    environment: Option<String>,
    full_access: bool,
    scopes: Vec<String>,
    /// The networks that the key may be used from; null for any.
    allowed_networks: Option<Vec<String>>,
    metadata: BTreeMap<String, String>,
    #[schema(format = "date-time")]
    created_at: String,
    /// The e-mail address of the account, or the uid of the key, that made this one.
    created_by: Option<String>,
    /// When the key stops working, be it for its own expiry or for the organization's maximum age.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    #[schema(format = "date-time")]
    last_used_at: Option<String>,
    request_count: u64,
    suspended: bool,
    #[schema(format = "date-time")]
    revoked_at: Option<String>,
    /// The uid of the key that replaced this one.
    #[schema(format = "uuid")]
    replaced_by: Option<String>,
    #[schema(pattern = "^(active|suspended|expired|revoked)$")]
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
        let status = status.parse().map_err(|_| ApiError::field("status", "active, suspended, expired or revoked."))?;
        query = query.with_status(status);
    }
    if let Some(environment) = listing.parameter("environment") {
        let known = environment.parse().map_err(|_| ApiError::field("environment", fields::UNKNOWN_ENVIRONMENT))?;
        query = query.with_environment(known);
    }
    if let Some(text) = listing.parameter("search") {
        query = query.with_search(text);
    }
    if let Some(actor) = listing.parameter("created_by") {
        query = query.with_created_by(actor);
    }
    if let Some(time) = listing.parameter("expires_before") {
        let time = time::parse(time).ok_or_else(|| ApiError::field("expires_before", "Not a time of RFC 3339."))?;
        query = query.with_expires_before(time);
    }
    let page = in_time(keys.list(key.organization(), &query)).await?;
    let results = page.keys.iter().map(|record| View::of(record)).collect();
    Ok(listing.reply(results, page.next.map(|next| next.to_string()), None))
}

async fn read(key: ApiKey, keys: State<Keys>, Named(uid): Named<String>) -> Result<Json<View>, ApiError> {
    let record = in_time(keys.get(key.organization(), id(&uid)?)).await?;
    Ok(Json(View::of(&record)))
}

async fn create(key: ApiKey, keys: State<Keys>, request: Request) -> Result<Response, ApiError> {
    let mut form = Form::read(request).await?;
    let name = form.text("name", NewKey::MAX_NAME_LEN);
    let access = fields::access(&mut form);
    let expires_at = fields::expires_at(&mut form);
    let metadata = fields::metadata(&mut form).unwrap_or_default();
    let networks = fields::networks(&mut form).unwrap_or_default();
    let environment = fields::environment(&mut form);
    form.check()?;

    let new = NewKey::new(name, access).map_err(|error| ApiError::field("name", format!("{error}.")))?;
    let new = new.with_expires_at(expires_at).with_metadata(metadata).with_networks(networks);
    let new = new.with_environment(environment);
    let issued = in_time(asked_by(&key, &keys).issue(key.organization(), new)).await?;
    Ok(shown_once(&issued))
}

async fn update(
    key: ApiKey,
    keys: State<Keys>,
    Named(uid): Named<String>,
    request: Request,
) -> Result<Json<View>, ApiError> {
    let mut form = Form::read(request).await?;
    let mut update = KeyUpdate::new();
    if form.has("name") {
        update = update.with_name(form.text("name", NewKey::MAX_NAME_LEN));
    }
    if let Some(metadata) = fields::metadata(&mut form) {
        update = update.with_metadata(metadata);
    }
    if let Some(scopes) = fields::scopes(&mut form) {
        update = update.with_scopes(scopes);
    }
    if let Some(time) = fields::expires_at(&mut form) {
        update = update.with_expires_at(time);
    }
    if let Some(suspended) = form.boolean("suspended") {
        update = update.with_suspended(suspended);
    }
    if let Some(networks) = fields::networks(&mut form) {
        update = update.with_networks(networks);
    }
    form.check()?;

    let record = in_time(asked_by(&key, &keys).update(key.organization(), id(&uid)?, update)).await?;
    Ok(Json(View::of(&record)))
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
    let expiry = fields::expires_at(&mut form).map_or(Expiry::SameLifetime, Expiry::At);
    let overlap = Duration::from_secs(form.number("overlap_seconds").unwrap_or(0));
    form.check()?;

    let options = RegenerateOptions::new().with_expiry(expiry).with_overlap(overlap);
    let issued = in_time(asked_by(&key, &keys).regenerate(key.organization(), id(&uid)?, options)).await?;
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

fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

impl View {
    fn of(record: &KeyRecord) -> Self {
        let scopes = record.access().scopes().into_iter().flat_map(ScopeSet::iter);
        Self {
            uid: record.id().to_string(),
            name: record.name().into(),
            hint: record.hint().to_string(),
            environment: record.environment().map(ToString::to_string),
            full_access: record.access().is_full(),
            scopes: scopes.map(|scope| scope.as_str().into()).collect(),
            allowed_networks: record.networks().networks().map(texts),
            metadata: record.metadata().iter().map(|(name, value)| (name.into(), value.into())).collect(),
            created_at: rfc3339(record.created_at()),
            created_by: record.created_by().map(Into::into),
            expires_at: record.valid_until().map(rfc3339),
            last_used_at: record.last_used_at().map(rfc3339),
            request_count: record.request_count(),
            suspended: record.is_suspended(),
            revoked_at: record.revoked_at().map(rfc3339),
            replaced_by: record.replaced_by().map(|id| id.to_string()),
            status: record.status(SystemTime::now()).as_str(),
        }
    }
}
