//! Keys in an SQL database: one set of statements, for SQLite and for Postgres.

mod backend;
mod check;
mod database;
mod error;
mod feed;
#[cfg(feature = "postgres")]
mod lease;
mod listing;
mod lookups;
#[cfg(feature = "postgres")]
mod places;
#[cfg(all(test, feature = "sqlite"))]
mod plans;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod readers;
mod row;
mod schema;
#[cfg(feature = "postgres")]
mod slots;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statements;
#[cfg(feature = "postgres")]
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::database::{Database, Rows, Value};
use self::lookups::{Lookups, by_digest};
use super::{Changes, FindResult, KeyStore, StoreId, UsageSink};
use crate::error_chain::error_chain;
use crate::key::{KeyDigest, KeyRecord};
use crate::scope::{ScopeAliases, ScopeCatalog};

pub use self::check::CheckedRows;
pub use self::error::{SchemaError, SqlError};
pub use self::feed::SqlFeedError;
#[cfg(feature = "postgres")]
pub use self::postgres::{Postgres, PostgresStore};
pub use self::row::{InvalidRow, RowErrorKind};
#[cfg(feature = "sqlite")]
pub use self::sqlite::{Sqlite, SqliteStore};

/// Keys in an SQL database. [`SqliteStore`](super::SqliteStore) and [`PostgresStore`](super::PostgresStore) are this type
/// over one database or the other.
///
/// Only digests are stored. A change is one transaction, durable when the call returns, and dated by the database's
/// clock. A layer on the store counts the use of each key, and [`Background::of`] reports it. Every lookup reads the
/// database, so that every process rejects a revoked key at once. Lookups that arrive while others are under way are one
/// statement. A clone is a handle to the same connections.
///
/// [`Background::of`]: crate::background::Background::of
pub struct SqlStore<B> {
    id: StoreId,
    database: Arc<B>,
    lookups: Lookups,
    changes: Arc<Changes>,
    usage: UsageSink,
    catalog: Option<Arc<ScopeCatalog>>,
    aliases: Arc<ScopeAliases>,
    invalid_row_hooks: Vec<InvalidRowHook>,
}

type InvalidRowHook = Arc<dyn Fn(&InvalidRow) + Send + Sync>;

impl<B: Database> SqlStore<B> {
    fn new(database: B) -> Self {
        Self {
            id: StoreId::new(),
            lookups: Lookups::new(database.lanes()),
            database: Arc::new(database),
            changes: Arc::default(),
            usage: UsageSink::new(),
            catalog: None,
            aliases: Arc::default(),
            invalid_row_hooks: Vec::new(),
        }
    }

    /// Reports a stored scope that is not in this catalog as an [`InvalidRow`]. Replaces an earlier catalog.
    #[must_use]
    pub fn with_catalog(mut self, catalog: ScopeCatalog) -> Self {
        self.catalog = Some(Arc::new(catalog));
        self
    }

    /// Reads the old name of a renamed scope as the new one, in every key that is stored with it. Replaces earlier aliases.
    #[must_use]
    pub fn with_scope_aliases(mut self, aliases: ScopeAliases) -> Self {
        self.aliases = Arc::new(aliases);
        self
    }

    /// Calls this hook with each row that was read and that may grant less than it was meant to, as after an edit by
    /// hand. The log has a line for it too. A second hook is called after the first.
    #[must_use]
    pub fn on_invalid_row(mut self, hook: impl Fn(&InvalidRow) + Send + Sync + 'static) -> Self {
        self.invalid_row_hooks.push(Arc::new(hook));
        self
    }

    /// Creates the tables of this crate or brings them up to date. Other tables in the database are not touched.
    ///
    /// Safe to call from several processes at once, and while processes with an older version of this crate are running:
    /// a migration only adds. Only this method needs the right to create tables, and only when something is missing.
    ///
    /// # Errors
    /// [`SchemaError::Encoding`] when the database or the connection is in another encoding than UTF-8,
    /// [`SchemaError::Incompatible`] when a newer version of this crate has changed the tables so that this version cannot
    /// work with them, or when the database fails.
    pub async fn migrate(&self) -> Result<(), SchemaError> {
        schema::migrate(&*self.database).await
    }

    /// Checks that the tables are there and that this version of the crate can work with them.
    ///
    /// # Errors
    /// [`SchemaError::Behind`] when [`migrate`](Self::migrate) must be called, [`SchemaError::Incompatible`] when this
    /// version is too old, [`SchemaError::Encoding`] as for `migrate`, or when the database fails.
    pub async fn check_schema(&self) -> Result<(), SchemaError> {
        schema::check(&*self.database).await
    }

    /// Returns the version of the tables, 0 if there are none. For an operator's eyes: a program decides by
    /// [`check_schema`](Self::check_schema).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn schema_version(&self) -> Result<i64, SchemaError> {
        schema::version(&*self.database).await
    }

    fn decode(&self, row: &[Value]) -> Result<(KeyRecord, Vec<RowErrorKind>), SqlError> {
        let scopes = row::ScopesRead { aliases: &self.aliases, catalog: self.catalog.as_deref() };
        let decoded = row::decode(row, &scopes, schema::known::<B>());
        decoded.map_err(|error| error.in_row(row.first().and_then(Value::text)))
    }

    fn record(&self, row: &[Value]) -> Result<Arc<KeyRecord>, SqlError> {
        let (record, kinds) = self.decode(row)?;
        for kind in kinds {
            let invalid = InvalidRow::new(record.id(), kind);
            tracing::warn!("{invalid}");
            self.invalid_row_hooks.iter().for_each(|hook| hook(&invalid));
        }
        Ok(Arc::new(record))
    }

    /// Returns the record in the rows with one digest.
    fn found(&self, rows: &[Vec<Value>]) -> FindResult<SqlError> {
        match rows {
            [] => Ok(None),
            [row] => self.record(row).map(Some),
            // Only tables that were rebuilt without our constraints have several. One of them may be a copy from before a
            // revoke.
            _ => Err(SqlError::invalid_row("several rows for one digest")),
        }
    }

    /// Returns what a list shows for this row. An invalid row must hide neither the others nor itself.
    fn listed(&self, row: &[Value]) -> Option<Arc<KeyRecord>> {
        self.record(row).map_or_else(
            |error| {
                tracing::warn!("cannot decode key row, listing it as expired: {}", error_chain(&error));
                row::stand_in(row).map(Arc::new)
            },
            Some,
        )
    }
}

impl<B> Clone for SqlStore<B> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            database: Arc::clone(&self.database),
            lookups: self.lookups.clone(),
            changes: Arc::clone(&self.changes),
            usage: self.usage.clone(),
            catalog: self.catalog.clone(),
            aliases: Arc::clone(&self.aliases),
            invalid_row_hooks: self.invalid_row_hooks.clone(),
        }
    }
}

impl<B> fmt::Debug for SqlStore<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<B: Database> KeyStore for SqlStore<B> {
    type Error = SqlError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, SqlError> {
        self.found(&self.lookups.find(&self.database, digest).await?)
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<FindResult<SqlError>>, SqlError> {
        let mut results = Vec::with_capacity(digests.len());
        for digests in digests.chunks(MAX_BATCH) {
            let rows = by_digest(self.database.find_many(digests).await?)?;
            results.extend(digests.iter().map(|digest| self.found(rows.get(digest).map_or(&[], Vec::as_slice))));
        }
        Ok(results)
    }

    fn max_batch(&self) -> usize {
        MAX_BATCH
    }

    fn id(&self) -> Option<StoreId> {
        Some(self.id)
    }

    fn changes(&self) -> Option<&Changes> {
        Some(&self.changes)
    }

    fn usage_sink(&self) -> Option<&UsageSink> {
        Some(&self.usage)
    }
}

/// Returns the number that a statement selects.
fn int(rows: &Rows, missing: &'static str) -> Result<i64, SqlError> {
    let value = rows.first().and_then(|row| row.first()).and_then(Value::int);
    value.ok_or_else(|| SqlError::invalid_row(missing))
}

/// Returns the time that `Database::NOW` selects.
fn timestamp(rows: &Rows) -> Result<i64, SqlError> {
    int(rows, "no timestamp returned")
}

/// How many digests one statement looks up.
const MAX_BATCH: usize = 256;

/// How long a call waits for a connection. A lookup waits no longer than its layer does.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
