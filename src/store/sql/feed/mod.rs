//! Follows the changes that other processes make in the same database.

#[cfg(feature = "postgres")]
mod listen;
#[cfg(feature = "sqlite")]
mod poll;

use std::time::Duration;

use super::SqlError;
use crate::store::Invalidation;

/// Why a database reports no changes, or no longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlFeedError {
    /// The database or the connection to it failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The connection that listens was closed.
    #[error("the connection that listens was closed")]
    Closed,
    /// The connection that listens is open, and nothing arrives through it any more.
    #[error("the connection that listens is silent")]
    Silent,
    /// The pool is set up for a pooler, through which nothing would arrive.
    #[error("a pool without a statement cache is for a pooler, which swallows LISTEN: connect to Postgres itself")]
    Pooled,
    /// Nothing has ever arrived.
    #[error("LISTEN is swallowed, as by PgBouncer in transaction mode: connect to Postgres itself")]
    Swallowed,
}

impl From<sqlx::Error> for SqlFeedError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error.into())
    }
}

impl SqlFeedError {
    const fn retry_after(&self) -> Duration {
        match self {
            Self::Sql(_) | Self::Closed | Self::Silent => Duration::from_millis(250),
            Self::Pooled | Self::Swallowed => Duration::from_secs(60),
        }
    }
}

/// Returns what a notification is about. Whatever is not the id of a key may be about any key.
fn invalidation(text: Option<&str>) -> Invalidation {
    text.and_then(|text| text.parse().ok()).map_or(Invalidation::All, Invalidation::Key)
}
