//! A record as it is written by hand, and what is checked of it.

use std::collections::HashSet;
use std::time::SystemTime;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::keys;

#[derive(Clone)]
#[expect(dead_code, reason = "a handler would read them")]
pub(crate) struct Record {
    id: u64,
    name: String,
    scopes: HashSet<String>,
    expires_at: Option<SystemTime>,
    revoked: bool,
}

impl Record {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            id: number,
            name: keys::name(number),
            scopes: ["datasets.read", "projects.read"].map(str::to_owned).into(),
            expires_at: Some(keys::tomorrow()),
            revoked: false,
        }
    }
}

fn deny(status: StatusCode, detail: &'static str) -> Response {
    (status, Json(json!({ "detail": detail }))).into_response()
}

pub(super) fn missing() -> Response {
    deny(StatusCode::UNAUTHORIZED, "Authentication credentials were not provided.")
}

pub(super) fn invalid() -> Response {
    deny(StatusCode::UNAUTHORIZED, "Invalid API key.")
}

#[expect(clippy::result_large_err, reason = "as it is written by hand")]
pub(super) fn check(record: &Record, scope: &str) -> Result<(), Response> {
    if record.revoked {
        return Err(invalid());
    }
    if record.expires_at.is_some_and(|time| time <= SystemTime::now()) {
        return Err(deny(StatusCode::UNAUTHORIZED, "API key has expired."));
    }
    if !record.scopes.is_empty() && !record.scopes.contains(scope) {
        return Err(deny(StatusCode::FORBIDDEN, "You do not have permission to perform this action."));
    }
    Ok(())
}
