//! What goes wrong, in the documented form: `{"detail": ...}`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tower_api_key::Rejection;
use tower_api_key::manage::ManageError;
use tower_api_key::rejection::Outage;

use crate::store::causes;

/// Every reply that is not a success.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// In the words of the key layer.
    Rejected(Rejection),
    Other(StatusCode, String),
    /// What is wrong with each field of a form.
    Fields(FieldErrors),
}

pub(crate) type FieldErrors = BTreeMap<&'static str, Vec<String>>;

#[derive(Serialize)]
struct Detail<T> {
    detail: T,
}

impl ApiError {
    pub(crate) const NOT_FOUND: Self = Self::Rejected(Rejection::NotFound);

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::Other(StatusCode::BAD_REQUEST, detail.into())
    }

    pub(crate) fn field(name: &'static str, message: impl Into<String>) -> Self {
        Self::Fields(BTreeMap::from([(name, vec![message.into()])]))
    }

    /// For what the database did not do, whatever it was.
    pub(crate) fn unavailable(cause: impl std::error::Error + 'static) -> Self {
        tracing::error!("answering 503: {}", causes(&cause));
        Self::Rejected(Outage::Failed.into())
    }

    /// For what the log explains and the client cannot help.
    pub(crate) fn internal(cause: impl std::error::Error) -> Self {
        tracing::error!("answering 500: {cause}");
        Self::Other(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error.".into())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let no_store = [(CACHE_CONTROL, "no-store")];
        match self {
            Self::Rejected(rejection) => rejection.to_response().map(Body::from),
            Self::Other(status, detail) => (status, no_store, Json(Detail { detail })).into_response(),
            Self::Fields(detail) => (StatusCode::BAD_REQUEST, no_store, Json(Detail { detail })).into_response(),
        }
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<ManageError> for ApiError {
    fn from(error: ManageError) -> Self {
        match error {
            ManageError::Unstorable(_) => Self::bad_request("The database cannot store this text."),
            failed @ ManageError::Store(_) => Self::unavailable(failed),
            other => Self::internal(other),
        }
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Self::unavailable(error)
    }
}

/// Waits for a database, for as long as a client would. A connection may fall silent without an error.
pub(crate) async fn in_time<T, E: Into<ApiError>>(asking: impl Future<Output = Result<T, E>>) -> Result<T, ApiError> {
    const PATIENCE: Duration = Duration::from_secs(10);
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(elapsed) => Err(ApiError::unavailable(elapsed)),
    }
}

pub(crate) async fn not_found() -> ApiError {
    ApiError::NOT_FOUND
}

/// What is named in a path. A name that cannot be read names nothing.
#[derive(FromRequestParts)]
#[from_request(via(Path), rejection(ApiError))]
pub(crate) struct Named<T>(pub(crate) T);

impl From<PathRejection> for ApiError {
    fn from(_: PathRejection) -> Self {
        Self::NOT_FOUND
    }
}

/// A success that shows a key, which nothing on the way may keep.
pub(crate) fn with_secret(status: StatusCode, body: impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
