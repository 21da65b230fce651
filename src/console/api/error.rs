use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;

use super::super::ConsoleBody;
use super::json;
use crate::error_chain::error_chain;
use crate::manage::ManageError;
use crate::rejection::Outage;
use crate::rejection::reason::Rejection;

/// Every response that is not a success. No text repeats what a client sent, which may be a secret in the wrong place.
pub(super) enum ApiError {
    Rejected(Rejection),
    /// A response that is ready.
    Response(Box<Response<Bytes>>),
    Detail(StatusCode, &'static str),
    /// What is wrong with each field.
    Fields(FieldErrors),
}

pub(super) type FieldErrors = BTreeMap<&'static str, Vec<String>>;

#[derive(Serialize)]
struct Detail<T> {
    detail: T,
}

impl ApiError {
    pub(super) const NOT_FOUND: Self = Self::Rejected(Rejection::NotFound);

    pub(super) const fn bad_request(detail: &'static str) -> Self {
        Self::Detail(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn field(name: &'static str, message: impl Into<String>) -> Self {
        Self::Fields(BTreeMap::from([(name, vec![message.into()])]))
    }

    /// The store gave no answer. The log has the cause.
    pub(super) fn unavailable(cause: impl std::fmt::Display) -> Self {
        tracing::error!("the console cannot use the key store, answering 503: {cause}");
        Self::Rejected(Outage::Failed.into())
    }

    pub(super) fn into_response(self) -> Response<ConsoleBody> {
        match self {
            Self::Rejected(rejection) => rejection.to_response().map(ConsoleBody::new),
            Self::Response(response) => response.map(ConsoleBody::new),
            Self::Detail(status, detail) => json(status, &Detail { detail }),
            Self::Fields(detail) => json(StatusCode::BAD_REQUEST, &Detail { detail }),
        }
    }
}

impl From<Box<Response<Bytes>>> for ApiError {
    fn from(response: Box<Response<Bytes>>) -> Self {
        Self::Response(response)
    }
}

impl From<ManageError> for ApiError {
    fn from(error: ManageError) -> Self {
        match error {
            ManageError::NotFound => Self::NOT_FOUND,
            ManageError::Conflict => Self::Detail(StatusCode::CONFLICT, "The key is revoked, replaced or suspended."),
            ManageError::TooManyKeys => {
                Self::Detail(StatusCode::CONFLICT, "There are as many active keys as there may be. Revoke one first.")
            }
            ManageError::ExpiryInPast => Self::field("expires_at", "This time is in the past."),
            ManageError::ExpiryTooLate => Self::field("expires_at", "A key may not live this long."),
            ManageError::ExpiryRequired => Self::field("expires_at", "A key must expire."),
            ManageError::WouldExtend => Self::field("expires_at", "A key can only expire sooner."),
            ManageError::WouldWiden => Self::field("scopes", "A key cannot get more scopes."),
            ManageError::TooManyScopes => Self::field("scopes", sentence(&error)),
            ManageError::UnknownScope(_) => Self::field("scopes", super::fields::UNKNOWN_SCOPE),
            ManageError::ScopeNotGranted(_) => Self::field("scopes", "A scope is not granted to new keys."),
            ManageError::FullAccessNotGranted => Self::field("full_access", sentence(&error)),
            ManageError::WouldWidenNetworks => Self::field("allowed_networks", "A key cannot get more networks."),
            ManageError::InvalidName => Self::field("name", sentence(&error)),
            ManageError::InvalidMetadata(_) => Self::field("metadata", sentence(&error)),
            ManageError::UnknownEnvironment(_) => Self::field("environment", "No key has this environment."),
            ManageError::Unstorable(_) => Self::bad_request("The database cannot store this text."),
            error => Self::unavailable(error_chain(&error)),
        }
    }
}

/// Writes the text of an error as a sentence.
pub(super) fn sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}
