use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::database::{Database, Migration, Rows, Value};
use super::error::SqlError;
use super::lease::Lease;
use super::listing::Plan;
use super::{ACQUIRE_TIMEOUT, SqlStore, listing, statements as sql};

/// Keys in a PostgreSQL database that many processes share.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_api_key::ApiKeyLayer;
/// use tower_api_key::store::PostgresStore;
///
/// let store = PostgresStore::connect("postgres://app:secret@db.internal/app?sslmode=verify-full").await?;
/// store.migrate().await?;
/// let layer = ApiKeyLayer::new(store);
/// # Ok(())
/// # }
/// ```
pub type PostgresStore = SqlStore<Postgres>;

/// The database of a [`PostgresStore`].
#[derive(Debug)]
pub struct Postgres {
    pub(super) pool: PgPool,
    /// False if the pool has no statement cache, as for PgBouncer: each transaction may then run on another connection to
    /// the database.
    pub(super) named_statements: bool,
}

impl SqlStore<Postgres> {
    /// Connects to the database of this URL, with up to ten connections. [`migrate`](Self::migrate) creates the tables, in
    /// the first schema of the search path.
    ///
    /// Behind PgBouncer in transaction mode, add `statement-cache-capacity=0` to the URL, and
    /// `ignore_startup_parameters = extra_float_digits` to PgBouncer's settings. Every lookup is then a transaction
    /// of its own without a named statement: without the transaction, the pooler could return the rows of another client's
    /// statement. `CachedStore::watch` receives nothing through PgBouncer and logs it. Changes of other processes then
    /// apply when the cache's entries expire.
    ///
    /// # Errors
    /// When the URL is invalid, or no connection can be made within five seconds.
    pub async fn connect(url: &str) -> Result<Self, SqlError> {
        let options = PgConnectOptions::from_str(url)?;
        let pool = PgPoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).connect_with(options).await?;
        Ok(Self::from_pool(pool))
    }

    /// Keeps the keys in the database of this pool, next to the application's own tables.
    ///
    /// For PgBouncer in transaction mode, open the pool with `statement_cache_capacity(0)`: see
    /// [`connect`](Self::connect). The capacity is read once, here.
    #[must_use]
    pub fn from_pool(pool: PgPool) -> Self {
        let named_statements = caches_statements(&pool.connect_options());
        Self::new(Postgres { pool, named_statements })
    }

    /// Returns the connections, for an application that keeps its own tables next to the keys.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.database.pool
    }
}

/// Makes a commit wait for the disk, whatever the settings of the database, the role or the connection. A stronger setting
/// stays.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', true) \
    WHERE current_setting('synchronous_commit') <> 'remote_apply'";

/// A random number, so that no other program uses the lock.
const LOCK_MIGRATIONS: &str = "SELECT pg_advisory_xact_lock(6158741370482205961)::text";

/// Only the URL of the options has the capacity. Its other parts are replaced: the password must not be copied, and not
/// every host can be written into a URL.
fn caches_statements(options: &PgConnectOptions) -> bool {
    let options = options.clone().host("localhost").username("").password("").database("");
    let url = options.to_url_lossy();
    !url.query_pairs().any(|(name, value)| name == "statement-cache-capacity" && value == "0")
}

impl Postgres {
    async fn lease(&self) -> Result<Lease, sqlx::Error> {
        Lease::take(&self.pool, self.named_statements).await
    }
}

impl Database for Postgres {
    // `now()` is the beginning of the transaction, which may be before a key that it waited for was created.
    const NOW: &'static str = "SELECT floor(extract(epoch FROM clock_timestamp()))::bigint";
    const GET_LOCKED: &'static str = sql::GET_FOR_UPDATE;
    const LOCK_ORGANIZATION: Option<&'static str> =
        Some("SELECT pg_advisory_xact_lock(1637423093, hashtext($1))::text");
    const LIST_ALL: &'static str = listing::ALL_POSTGRES;
    const ENDED: &'static str = sql::ENDED_POSTGRES;
    const OF_ORGANIZATION: &'static str = sql::OF_ORGANIZATION_POSTGRES;
    const DELETE: [&'static str; 3] = sql::DELETE_POSTGRES;
    const RECORD_USAGE: &'static str = sql::RECORD_USAGE_POSTGRES;
    const MIGRATIONS: &'static [Migration] = &[
        Migration { version: 1, compatible_from: 1, script: include_str!("migrations/postgres/1_keys.sql") },
        Migration { version: 2, compatible_from: 1, script: include_str!("migrations/postgres/2_organizations.sql") },
        Migration { version: 3, compatible_from: 1, script: include_str!("migrations/postgres/3_changes.sql") },
        Migration { version: 4, compatible_from: 1, script: include_str!("migrations/postgres/4_usage.sql") },
    ];

    type Transaction = Lease;

    fn list(plan: Plan) -> &'static str {
        listing::postgres(plan)
    }

    async fn fetch(&self, statement: &'static str, values: Vec<Value>) -> Result<Rows, sqlx::Error> {
        let mut lease = self.lease().await?;
        if self.named_statements {
            return lease.fetch(statement, values).await;
        }
        // The parts of a query are sent one after the other. Outside of a transaction, a pooler may give each to another
        // connection, where the statement without a name is another client's.
        lease.begin().await?;
        let rows = lease.fetch(statement, values).await?;
        lease.commit().await?;
        Ok(rows)
    }

    async fn begin(&self) -> Result<Lease, SqlError> {
        let mut lease = self.lease().await?;
        lease.begin().await?;
        lease.fetch(DURABLE, vec![]).await?;
        Ok(lease)
    }

    async fn begin_migration(&self) -> Result<Lease, SqlError> {
        let mut lease = self.begin().await?;
        lease.fetch_unhurried(LOCK_MIGRATIONS, vec![]).await?;
        Ok(lease)
    }

    async fn fetch_in(lease: &mut Lease, statement: &'static str, values: Vec<Value>) -> Result<Rows, sqlx::Error> {
        lease.fetch(statement, values).await
    }

    async fn run_script(lease: &mut Lease, script: &'static str) -> Result<(), sqlx::Error> {
        lease.run_script(script).await
    }

    async fn commit(lease: Lease) -> Result<(), sqlx::Error> {
        lease.commit().await
    }

    fn is_missing_table(error: &dyn sqlx::error::DatabaseError) -> bool {
        error.code().as_deref() == Some("42P01")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases: 112.
    #[test]
    fn pool_without_statement_cache_is_recognized() {
        for (url, caches) in [
            ("postgres://app:secret@db.internal/app", true),
            ("postgres://app@db.internal/app?statement-cache-capacity=0", false),
            ("postgres://app@db.internal/app?statement-cache-capacity=10", true),
            ("postgres:///app?hostaddr=::1&statement-cache-capacity=0", false),
            ("postgres:///app?host=/run/postgresql&statement-cache-capacity=0", false),
            ("postgres:///app?user=a@b/c%3F:&dbname=x%3Fstatement-cache-capacity%3D0&password=%00", true),
        ] {
            assert_eq!(caches_statements(&url.parse().unwrap()), caches, "{url}");
        }
    }
}
