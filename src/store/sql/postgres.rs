use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Row, TypeInfo, ValueRef};

use super::backend::{Backend, Rows, Value, query, values};
use super::error::SqlError;
use super::schema::Migration;
use super::{ACQUIRE_TIMEOUT, SqlStore, statements as sql};

/// Keys in a PostgreSQL database: one truth for many processes.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_api_key::{ApiKeyLayer, PostgresStore};
///
/// let keys = PostgresStore::connect("postgres://app:secret@db.internal/app?sslmode=verify-full").await?;
/// keys.migrate().await?;
/// let layer = ApiKeyLayer::new(keys);
/// # Ok(())
/// # }
/// ```
pub type PostgresStore = SqlStore<Postgres>;

/// The database of a [`PostgresStore`].
#[derive(Debug)]
pub struct Postgres {
    pub(super) pool: PgPool,
}

impl SqlStore<Postgres> {
    /// Connects to the database that the URL names, with up to ten connections. The tables are created by
    /// [`migrate`](Self::migrate), in the first schema of the search path.
    ///
    /// PgBouncer in transaction mode is not supported yet: lookups through it end in errors, so 503.
    ///
    /// # Errors
    /// When the URL is not one, or no connection can be made within five seconds.
    pub async fn connect(url: &str) -> Result<Self, SqlError> {
        let options = PgConnectOptions::from_str(url)?;
        let pool = PgPoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).connect_with(options).await?;
        Ok(Self::from_pool(pool))
    }

    /// Keeps the keys in the database of this pool, beside the application's own tables.
    #[must_use]
    pub fn from_pool(pool: PgPool) -> Self {
        Self::new(Postgres { pool })
    }

    /// The connections, for an application that keeps its own tables beside the keys.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.backend.pool
    }
}

/// Whatever the database, the role or the connection says, a revoked key is on the disk when we say so. What is
/// stronger stays.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', true) \
    WHERE current_setting('synchronous_commit') <> 'remote_apply'";

/// Any number that nobody else in the database locks.
const LOCK_MIGRATIONS: &str = "SELECT pg_advisory_xact_lock(6158741370482205961)::text";

type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

impl Backend for Postgres {
    // In a transaction `now()` would tell when it began, which may be before a key that it waited for was made.
    const NOW: &'static str = "SELECT floor(extract(epoch FROM clock_timestamp()))::bigint";
    const GET_LOCKED: &'static str = sql::GET_FOR_UPDATE;
    const RECORD_USAGE: &'static str = sql::RECORD_USAGE_POSTGRES;
    const MIGRATIONS: &'static [Migration] = &[
        Migration { version: 1, compatible_from: 1, script: include_str!("migrations/postgres/1_keys.sql") },
        Migration { version: 2, compatible_from: 1, script: include_str!("migrations/postgres/2_organizations.sql") },
        Migration { version: 3, compatible_from: 1, script: include_str!("migrations/postgres/3_changes.sql") },
        Migration { version: 4, compatible_from: 1, script: include_str!("migrations/postgres/4_usage.sql") },
    ];

    type Transaction = Transaction;

    async fn fetch(&self, statement: &'static str, values: Vec<Value>) -> Result<Rows, sqlx::Error> {
        let rows = query!(statement, values).fetch_all(&self.pool).await?;
        values!(rows)
    }

    async fn begin(&self) -> Result<Transaction, SqlError> {
        let mut transaction = self.pool.begin().await?;
        Self::fetch_in(&mut transaction, DURABLE, vec![]).await?;
        Ok(transaction)
    }

    async fn begin_migration(&self) -> Result<Transaction, SqlError> {
        let mut transaction = self.begin().await?;
        Self::fetch_in(&mut transaction, LOCK_MIGRATIONS, vec![]).await?;
        Ok(transaction)
    }

    async fn fetch_in(
        transaction: &mut Transaction,
        statement: &'static str,
        values: Vec<Value>,
    ) -> Result<Rows, sqlx::Error> {
        let rows = query!(statement, values).fetch_all(&mut **transaction).await?;
        values!(rows)
    }

    async fn run_script(transaction: &mut Transaction, script: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(script).execute(&mut **transaction).await.map(drop)
    }

    async fn commit(transaction: Transaction) -> Result<(), sqlx::Error> {
        transaction.commit().await
    }

    fn is_missing_table(error: &dyn sqlx::error::DatabaseError) -> bool {
        error.code().as_deref() == Some("42P01")
    }
}
