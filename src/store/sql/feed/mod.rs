//! Follows the changes that other processes make in the same database.

#[cfg(feature = "postgres")]
mod listen;
#[cfg(feature = "sqlite")]
mod poll;

use std::time::Duration;

use super::SqlError;
use crate::key::OrganizationId;
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

/// What the subject of an organization begins with. No key id does.
const ORGANIZATION_MARK: char = '@';

/// Returns what a change is about. A subject that cannot be read may be about any key.
fn invalidation(subject: Option<&str>) -> Invalidation {
    let Some(subject) = subject else { return Invalidation::All };
    match subject.strip_prefix(ORGANIZATION_MARK) {
        Some(name) => OrganizationId::new(name).map_or(Invalidation::All, Invalidation::Organization),
        None => subject.parse().map_or(Invalidation::All, Invalidation::Key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyId;

    /// Cases: 130.
    #[test]
    fn unreadable_subject_is_about_everything() {
        let id = KeyId::from_u128(7);
        let acme = OrganizationId::new("acme").unwrap();
        assert_eq!(invalidation(Some(&id.to_string())), Invalidation::Key(id));
        assert_eq!(invalidation(Some("@acme")), Invalidation::Organization(acme));
        let signs = OrganizationId::new("@").unwrap();
        assert_eq!(invalidation(Some("@@")), Invalidation::Organization(signs));
        let long = format!("@{}", "x".repeat(10_000));
        for unreadable in [None, Some(""), Some("*"), Some("@"), Some("acme"), Some("@a\nb"), Some(long.as_str())] {
            assert_eq!(invalidation(unreadable), Invalidation::All, "{unreadable:?}");
        }
    }
}
