use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sqlx::Row;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How many lookups and batches read at once. Each has a thread of the driver.
pub(super) const READERS: usize = 4;

/// A reader writes nothing, and keeps the pages of some 30,000 keys in memory until the file changes. The file is not mapped
/// into memory: then an error of the disk would end the process.
const SETTINGS: &str = "PRAGMA query_only = ON; PRAGMA cache_size = -8192; PRAGMA mmap_size = 0";

/// Connections for lookups alone, apart from the pool: it would test each connection before and after each lookup, and hand it
/// from one task to another.
pub(super) struct Readers {
    idle: Mutex<Vec<SqliteConnection>>,
    free: Semaphore,
    /// Whether the database has no file. Then each connection outside of the pool would open another, empty one.
    in_memory: OnceLock<bool>,
}

impl Readers {
    pub(super) const fn new() -> Self {
        Self { idle: Mutex::new(vec![]), free: Semaphore::const_new(READERS), in_memory: OnceLock::new() }
    }

    pub(super) async fn take(&self, pool: &SqlitePool) -> Result<Reader<'_>, sqlx::Error> {
        let place = self.free.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        if pool.is_closed() {
            self.idle().clear();
            return Err(sqlx::Error::PoolClosed);
        }
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => Connection::Own(connection),
            None => self.open(pool).await?,
        };
        Ok(Reader { connection: Some(connection), works: true, readers: self, _place: place })
    }

    /// Opens a connection as those of the pool are, whatever the application does when one is opened.
    async fn open(&self, pool: &SqlitePool) -> Result<Connection, sqlx::Error> {
        let mut pooled = pool.acquire().await?;
        let in_memory = match self.in_memory.get() {
            Some(in_memory) => *in_memory,
            None => {
                let database = sqlx::query("PRAGMA database_list").fetch_one(&mut *pooled).await?;
                let file: Option<&str> = database.try_get("file")?;
                *self.in_memory.get_or_init(|| file.is_none_or(str::is_empty))
            }
        };
        if in_memory {
            return Ok(Connection::Pooled(pooled));
        }
        let mut connection = pooled.detach();
        sqlx::raw_sql(SETTINGS).execute(&mut connection).await?;
        Ok(Connection::Own(connection))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").finish_non_exhaustive()
    }
}

enum Connection {
    Own(SqliteConnection),
    Pooled(PoolConnection<sqlx::Sqlite>),
}

/// A connection for one statement.
pub(super) struct Reader<'a> {
    /// Taken only when this is dropped.
    connection: Option<Connection>,
    works: bool,
    readers: &'a Readers,
    _place: SemaphorePermit<'a>,
}

impl Reader<'_> {
    /// Closes the connection afterwards if its statement has failed, so that the next one opens the file anew.
    pub(super) fn note<T>(&mut self, done: &Result<T, sqlx::Error>) {
        self.works = done.is_ok();
    }
}

impl Deref for Reader<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        match self.connection.as_ref().expect("it is taken only when this is dropped") {
            Connection::Own(connection) => connection,
            Connection::Pooled(connection) => connection,
        }
    }
}

impl DerefMut for Reader<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        match self.connection.as_mut().expect("it is taken only when this is dropped") {
            Connection::Own(connection) => connection,
            Connection::Pooled(connection) => connection,
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if let Some(Connection::Own(connection)) = self.connection.take()
            && self.works
        {
            self.readers.idle().push(connection);
        }
    }
}
