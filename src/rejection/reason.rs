use http::StatusCode;

use crate::decision::Denial;

/// Why a request was rejected.
///
/// The client learns only [`status`](Self::status) and [`detail`](Self::detail), in which an unknown, a revoked
/// and a malformed key look the same. Events, logs and a [renderer](crate::ApiKeyLayer::rejection_response) see the
/// reason itself.
///
/// ```
/// use tower_api_key::Rejection;
/// use tower_api_key::decision::Denial;
///
/// let revoked = Rejection::from(Denial::Revoked);
/// assert_eq!(revoked.status(), 401);
/// assert_eq!(revoked.detail(), "Invalid API key.");
/// assert_eq!(revoked.code(), "revoked");
/// assert_eq!(revoked.to_response().body(), &r#"{"detail":"Invalid API key."}"#);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The request has no credential that can be looked up.
    #[error(transparent)]
    Credential(CredentialError),
    /// The key was looked up and is rejected.
    #[error(transparent)]
    Denied(Denial),
    /// The store or a limiter gave no answer, or the store gave the answer to another question.
    #[error(transparent)]
    Unavailable(Outage),
    /// Plain HTTP where HTTPS is required.
    #[error("the request came over plain HTTP: use HTTPS")]
    HttpsRequired,
    /// The route is not in the table, for a valid key.
    #[error("the route table denies this route: list the route")]
    NotFound,
    /// A limit was reached.
    #[error("the limit is reached: retry after {retry_after} seconds")]
    Throttled {
        /// After how many seconds another request is accepted.
        retry_after: u64,
    },
    /// The layers are in the wrong order. The log names them.
    #[error("the layers are in the wrong order: the log names them")]
    Misconfigured,
}

/// Why the credential of a request cannot be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// There is none, or it is blank.
    #[error("the request has no API key")]
    Missing,
    /// There are several, in one header or in two.
    #[error("the request has several API keys: send one")]
    Repeated,
    /// It is longer than 512 bytes.
    #[error("the API key is longer than 512 bytes")]
    TooLong,
    /// It is in none of the formats that the layer requires.
    #[error("the API key is in none of the required formats")]
    Malformed,
}

/// Why a store or limiter gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Outage {
    /// It returned an error.
    #[error("the key store failed")]
    Failed,
    /// It did not answer within the lookup timeout.
    #[error("the key store did not answer within the lookup timeout")]
    TimedOut,
    /// It panicked.
    #[error("the key store panicked")]
    Panicked,
    /// The store returned the record of another key. The key itself may be valid.
    #[error("the key store returned the record of another key")]
    OtherKey,
    /// The limiter failed.
    #[error("the limiter failed")]
    LimitFailed,
    /// The limiter did not answer in time.
    #[error("the limiter did not answer within the lookup timeout")]
    LimitTimedOut,
    /// The verifier of legacy keys failed or panicked, or the key that it found cannot be imported.
    #[error("the verifier of legacy keys failed")]
    VerifierFailed,
    /// A legacy key was not verified in time.
    #[error("the legacy key was not verified within the lookup timeout")]
    VerifierTimedOut,
    /// Newer legacy keys took the place of this one.
    #[error("too many legacy keys were presented at once")]
    VerifierBusy,
}

impl Rejection {
    /// Returns the documented status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Credential(_) => StatusCode::UNAUTHORIZED,
            Self::Denied(Denial::InsufficientScope | Denial::NetworkNotAllowed) | Self::HttpsRequired => {
                StatusCode::FORBIDDEN
            }
            Self::Unavailable(_) | Self::Denied(Denial::OtherKey) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Denied(_) => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Throttled { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Misconfigured => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns a word that clients may see, stable between releases. It does not show which keys exist.
    ///
    /// | code | rejection |
    /// |---|---|
    /// | `missing_key` | no key |
    /// | `invalid_key` | a key that is unknown, revoked, suspended, malformed, repeated or too long, or of a disabled organization |
    /// | `expired_key` | an expired key |
    /// | `insufficient_scope` | a scope is missing |
    /// | `network_not_allowed` | the key may not be used from the client's network |
    /// | `https_required` | plain HTTP |
    /// | `not_found` | the route is not in the table |
    /// | `rate_limited` | a limit is reached |
    /// | `unavailable` | the store gave no answer |
    /// | `misconfigured` | the layers are in the wrong order |
    #[must_use]
    pub const fn public_code(&self) -> &'static str {
        match self {
            Self::Credential(CredentialError::Missing) => "missing_key",
            Self::Denied(Denial::Expired) => "expired_key",
            Self::Denied(Denial::InsufficientScope) => "insufficient_scope",
            Self::Denied(Denial::NetworkNotAllowed) => "network_not_allowed",
            Self::Unavailable(_) | Self::Denied(Denial::OtherKey) => "unavailable",
            Self::Credential(_) | Self::Denied(_) => "invalid_key",
            Self::HttpsRequired => "https_required",
            Self::NotFound => "not_found",
            Self::Throttled { .. } => "rate_limited",
            Self::Misconfigured => "misconfigured",
        }
    }

    /// Returns a short word for logs and metrics, different for each reason and stable between releases. Not for
    /// clients: it distinguishes a revoked key from an unknown one.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Credential(CredentialError::Missing) => "missing",
            Self::Credential(CredentialError::Repeated) => "repeated",
            Self::Credential(CredentialError::TooLong) => "too_long",
            Self::Credential(CredentialError::Malformed) => "malformed",
            Self::Denied(Denial::Unknown) => "unknown",
            Self::Denied(Denial::Revoked) => "revoked",
            Self::Denied(Denial::Suspended) => "suspended",
            Self::Denied(Denial::OrganizationDisabled) => "organization_disabled",
            Self::Denied(Denial::Expired) => "expired",
            Self::Denied(Denial::NetworkNotAllowed) => "network_not_allowed",
            Self::Denied(Denial::InsufficientScope) => "insufficient_scope",
            Self::Unavailable(Outage::Failed) => "store_failed",
            Self::Unavailable(Outage::TimedOut) => "store_timed_out",
            Self::Unavailable(Outage::Panicked) => "store_panicked",
            Self::Unavailable(Outage::OtherKey) | Self::Denied(Denial::OtherKey) => "other_key",
            Self::Unavailable(Outage::LimitFailed) => "limit_failed",
            Self::Unavailable(Outage::LimitTimedOut) => "limit_timed_out",
            Self::Unavailable(Outage::VerifierFailed) => "verifier_failed",
            Self::Unavailable(Outage::VerifierTimedOut) => "verifier_timed_out",
            Self::Unavailable(Outage::VerifierBusy) => "verifier_busy",
            Self::HttpsRequired => "https_required",
            Self::NotFound => "not_found",
            Self::Throttled { .. } => "throttled",
            Self::Misconfigured => "misconfigured",
        }
    }
}

impl From<CredentialError> for Rejection {
    fn from(error: CredentialError) -> Self {
        Self::Credential(error)
    }
}

impl From<Denial> for Rejection {
    fn from(denial: Denial) -> Self {
        match denial {
            // The client's key may be valid.
            Denial::OtherKey => Self::Unavailable(Outage::OtherKey),
            denial => Self::Denied(denial),
        }
    }
}

impl From<Outage> for Rejection {
    fn from(outage: Outage) -> Self {
        Self::Unavailable(outage)
    }
}
