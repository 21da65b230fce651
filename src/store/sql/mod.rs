//! Keys in an SQL database: one set of statements, for SQLite and for Postgres.

mod backend;
mod error;
#[cfg(feature = "cache")]
mod feed;
#[cfg(feature = "postgres")]
mod lease;
#[cfg(feature = "postgres")]
mod postgres;
mod row;
mod schema;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statements;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::backend::{Backend, Rows, Value};
use self::statements as sql;
use super::manager::{
    Cursor, Expiry, IssuePolicy, KeyManager, ListKeys, ManageError, NewKey, Page, StoredCredential, check_narrowing,
};
use super::{KeyStore, StoreId};
use crate::error_chain::error_chain;
use crate::key::{KeyDigest, KeyId, KeyRecord, KeyStatus, OrganizationId, OrganizationPolicy};
use crate::scope::{Access, ScopeSet};
use crate::time::Timestamp;
use crate::usage::KeyUsage;

pub use self::error::{SchemaError, SqlError};
#[cfg(feature = "postgres")]
pub use self::postgres::{Postgres, PostgresStore};
pub use self::row::{BadRow, RowProblem};
#[cfg(feature = "sqlite")]
pub use self::sqlite::{Sqlite, SqliteStore};

/// Keys in an SQL database: see [`SqliteStore`](crate::SqliteStore) and
/// [`PostgresStore`](crate::PostgresStore), which are this type over one database or the other.
///
/// Only digests are stored. A change is one transaction, durable when the call returns, and dated by the
/// database's clock. Every lookup reads the database, so that a revoked key is refused at once in every
/// process. A clone is a handle to the same connections.
pub struct SqlStore<B> {
    id: StoreId,
    backend: Arc<B>,
    issue_policy: Arc<IssuePolicy>,
    bad_row: Option<BadRowHook>,
}

type BadRowHook = Arc<dyn Fn(&BadRow) + Send + Sync>;

impl<B: Backend> SqlStore<B> {
    fn new(backend: B) -> Self {
        Self { id: StoreId::new(), backend: Arc::new(backend), issue_policy: Arc::default(), bad_row: None }
    }

    /// Issues keys by these rules. With a catalogue, a stored scope that is not in it is reported as a
    /// [`BadRow`].
    #[must_use]
    pub fn with_issue_policy(mut self, policy: IssuePolicy) -> Self {
        self.issue_policy = Arc::new(policy);
        self
    }

    /// Calls this whenever a row was read that somebody must have edited by hand, and that grants less than it
    /// may have been meant to. The log says it too.
    #[must_use]
    pub fn on_bad_row(mut self, hook: impl Fn(&BadRow) + Send + Sync + 'static) -> Self {
        self.bad_row = Some(Arc::new(hook));
        self
    }

    /// Creates the tables of this crate or brings them up to date, beside whatever else is in the database.
    ///
    /// Safe to call from several processes at once, and while processes with an older version of this crate are
    /// running: a migration only adds. It needs the right to create tables when something is missing; nothing else
    /// in this crate does.
    ///
    /// # Errors
    /// [`SchemaError::Incompatible`] when a newer version of this crate has changed the tables in a way that
    /// this one cannot work with, or when the database fails.
    pub async fn migrate(&self) -> Result<(), SchemaError> {
        schema::migrate(&*self.backend).await
    }

    /// Checks that the tables are there and that this version of the crate can work with them.
    ///
    /// # Errors
    /// [`SchemaError::Behind`] when [`migrate`](Self::migrate) must be called, [`SchemaError::Incompatible`]
    /// when this version is too old, or when the database fails.
    pub async fn check_schema(&self) -> Result<(), SchemaError> {
        schema::check(&*self.backend).await
    }

    fn record(&self, row: &[Value]) -> Result<Arc<KeyRecord>, SqlError> {
        let decoded = row::decode(row, self.issue_policy.catalogue());
        let (record, problems) = decoded.map_err(|error| error.in_row(row.first().and_then(Value::text)))?;
        for problem in problems {
            let bad = BadRow { key: record.id(), problem };
            log::warn!("{bad}");
            if let Some(hook) = &self.bad_row {
                hook(&bad);
            }
        }
        Ok(Arc::new(record))
    }

    /// One row that makes no sense must not hide all the others, nor itself.
    fn listed(&self, row: &[Value]) -> Option<Arc<KeyRecord>> {
        self.record(row).map_or_else(
            |error| {
                log::warn!("listed without what it says: {}", error_chain(&error));
                row::stand_in(row).map(Arc::new)
            },
            Some,
        )
    }

    /// The one record that the statement finds.
    fn only(&self, rows: &Rows) -> Result<Arc<KeyRecord>, ManageError> {
        let row = rows.first().ok_or(ManageError::NotFound)?;
        Ok(self.record(row)?)
    }
}

impl<B> Clone for SqlStore<B> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            backend: Arc::clone(&self.backend),
            issue_policy: Arc::clone(&self.issue_policy),
            bad_row: self.bad_row.clone(),
        }
    }
}

impl<B> fmt::Debug for SqlStore<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<B: Backend> KeyStore for SqlStore<B> {
    type Error = SqlError;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, SqlError> {
        let rows = self.backend.fetch(sql::FIND, vec![Value::from(digest)]).await?;
        match rows.as_slice() {
            [] => Ok(None),
            [row] => self.record(row).map(Some),
            // The tables allow only one. Where somebody rebuilt them without, a copy must not stand in for a key that
            // was revoked.
            _ => Err(SqlError::bad_row("several rows for one digest")),
        }
    }

    fn store_id(&self) -> Option<StoreId> {
        Some(self.id)
    }
}

impl<B: Backend> KeyManager for SqlStore<B> {
    fn issue_policy(&self) -> &IssuePolicy {
        &self.issue_policy
    }

    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        let rows = self.backend.fetch(sql::GET, vec![id.into(), organization.into()]).await;
        self.only(&rows.map_err(SqlError::from)?)
    }

    async fn list(&self, organization: &OrganizationId, query: &ListKeys) -> Result<Page, ManageError> {
        // Before the newest key there is nothing that sorts behind this.
        let (created, id) = match query.after() {
            Some(cursor) => (Timestamp::floor(cursor.created_at()).seconds(), cursor.id().to_string()),
            None => (i64::MAX, "g".to_owned()),
        };
        let now = match query.status() {
            Some(_) => int(&self.backend.fetch(B::NOW, vec![]).await.map_err(SqlError::from)?)?,
            None => 0,
        };
        let status = query.status().map_or("", KeyStatus::as_str);
        let one_more = i64::try_from(query.limit() + 1).unwrap_or(i64::MAX);
        let values =
            vec![organization.into(), created.into(), id.into(), now.into(), status.to_owned().into(), one_more.into()];
        let rows = self.backend.fetch(sql::LIST, values).await.map_err(SqlError::from)?;
        let more = rows.len() > query.limit();
        let keys: Vec<_> = rows.iter().take(query.limit()).filter_map(|row| self.listed(row)).collect();
        let next = if more { keys.last().map(|last| Cursor::at(last)) } else { None };
        Ok(Page { keys, next })
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        let mut change = Change::begin(self).await?;
        let values = vec![id.into(), organization.into(), change.now.into()];
        change.run(sql::REVOKE, values).await?;
        let rows = change.run(sql::GET, vec![id.into(), organization.into()]).await;
        // Before anything is made of the row: one that makes no sense is revoked all the same.
        change.commit().await?;
        self.only(&rows?)
    }

    async fn narrow(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        scopes: ScopeSet,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let mut change = Change::begin(self).await?;
        let old = change.lock(organization, id).await?;
        check_narrowing(&old, &scopes)?;
        change.run(sql::NARROW, vec![id.into(), scopes.to_string().into()]).await?;
        change.commit().await?;
        Ok(Arc::new(Arc::unwrap_or_clone(old).with_access(Access::Scoped(scopes))))
    }

    async fn policy(&self, organization: &OrganizationId) -> Result<OrganizationPolicy, ManageError> {
        let rows = self.backend.fetch(sql::POLICY, vec![organization.into()]).await.map_err(SqlError::from)?;
        Ok(rows.first().map(|row| row::policy(row)).transpose()?.unwrap_or_default())
    }

    async fn set_policy(&self, organization: &OrganizationId, policy: OrganizationPolicy) -> Result<(), ManageError> {
        let age = policy.max_key_age().map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX).min(MAX_AGE));
        let mut change = Change::begin(self).await?;
        let values = vec![organization.into(), Value::Int(age), i64::from(policy.is_disabled()).into()];
        change.run(sql::SET_POLICY, values).await?;
        Ok(change.commit().await?)
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Result<(), ManageError> {
        let mut change = Change::begin(self).await?;
        change.run(B::RECORD_USAGE, vec![row::encode_usage(usage).into()]).await?;
        Ok(change.commit().await?)
    }

    async fn insert(
        &self,
        organization: &OrganizationId,
        key: NewKey,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let id = KeyId::random()?;
        let mut change = Change::begin(self).await?;
        let record = change.insert(key.into_record(id, organization.clone(), credential, change.time())).await?;
        change.commit().await?;
        Ok(record)
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expiry: Expiry,
        credential: StoredCredential,
    ) -> Result<Arc<KeyRecord>, ManageError> {
        let new_id = KeyId::random()?;
        let mut change = Change::begin(self).await?;
        let old = change.lock(organization, id).await?;
        if old.is_revoked() {
            return Err(ManageError::Conflict);
        }
        change.run(sql::REPLACE, vec![id.into(), change.now.into(), new_id.into()]).await?;
        let new = change.insert(credential.into_replacement(new_id, &old, expiry, change.time())).await?;
        change.commit().await?;
        Ok(new)
    }
}

/// Far beyond any age a key can have, and small enough to be added to a time.
const MAX_AGE: i64 = i64::MAX / 4;

/// One transaction, durable once it is committed. Dropped before, it changes nothing.
struct Change<'a, B: Backend> {
    store: &'a SqlStore<B>,
    transaction: B::Transaction,
    now: i64,
}

impl<'a, B: Backend> Change<'a, B> {
    async fn begin(store: &'a SqlStore<B>) -> Result<Self, ManageError> {
        let mut transaction = store.backend.begin().await?;
        let now = B::fetch_in(&mut transaction, B::NOW, vec![]).await.map_err(SqlError::from)?;
        Ok(Self { store, transaction, now: int(&now)? })
    }

    fn time(&self) -> SystemTime {
        Timestamp::from_seconds(self.now).system_time()
    }

    async fn run(&mut self, statement: &'static str, values: Vec<Value>) -> Result<Rows, SqlError> {
        Ok(B::fetch_in(&mut self.transaction, statement, values).await?)
    }

    /// The key as it is, and nobody else changes it until this is over.
    async fn lock(&mut self, organization: &OrganizationId, id: KeyId) -> Result<Arc<KeyRecord>, ManageError> {
        let rows = self.run(B::GET_LOCKED, vec![id.into(), organization.into()]).await?;
        self.store.only(&rows)
    }

    async fn insert(&mut self, record: KeyRecord) -> Result<Arc<KeyRecord>, ManageError> {
        let (id, organization) = (record.id(), record.organization().clone());
        let inserted = self.run(sql::INSERT, row::encode(&record)).await?;
        if inserted.is_empty() {
            return Err(ManageError::AlreadyExists);
        }
        // Read back, so that it carries what its organization demands.
        let rows = self.run(sql::GET, vec![id.into(), (&organization).into()]).await?;
        self.store.only(&rows)
    }

    async fn commit(self) -> Result<(), SqlError> {
        Ok(B::commit(self.transaction).await?)
    }
}

fn int(rows: &Rows) -> Result<i64, SqlError> {
    let value = rows.first().and_then(|row| row.first()).and_then(Value::int);
    value.ok_or_else(|| SqlError::bad_row("the database told no time"))
}

/// How long a call waits for a connection. A lookup waits for as long as its layer says, if that is less.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
