use axum::Json;
use axum::extract::{FromRequestParts, OriginalUri, Query};
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use serde::Serialize;
use tower_api_key::client::ClientInfo;
use utoipa::ToSchema;

use crate::reply::ApiError;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// The query of a list, such as `?limit=20&cursor=40&status=active`, and the reply to it.
pub(crate) struct Listing {
    limit: usize,
    parameters: Vec<(String, String)>,
    /// The address of this list with everything but the cursor.
    url: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The address of the next page.
    next: Option<String>,
    /// The address of the page before.
    previous: Option<String>,
    results: Vec<T>,
}

impl Listing {
    /// What the client gave for this parameter: the last one, as `next` and `previous` append theirs.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(given, _)| given == name).map(|(_, value)| &**value)
    }

    /// A page of a list that only ever grows at its end: its cursors are positions.
    pub(crate) fn page<T>(&self, all: Vec<T>) -> Result<Json<Page<T>>, ApiError> {
        let parse = |text: &str| text.parse::<usize>().map_err(|_| ApiError::field("cursor", "Invalid cursor."));
        let (start, total) = (self.parameter("cursor").map(parse).transpose()?.unwrap_or(0), all.len());
        let results = all.into_iter().skip(start).take(self.limit).collect();
        let next = start.checked_add(self.limit).filter(|&end| end < total);
        let previous = (start > 0).then(|| start.saturating_sub(self.limit));
        let url = |cursor| format!("{}cursor={cursor}", self.url);
        Ok(Json(Page { next: next.map(url), previous: previous.map(url), results }))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Listing {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Ok(OriginalUri(uri)) = OriginalUri::from_request_parts(parts, state).await;
        let unreadable = |_| ApiError::bad_request("The query could not be read.");
        let Query(parameters) = Query::<Vec<(String, String)>>::try_from_uri(&uri).map_err(unreadable)?;
        let scheme =
            if parts.extensions.get::<ClientInfo>().is_some_and(ClientInfo::is_https) { "https" } else { "http" };
        let url =
            format!("{scheme}://{}{}?{}", host(parts), uri.path(), without_cursor(uri.query().unwrap_or_default()));
        let mut listing = Self { limit: DEFAULT_LIMIT, parameters, url };
        if let Some(limit) = listing.parameter("limit") {
            let limit = limit.parse().ok().filter(|&limit| limit > 0);
            let limit = limit.ok_or_else(|| ApiError::field("limit", "A whole number from 1 on is required."))?;
            listing.limit = MAX_LIMIT.min(limit);
        }
        Ok(listing)
    }
}

/// The name by which the client knows this server.
fn host(parts: &Parts) -> String {
    let header = parts.headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let authority = header.or_else(|| parts.uri.authority().cloned());
    authority.map_or_else(|| "localhost".to_owned(), |authority| authority.to_string())
}

/// The query as the client wrote it, ready for another cursor at its end.
fn without_cursor(query: &str) -> String {
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    kept.flat_map(|pair| [pair, "&"]).collect()
}
