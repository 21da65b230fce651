//! The calls.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use http::request::Parts;
use http::{Response, StatusCode};
use http_body::Body;

use super::super::ConsoleBody;
use super::super::asker::Asker;
use super::error::ApiError;
use super::form::Form;
use super::query::Query;
use super::view::{Issued, Page, View};
use super::{Shared, access, fields, json};
use crate::ApiKey;
use crate::error_chain::panic_text;
use crate::key::{KeyId, KeyRecord, OrganizationId};
use crate::manage::manager::KeyManager;
use crate::manage::new_key::NewKey;
use crate::manage::{InvalidNewKey, IssuedKey, ManageError, RegenerateOptions};
use crate::request::RequestHead;
use crate::rfc3339;
use crate::store::{Cursor, DynKeyBackend, Expiry, KeyUpdate, ListKeys};

type Answer = Result<Response<ConsoleBody>, ApiError>;

/// A request of someone who may manage keys.
pub(super) struct Call<'a> {
    shared: &'a Shared,
    parts: &'a Parts,
    asker: Asker,
    /// `None` for all.
    organization: Option<OrganizationId>,
    query: Query<'a>,
}

impl<'a> Call<'a> {
    pub(super) fn new(shared: &'a Shared, parts: &'a Parts, asker: Asker) -> Result<Self, ApiError> {
        let query = Query::parse(parts.uri.query().unwrap_or_default())?;
        let organization = organization(&asker, query.get("organization"))?;
        Ok(Self { shared, parts, asker, organization, query })
    }

    pub(super) async fn list(self) -> Answer {
        let query = self.list_query()?;
        let keys = &self.shared.keys;
        let page = match &self.organization {
            Some(organization) => self.managed(keys.list(organization, &query)).await?,
            None => self.managed(keys.list_all(&query)).await?,
        };
        let results = page.keys.iter().map(|record| self.view(record)).collect();
        let next = page.next.map(|cursor| self.query.with_cursor(cursor));
        Ok(json(StatusCode::OK, &Page { next, previous: None, results }))
    }

    fn list_query(&self) -> Result<ListKeys, ApiError> {
        let mut list = ListKeys::new();
        if let Some(limit) = self.query.get("limit") {
            let limit = limit.parse().ok().filter(|&limit| limit > 0);
            list = list.with_limit(limit.ok_or_else(|| ApiError::field("limit", WHOLE))?);
        }
        if let Some(cursor) = self.query.get("cursor") {
            let cursor: Result<Cursor, _> = cursor.parse();
            list = list.with_after(cursor.map_err(|_| ApiError::field("cursor", "Invalid cursor."))?);
        }
        if let Some(status) = self.query.get("status") {
            let status = status.parse().map_err(|_| ApiError::field("status", STATUS))?;
            list = list.with_status(status);
        }
        if let Some(environment) = self.query.get("environment") {
            let environment = environment
                .parse()
                .map_err(|_| ApiError::field("environment", fields::unknown_environment(self.shared.keys.rules())))?;
            list = list.with_environment(environment);
        }
        if let Some(text) = self.query.get("search") {
            list = list.with_search(text);
        }
        if let Some(actor) = self.query.get("created_by") {
            list = list.with_created_by(actor);
        }
        if let Some(time) = self.query.get("expires_before") {
            let time =
                rfc3339::parse(time).ok_or_else(|| ApiError::field("expires_before", "Not a time of RFC 3339."))?;
            list = list.with_expires_before(time);
        }
        Ok(list)
    }

    pub(super) async fn read(self, id: KeyId) -> Answer {
        let record = self.managed(self.shared.keys.get(self.organization()?, id)).await?;
        Ok(json(StatusCode::OK, &self.view(&record)))
    }

    pub(super) async fn create<B: Body>(self, body: B) -> Answer {
        let mut form = self.form(body).await?;
        let rules = self.shared.keys.rules();
        let name = form.text("name", NewKey::MAX_NAME_LEN);
        let access = access::access(&mut form);
        let expires_at = fields::expires_at(&mut form, self.shared.clock.now());
        let metadata = fields::metadata(&mut form).unwrap_or_default();
        let networks = fields::networks(&mut form).unwrap_or_default();
        let environment = fields::environment(&mut form, rules);
        form.check()?;

        let new = NewKey::new(name, access).map_err(|error| match error {
            InvalidNewKey::Name => ApiError::from(ManageError::InvalidName),
            _ => ManageError::TooManyScopes.into(),
        })?;
        let new = new.with_expires_at(expires_at).with_metadata(metadata).with_networks(networks);
        let new = new.with_environment(environment);
        let issued = self.managed(self.keys().issue(self.organization()?, new)).await?;
        Ok(self.shown_once(&issued))
    }

    pub(super) async fn update<B: Body>(self, id: KeyId, body: B) -> Answer {
        let mut form = self.form(body).await?;
        let mut update = KeyUpdate::new();
        if form.has("name") {
            update = update.with_name(form.text("name", NewKey::MAX_NAME_LEN));
        }
        if let Some(metadata) = fields::metadata(&mut form) {
            update = update.with_metadata(metadata);
        }
        if let Some(scopes) = access::scopes(&mut form, self.shared.keys.rules()) {
            update = update.with_scopes(scopes);
        }
        if let Some(time) = fields::expires_at(&mut form, self.shared.clock.now()) {
            update = update.with_expires_at(time);
        }
        if let Some(suspended) = form.boolean("suspended") {
            update = update.with_suspended(suspended);
        }
        if let Some(networks) = fields::networks(&mut form) {
            update = update.with_networks(networks);
        }
        form.check()?;

        let record = self.managed(self.keys().update(self.organization()?, id, update)).await?;
        Ok(json(StatusCode::OK, &self.view(&record)))
    }

    pub(super) async fn revoke<B: Body>(self, id: KeyId, body: B) -> Answer {
        self.optional_form(body).await?;
        let record = self.managed(self.keys().revoke(self.organization()?, id)).await?;
        Ok(json(StatusCode::OK, &self.view(&record)))
    }

    pub(super) async fn regenerate<B: Body>(self, id: KeyId, body: B) -> Answer {
        let mut form = self.optional_form(body).await?;
        let expiry = fields::expires_at(&mut form, self.shared.clock.now()).map_or(Expiry::SameLifetime, Expiry::At);
        let overlap = Duration::from_secs(form.number("overlap_seconds").unwrap_or(0));
        form.check()?;

        let options = RegenerateOptions::new().with_expiry(expiry).with_overlap(overlap);
        let issued = self.managed(self.keys().regenerate(self.organization()?, id, options)).await?;
        Ok(self.shown_once(&issued))
    }

    /// Returns a manager of the same keys, whose changes the audit trail records as this caller's.
    fn keys(&self) -> KeyManager<DynKeyBackend> {
        self.shared.keys.on_behalf_of(Arc::clone(&self.asker.actor))
    }

    /// Returns the one organization that a call is about.
    fn organization(&self) -> Result<&OrganizationId, ApiError> {
        let missing = || ApiError::field("organization", "Name the organization of the key.");
        self.organization.as_ref().ok_or_else(missing)
    }

    async fn form<B: Body>(&self, body: B) -> Result<Form, ApiError> {
        self.arrived(Form::read(self.parts, body)).await
    }

    async fn optional_form<B: Body>(&self, body: B) -> Result<Form, ApiError> {
        self.arrived(Form::read_optional(self.parts, body, self.asker.is_operator)).await
    }

    async fn arrived(&self, form: impl Future<Output = Result<Form, ApiError>>) -> Result<Form, ApiError> {
        let late = ApiError::Detail(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time.");
        let form = tokio::time::timeout(self.shared.timeout, form).await.unwrap_or(Err(late))?;
        // A client decides how long its body takes. A key that was revoked meanwhile must not make another one.
        if let Some(key) = self.parts.extensions.get::<ApiKey>() {
            let checked = key.check_again(RequestHead::of_parts(self.parts)).await;
            checked.map_err(|rejected| ApiError::from(Box::new(rejected.respond())))?;
        }
        Ok(form)
    }

    /// Waits for the store, which may fall silent without an error, or panic.
    async fn managed<T>(&self, work: impl Future<Output = Result<T, ManageError>>) -> Result<T, ApiError> {
        let work = AssertUnwindSafe(work).catch_unwind();
        match tokio::time::timeout(self.shared.timeout, work).await {
            Ok(Ok(answer)) => answer.map_err(Into::into),
            Ok(Err(panic)) => Err(ApiError::unavailable(panic_text(&*panic))),
            Err(elapsed) => Err(ApiError::unavailable(elapsed)),
        }
    }

    fn view<'r>(&self, record: &'r KeyRecord) -> View<'r> {
        View::of(record, self.shared.clock.now(), self.asker.organization.is_none())
    }

    fn shown_once(&self, issued: &IssuedKey) -> Response<ConsoleBody> {
        let issued = Issued { view: self.view(&issued.record), api_key: issued.secret.expose_secret() };
        json(StatusCode::CREATED, &issued)
    }
}

const WHOLE: &str = "A whole number from 1 on is required.";
const STATUS: &str = "active, suspended, expired or revoked.";

/// Returns the organization that a call is about, `None` for all. Another one than the caller's is not found.
fn organization(asker: &Asker, named: Option<&str>) -> Result<Option<OrganizationId>, ApiError> {
    let own = asker.organization.as_ref();
    match (own, named) {
        (Some(own), Some(named)) if own.as_str() != named => Err(ApiError::NOT_FOUND),
        (None, Some(named)) => match named.parse() {
            Ok(named) => Ok(Some(named)),
            Err(_) => Err(ApiError::field("organization", "Not the id of an organization.")),
        },
        (own, _) => Ok(own.cloned()),
    }
}
