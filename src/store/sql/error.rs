use std::borrow::Cow;
use std::sync::Arc;

use sqlx::error::DatabaseError;

use crate::key::KeyId;
use crate::store::BackendError;

/// Why a database could not answer. For logs: the text may contain messages of the database, never a password or a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// The database or the connection to it failed.
    #[error("the key database failed: {0}")]
    Database(#[source] sqlx::Error),
    /// A statement failed that looked up several keys at once. Each of these lookups has this error.
    #[error(transparent)]
    Batch(Arc<SqlError>),
    /// The tables of this crate or some of their columns are missing: call `migrate`.
    #[error("the key tables are missing or outdated, call migrate(): {0}")]
    NotMigrated(#[source] sqlx::Error),
    /// A row has values that no version of this crate writes, and no record can be made of it.
    #[error("invalid row in the key database: {0}")]
    InvalidRow(Cow<'static, str>),
    /// A newer version of this crate has changed the tables so that this version cannot decide about keys.
    #[error("the key tables need schema version {needed}, and this program knows up to {known}: update this program")]
    Incompatible {
        /// The schema version that a program must know.
        needed: i64,
        /// The schema version that this program knows.
        known: i64,
    },
    /// Postgres is on another host, or TLS is required, and this program is built without it.
    #[error(
        "no TLS to the key database: enable the feature tls-ring or tls-aws-lc-rs of tower-api-key, \
         or add sslmode=disable to the URL on a network that is trusted"
    )]
    NoTls,
    /// The driver verifies certificates for `sslmode=verify-ca` with the provider of the process, and there is none.
    #[error(
        "sslmode=verify-ca needs a rustls provider of the process: call CryptoProvider::install_default, \
         or use sslmode=verify-full"
    )]
    NoDefaultTlsProvider,
    /// The connections of the pool do not write through to the disk: a revoked key could come back after a power failure.
    #[error("the SQLite connections must be opened with synchronous=FULL or EXTRA")]
    NotDurable,
}

impl SqlError {
    /// Returns the error of the statement, whether it looked up one key or [several](Self::Batch).
    #[must_use]
    pub fn of_statement(&self) -> &Self {
        if let Self::Batch(error) = self { error } else { self }
    }

    pub(super) fn invalid_row(problem: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidRow(problem.into())
    }

    /// Names the key of the row, if its id can be read.
    pub(super) fn in_row(self, id: Option<&str>) -> Self {
        match (self, id.and_then(|id| id.parse::<KeyId>().ok())) {
            (Self::InvalidRow(problem), Some(id)) => Self::invalid_row(format!("{problem}, of key {id}")),
            (other, _) => other,
        }
    }
}

/// What Postgres answers to a text that does not fit: a character that the database's set lacks, one that is in no set, and
/// too many bytes for a column or a check.
const UNSTORABLE: [&str; 4] = ["22P05", "22021", "22001", "23514"];

impl From<sqlx::Error> for SqlError {
    fn from(error: sqlx::Error) -> Self {
        let missing =
            error.as_database_error().is_some_and(|error| is_missing_table(error) || is_missing_column(error));
        if missing { Self::NotMigrated(error) } else { Self::Database(error) }
    }
}

/// Postgres has a code for it, and SQLite a text.
pub(super) fn is_missing_table(error: &dyn DatabaseError) -> bool {
    error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
}

fn is_missing_column(error: &dyn DatabaseError) -> bool {
    let text = error.message();
    error.code().as_deref() == Some("42703")
        || text.starts_with("no such column")
        || text.contains(" has no column named ")
}

impl From<SqlError> for BackendError {
    fn from(error: SqlError) -> Self {
        let code = match &error {
            SqlError::Database(sqlx::Error::Database(error)) => error.code(),
            _ => None,
        };
        if code.is_some_and(|code| UNSTORABLE.contains(&&*code)) {
            Self::Unstorable(error.into())
        } else {
            Self::store(error)
        }
    }
}

/// Why this version of the crate cannot work with the tables in the database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The tables are missing or older than this version: call `migrate`.
    #[error("the key tables are at version {found}, and version {needed} is needed: call migrate()")]
    Behind {
        /// The version of the tables, 0 if there are none.
        found: i64,
        /// The version that this version of the crate needs.
        needed: i64,
    },
    /// A newer version of this crate has changed the tables so that this version cannot work with them.
    #[error("the key tables need schema version {needed}, and this program knows up to {known}: update this program")]
    Incompatible {
        /// The schema version that a program must know.
        needed: i64,
        /// The schema version that this program knows.
        known: i64,
    },
    /// Not every name can be stored. In another encoding, the database rejects some and counts the bytes of others.
    #[error(
        "the database is in {server} and the connection in {client}, and keys need UTF8: use a database WITH ENCODING 'UTF8'"
    )]
    Encoding {
        /// The encoding of the database.
        server: String,
        /// The encoding of the connection.
        client: String,
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
