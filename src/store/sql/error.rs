use std::borrow::Cow;

use crate::key::KeyId;
use crate::store::ManageError;

/// Why a database could not answer. For logs: it may hold the database's own words, never a password or a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// The database or the connection to it failed.
    #[error("the key database failed")]
    Database(#[from] sqlx::Error),
    /// A row holds what no version of this crate writes, and no key can be made of it.
    #[error("a row of the key database makes no sense: {0}")]
    BadRow(Cow<'static, str>),
    /// Connections of this pool do not write through to the disk, so that a revoked key could come back after a
    /// power failure.
    #[error("the SQLite connections must be opened with synchronous=FULL or EXTRA")]
    NotDurable,
}

impl SqlError {
    pub(super) fn bad_row(problem: impl Into<Cow<'static, str>>) -> Self {
        Self::BadRow(problem.into())
    }

    /// Says which key the row is of, if it says so itself.
    pub(super) fn in_row(self, id: Option<&str>) -> Self {
        match (self, id.and_then(|id| id.parse::<KeyId>().ok())) {
            (Self::BadRow(problem), Some(id)) => Self::bad_row(format!("{problem}, of key {id}")),
            (other, _) => other,
        }
    }
}

impl From<SqlError> for ManageError {
    fn from(error: SqlError) -> Self {
        Self::store(error)
    }
}

/// Why this version of the crate cannot work with the tables in the database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The tables are missing or older than this version: call `migrate`.
    #[error("the key tables are at version {found}, and version {needed} is needed: call migrate()")]
    Behind {
        /// The version of the tables, 0 where there are none.
        found: i64,
        /// The version that this version of the crate needs.
        needed: i64,
    },
    /// A newer version of this crate has changed the tables in a way that this one cannot work with.
    #[error("the key tables need at least version {needed} of the schema, and this program knows {known}")]
    Incompatible {
        /// The schema version that a program must know.
        needed: i64,
        /// The schema version that this one knows.
        known: i64,
    },
    /// The database failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl From<sqlx::Error> for SchemaError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error.into())
    }
}
