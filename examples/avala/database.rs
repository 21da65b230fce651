use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{Error, Row};

/// The database of the example's own tables, which is also that of the keys where they are kept in one.
#[derive(Clone)]
pub(crate) enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// What the server was last started with, and one row for each account, of texts alone: the email by which it is found, the organization that it owns, and two
/// JSON documents. `accounts.rs` knows what is in the first, `data.rs` what is in the second.
const CREATE: &str = "CREATE TABLE IF NOT EXISTS avala_accounts (
    email TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS avala_settings (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)";

/// Postgres does not keep two processes from creating one table at once. The lock is given back at the end of the
/// transaction, which these statements are together. The timeouts of lookups do not apply to the wait for another process.
const ALONE: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
    SELECT pg_advisory_xact_lock(4702111234474983745)";

/// A query with its values on whichever database, and the rows that come of it.
macro_rules! rows {
    ($pool:expr, $statement:expr, $values:expr) => {{
        let query = $values.iter().fold(sqlx::query($statement), |query, value| query.bind(value.to_string()));
        let rows = query.fetch_all($pool).await?;
        rows.iter().map(|row| (0..row.len()).map(|column| row.try_get(column)).collect()).collect()
    }};
}

impl Database {
    /// What is in it is gone with this process.
    pub(crate) async fn in_memory() -> Result<Self, Error> {
        // A second connection would be a second database, and one that ended would take everything with it.
        let one = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        Ok(Self::Sqlite(one.connect_with(SqliteConnectOptions::new().in_memory(true)).await?))
    }

    /// Creates the tables where there are none. Several processes may do so at once.
    pub(crate) async fn create_table(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite(pool) => sqlx::raw_sql(CREATE).execute(pool).await.map(drop),
            Self::Postgres(pool) => {
                let mut transaction = pool.begin().await?;
                sqlx::raw_sql(ALONE).execute(&mut *transaction).await?;
                sqlx::raw_sql(CREATE).execute(&mut *transaction).await?;
                transaction.commit().await
            }
        }
    }

    /// Runs one statement, in which `$1` is the first of the values. Both databases understand it.
    pub(crate) async fn run(&self, statement: &'static str, values: &[&str]) -> Result<Vec<Vec<String>>, Error> {
        match self {
            Self::Sqlite(pool) => rows!(pool, statement, values),
            Self::Postgres(pool) => rows!(pool, statement, values),
        }
    }
}
