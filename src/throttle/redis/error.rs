use std::time::Duration;

use crate::BoxError;

/// Why Redis did not count a request, or cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisLimitsError {
    /// The URL cannot be used.
    #[error("invalid Redis URL: use redis://HOST:PORT/DATABASE, or rediss:// for TLS")]
    InvalidUrl(#[source] BoxError),
    /// The certificates cannot be used.
    #[error("invalid root certificates for Redis")]
    InvalidCertificate(#[source] BoxError),
    /// Redis did not answer in time.
    #[error("Redis did not answer within {0:?}")]
    TimedOut(Duration),
    /// Redis cannot be reached, or its answer was an error.
    #[error("Redis failed")]
    Failed(#[source] BoxError),
}

impl RedisLimitsError {
    pub(super) fn failed(error: impl Into<BoxError>) -> Self {
        Self::Failed(error.into())
    }
}
