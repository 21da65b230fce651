//! A SQLite file for each test, and connections to edit its tables by hand.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use tower_api_key::store::{SchemaError, SqlError, SqliteStore};

/// Makes of the tables what an import by hand or `CREATE TABLE .. AS` would: without types and constraints.
pub(crate) const LOOSEN: &str = "
DROP TABLE tower_api_key_keys;
CREATE TABLE tower_api_key_keys
    (id, digest, organization, name, hint, environment, access, scopes, networks DEFAULT '*', metadata DEFAULT '{}',
    created_at, created_by, imported DEFAULT 0, suspended DEFAULT 0, expires_at, revoked_at, replaced_by);
DROP TABLE tower_api_key_organizations;
CREATE TABLE tower_api_key_organizations (organization, max_key_age, disabled);
";

/// A directory of its own for each test, gone with it.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        watch_driver_threads();
        let name = format!("sqlite-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("keys.db")
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.file().display())
    }

    /// The store of this directory's file, with its tables.
    pub(crate) async fn store(&self) -> SqliteStore {
        let store = SqliteStore::connect(&self.url()).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    /// The version of the schema that this crate brings a file to.
    pub(crate) async fn latest_version() -> i64 {
        let dir = Self::new();
        let store = SqliteStore::connect(&dir.url()).await.unwrap();
        match store.check_schema().await {
            Err(SchemaError::Behind { found: 0, needed }) => needed,
            other => panic!("{other:?}"),
        }
    }

    /// How another program opens the file: with the driver's defaults, `synchronous=FULL` among them.
    pub(crate) fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new().filename(self.file()).create_if_missing(true)
    }

    /// A connection of another program to the file, to edit it by hand.
    pub(crate) async fn sql(&self) -> Sql {
        Sql(SqliteConnection::connect_with(&self.options()).await.unwrap())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A pool on the file with these options.
pub(crate) async fn pool(options: SqliteConnectOptions, connections: u32) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options)
        .await
        .unwrap()
}

/// A connection that runs whatever text it is given.
pub(crate) struct Sql(SqliteConnection);

impl Sql {
    pub(crate) async fn run(&mut self, sql: impl Into<String>) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut self.0).await.map(drop)
    }

    pub(crate) async fn rows(&mut self, sql: impl Into<String>) -> Vec<SqliteRow> {
        sqlx::query(AssertSqlSafe(sql.into())).fetch_all(&mut self.0).await.unwrap()
    }

    pub(crate) async fn text(&mut self, sql: impl Into<String>) -> String {
        self.rows(sql).await[0].get(0)
    }

    /// The first column, which is text.
    pub(crate) async fn texts(&mut self, sql: impl Into<String>) -> Vec<String> {
        self.rows(sql).await.iter().map(|row| row.get(0)).collect()
    }

    pub(crate) async fn int(&mut self, sql: impl Into<String>) -> i64 {
        self.rows(sql).await[0].get(0)
    }

    /// Everything in the tables of keys and organizations, to see whether anything has changed.
    pub(crate) async fn dump(&mut self) -> Vec<String> {
        let keys = "SELECT quote(id) || quote(digest) || quote(organization) || quote(name) || quote(access) \
            || quote(scopes) || quote(networks) || quote(metadata) || quote(suspended) || quote(created_at) || quote(expires_at) || quote(revoked_at) || quote(replaced_by) \
            FROM tower_api_key_keys";
        let organizations = "SELECT quote(organization) || quote(max_key_age) || quote(disabled) \
            FROM tower_api_key_organizations";
        let rows = self.rows(format!("{keys} UNION ALL {organizations} ORDER BY 1")).await;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The schema as it is stored, but for the tables of SQLite itself.
    pub(crate) async fn schema(&mut self) -> Vec<String> {
        let sql = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_master \
            WHERE name NOT LIKE 'sqlite_%' ORDER BY 1";
        self.rows(sql).await.iter().map(|row| row.get(0)).collect()
    }

    /// Fails while any connection to the file is in a transaction: one that writes holds the lock, and one that
    /// reads holds back the checkpoint.
    pub(crate) async fn nobody_is_in_a_transaction(&mut self) {
        for attempt in 0.. {
            let busy: i64 = self.rows("PRAGMA wal_checkpoint(TRUNCATE)").await[0].get(0);
            if busy == 0 {
                return;
            }
            assert!(attempt < 50, "somebody is still in a transaction");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The store's own error in the chain of sources.
pub(crate) fn sql_error<'a>(error: &'a (dyn Error + 'static)) -> &'a SqlError {
    sources(error).find_map(|error| error.downcast_ref()).unwrap_or_else(|| panic!("no SqlError in {error:?}"))
}

fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Each connection has a thread of the driver's, in which a panic would go unnoticed.
pub(crate) fn no_driver_thread_has_panicked() {
    assert_eq!(*PANICS.lock().unwrap(), [""; 0]);
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn watch_driver_threads() {
    static START: Once = Once::new();
    START.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name().is_some_and(|name| name.starts_with("sqlx-")) {
                PANICS.lock().unwrap().push(panic.to_string());
            }
            usual(panic);
        }));
    });
}
