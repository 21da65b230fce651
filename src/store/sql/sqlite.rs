use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::lock::{Mutex, OwnedMutexGuard};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, TypeInfo, ValueRef};
use tokio::time::{Instant, timeout};

use super::database::{Database, Migration, Rows, Value, query, values};
use super::error::SqlError;
use super::listing::Plan;
use super::lookups::Lanes;
use super::readers::{READERS, Readers};
use super::{ACQUIRE_TIMEOUT, SqlStore, listing, row, statements as sql};
use crate::key::KeyDigest;
use crate::store::Organizations;

/// Keys in one SQLite file: the store of a service that runs on one host.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_api_key::store::SqliteStore;
/// use tower_api_key::{Access, ApiKeyLayer, KeyManager, NewKey};
///
/// let store = SqliteStore::connect("sqlite:keys.db").await?;
/// store.migrate().await?;
/// let keys = KeyManager::new(store.clone());
/// let issued = keys.issue(&"acme".parse()?, NewKey::new("ci", Access::Full)?).await?;
/// println!("shown once: {}", issued.secret.expose_secret());
/// let layer = ApiKeyLayer::new(store);
/// # Ok(())
/// # }
/// ```
pub type SqliteStore = SqlStore<Sqlite>;

/// The database of a [`SqliteStore`].
#[derive(Debug)]
pub struct Sqlite {
    pub(super) pool: SqlitePool,
    /// SQLite has one writer at a time. Writers of this process wait here, so that none holds a connection that a lookup
    /// could use.
    writer: Arc<Mutex<()>>,
    readers: Readers,
}

impl SqlStore<Sqlite> {
    /// Opens the file of the URL `sqlite:PATH`, or creates it. [`migrate`](Self::migrate) creates the tables.
    ///
    /// The file is put into WAL mode, so that lookups go on while a change is written. Every connection is opened with
    /// `synchronous=FULL`, so that a change is on the disk when the call returns.
    ///
    /// # Errors
    /// When the URL is invalid, names a database in memory (use [`MemoryStore`](crate::MemoryStore)), or the file cannot be
    /// opened.
    pub async fn connect(url: &str) -> Result<Self, SqlError> {
        // The driver takes any text as the name of a file.
        if !url.starts_with("sqlite:") {
            return Err(rejected("an SQLite URL is sqlite:PATH"));
        }
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5));
        let pool = open(options).await?;
        // Only a file can be in this mode. A pool would open a new, empty database in memory with each connection.
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&pool).await?;
        if mode != "wal" {
            return Err(rejected("connections cannot share an SQLite database in memory: use MemoryStore"));
        }
        let store = Self::from_pool(pool);
        // The first request need not wait for a connection. Without the tables, it fails.
        let _ = store.database.find(&KeyDigest::from_bytes([0; 32])).await;
        Ok(store)
    }

    /// Keeps the keys in the database of this pool, next to the application's own tables.
    ///
    /// Lookups read the file through up to four more connections, which are taken from the pool and never returned to it, so
    /// that its own settings and hooks apply to them. They are closed when the store is dropped.
    ///
    /// Its connections must be opened with `synchronous` FULL or EXTRA. A change through another connection fails with
    /// [`SqlError::NotDurable`].
    #[must_use]
    pub fn from_pool(pool: SqlitePool) -> Self {
        Self::new(Sqlite { pool, writer: Arc::default(), readers: Readers::new() })
    }

    /// Returns the connections, for an application that keeps its own tables next to the keys.
    #[must_use]
    pub fn pool(&self) -> &SqlitePool {
        &self.database.pool
    }
}

fn rejected(reason: &'static str) -> SqlError {
    sqlx::Error::Configuration(reason.into()).into()
}

/// Retries, since a change of the journal mode does not wait for a lock as other statements do: of two processes that open
/// a new file at once, one would fail.
async fn open(options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    const BUSY: &str = "5";
    let deadline = Instant::now() + ACQUIRE_TIMEOUT;
    loop {
        let pool = SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).connect_with(options.clone()).await;
        match pool {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(BUSY) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            opened => return opened,
        }
    }
}

/// The guard outlives the transaction: fields are dropped in their order.
#[expect(unnameable_types, reason = "part of a sealed trait")]
#[derive(Debug)]
pub struct SqliteTransaction {
    transaction: sqlx::Transaction<'static, sqlx::Sqlite>,
    _writer: OwnedMutexGuard<()>,
}

impl Sqlite {
    async fn look_up(&self, statement: &'static str, value: Value) -> Result<Rows, sqlx::Error> {
        let mut reader = self.readers.take(&self.pool).await?;
        let rows = query!(statement, [value]).fetch_all(&mut *reader).await;
        reader.note(&rows);
        values!(rows?)
    }

    async fn begin_immediate(&self) -> Result<SqliteTransaction, SqlError> {
        let turn = Arc::clone(&self.writer).lock_owned();
        let writer = timeout(ACQUIRE_TIMEOUT, turn).await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let pool = self.pool.clone();
        // In a task of its own, so that a dropped caller keeps its turn while its connection waits for the lock.
        // Otherwise waiting connections would add up until none is left for lookups.
        let begin = tokio::spawn(async move {
            // A transaction that begins by reading cannot write once another one has written.
            let transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
            Ok(SqliteTransaction { transaction, _writer: writer })
        });
        begin.await.map_err(|error| sqlx::Error::Io(error.into()))?
    }
}

impl Database for Sqlite {
    const NOW: &'static str = "SELECT unixepoch()";
    // SQLite converts between its own encodings of Unicode.
    const ENCODINGS: &'static str = "SELECT 'UTF8', 'UTF8'";
    const GET_LOCKED: &'static str = sql::GET;
    const GET_MANY: &'static str = sql::GET_MANY_SQLITE;
    const INSERT_MANY: &'static str = sql::INSERT_MANY_SQLITE;
    const LOCK_ORGANIZATION: Option<&'static str> = None;
    const ENDED_OF_ONE: &'static str = sql::ENDED_OF_ONE_SQLITE;
    const ENDED: &'static str = sql::ENDED_SQLITE;
    const OF_ORGANIZATION: &'static str = sql::OF_ORGANIZATION_SQLITE;
    const DELETE: [&'static str; 3] = sql::DELETE_SQLITE;
    const RECORD_USAGE: &'static str = sql::RECORD_USAGE_SQLITE;
    const MIGRATIONS: &'static [Migration] = &[
        Migration { version: 1, compatible_from: 1, script: include_str!("migrations/sqlite/1_keys.sql") },
        Migration { version: 2, compatible_from: 1, script: include_str!("migrations/sqlite/2_organizations.sql") },
        Migration { version: 3, compatible_from: 1, script: include_str!("migrations/sqlite/3_changes.sql") },
        Migration { version: 4, compatible_from: 1, script: include_str!("migrations/sqlite/4_usage.sql") },
        Migration { version: 5, compatible_from: 1, script: include_str!("migrations/sqlite/5_search.sql") },
    ];

    type Transaction = SqliteTransaction;

    fn list(plan: Plan) -> &'static str {
        listing::sqlite(plan)
    }

    fn words(organizations: Organizations<'_>, text: &str) -> String {
        listing::words_sqlite(organizations, text)
    }

    /// The other half of the processors has other work. One that runs at full load answers in larger batches.
    fn lanes(&self) -> Lanes {
        let usual =
            std::thread::available_parallelism().map_or(1, |processors| (processors.get() / 2).clamp(1, READERS));
        Lanes { usual, slow: READERS }
    }

    async fn find(&self, digest: &KeyDigest) -> Result<Rows, sqlx::Error> {
        self.look_up(sql::FIND_SQLITE, digest.into()).await
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Rows, sqlx::Error> {
        let mut digests = digests.to_vec();
        digests.sort_unstable_by_key(|digest| *digest.as_bytes());
        digests.dedup();
        self.look_up(sql::FIND_MANY_SQLITE, row::encode_digests(&digests).into()).await
    }

    async fn read(&self, statement: &'static str, values: Vec<Value>) -> Result<Rows, sqlx::Error> {
        let rows = query!(statement, values).fetch_all(&self.pool).await?;
        values!(rows)
    }

    async fn begin(&self) -> Result<SqliteTransaction, SqlError> {
        const FULL: i64 = 2;
        let mut transaction = self.begin_immediate().await?;
        let level = Self::fetch_in(&mut transaction, "PRAGMA synchronous", vec![]).await?;
        if super::int(&level, "no synchronous level returned")? < FULL {
            Err(SqlError::NotDurable)
        } else {
            Ok(transaction)
        }
    }

    async fn begin_migration(&self) -> Result<SqliteTransaction, SqlError> {
        self.begin_immediate().await
    }

    async fn fetch_in(
        transaction: &mut SqliteTransaction,
        statement: &'static str,
        values: Vec<Value>,
    ) -> Result<Rows, sqlx::Error> {
        let rows = query!(statement, values).fetch_all(&mut *transaction.transaction).await?;
        values!(rows)
    }

    async fn run_script(transaction: &mut SqliteTransaction, script: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(script).execute(&mut *transaction.transaction).await.map(drop)
    }

    async fn commit(transaction: SqliteTransaction) -> Result<(), sqlx::Error> {
        transaction.transaction.commit().await
    }
}
