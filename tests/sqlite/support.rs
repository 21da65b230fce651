//! What every test here needs: a file of its own, a request through the layer, the log.

use std::convert::Infallible;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, Once};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use log::{Level, LevelFilter, Log, Metadata, Record};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::{
    Access, ApiKey, ApiKeyLayer, IssuedKey, KeyManager, ManageError, NewKey, OrganizationId, SchemaError, Scope,
    SqlError, SqliteStore,
};

/// A directory of its own for each test, gone with it.
pub(super) struct Dir(PathBuf);

impl Dir {
    pub(super) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        watch_driver_threads();
        let name = format!("sqlite-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.join("keys.db")
    }

    pub(super) fn url(&self) -> String {
        format!("sqlite:{}", self.file().display())
    }

    /// The store of this directory's file, with its tables.
    pub(super) async fn store(&self) -> SqliteStore {
        let store = SqliteStore::connect(&self.url()).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    /// The version of the schema that this crate brings a file to.
    pub(super) async fn latest_version() -> i64 {
        let dir = Self::new();
        let store = SqliteStore::connect(&dir.url()).await.unwrap();
        match store.check_schema().await {
            Err(SchemaError::Behind { found: 0, needed }) => needed,
            other => panic!("{other:?}"),
        }
    }

    /// How a stranger opens the file: with the driver's defaults, `synchronous=FULL` among them.
    pub(super) fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new().filename(self.file()).create_if_missing(true)
    }

    /// A stranger's connection to the file, to edit it by hand.
    pub(super) async fn sql(&self) -> Sql {
        Sql(SqliteConnection::connect_with(&self.options()).await.unwrap())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A pool on the file with these options.
pub(super) async fn pool(options: SqliteConnectOptions, connections: u32) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options)
        .await
        .unwrap()
}

/// A connection that runs whatever text it is given.
pub(super) struct Sql(SqliteConnection);

impl Sql {
    pub(super) async fn run(&mut self, sql: impl Into<String>) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut self.0).await.map(drop)
    }

    pub(super) async fn rows(&mut self, sql: impl Into<String>) -> Vec<SqliteRow> {
        sqlx::query(AssertSqlSafe(sql.into())).fetch_all(&mut self.0).await.unwrap()
    }

    pub(super) async fn text(&mut self, sql: impl Into<String>) -> String {
        self.rows(sql).await[0].get(0)
    }

    pub(super) async fn int(&mut self, sql: impl Into<String>) -> i64 {
        self.rows(sql).await[0].get(0)
    }

    /// Everything in the tables of keys and organizations, to see whether anything has changed.
    pub(super) async fn dump(&mut self) -> Vec<String> {
        let keys = "SELECT quote(id) || quote(digest) || quote(organization) || quote(name) || quote(access) \
            || quote(scopes) || quote(created_at) || quote(expires_at) || quote(revoked_at) || quote(replaced_by) \
            FROM tower_api_key_keys";
        let organizations = "SELECT quote(organization) || quote(max_key_age) || quote(disabled) \
            FROM tower_api_key_organizations";
        let rows = self.rows(format!("{keys} UNION ALL {organizations} ORDER BY 1")).await;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The schema as it is stored, but for the tables of SQLite itself.
    pub(super) async fn schema(&mut self) -> Vec<String> {
        let sql = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_master \
            WHERE name NOT LIKE 'sqlite_%' ORDER BY 1";
        self.rows(sql).await.iter().map(|row| row.get(0)).collect()
    }

    /// Fails while any connection to the file is in a transaction: one that writes holds the lock, and one that
    /// reads holds back the checkpoint.
    pub(super) async fn nobody_is_in_a_transaction(&mut self) {
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

pub(super) fn acme() -> &'static OrganizationId {
    static ACME: LazyLock<OrganizationId> = LazyLock::new(|| "acme".parse().unwrap());
    &ACME
}

pub(super) fn full() -> NewKey {
    NewKey::new("full", Access::Full).unwrap()
}

pub(super) fn scoped(scopes: &[&'static str]) -> NewKey {
    NewKey::new("scoped", Access::scoped(scopes.iter().map(|scope| Scope::from_static(scope)))).unwrap()
}

pub(super) async fn issue(store: &SqliteStore, key: NewKey) -> IssuedKey {
    store.issue(acme(), key).await.unwrap()
}

/// A response, as much of it as the tests look at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) retry_after: Option<String>,
}

impl Reply {
    /// The request has reached the inner service, with a key of this access.
    pub(super) fn accepted(access: &Access) -> Self {
        Self { status: 200, body: format!("{access:?}"), retry_after: None }
    }

    pub(super) fn invalid() -> Self {
        Self { status: 401, body: r#"{"detail":"Invalid API key."}"#.into(), retry_after: None }
    }

    pub(super) fn expired() -> Self {
        Self { status: 401, body: r#"{"detail":"API key has expired."}"#.into(), retry_after: None }
    }

    pub(super) fn forbidden() -> Self {
        let body = r#"{"detail":"You do not have permission to perform this action."}"#.into();
        Self { status: 403, body, retry_after: None }
    }

    pub(super) fn unavailable() -> Self {
        let body = r#"{"detail":"Service temporarily unavailable, try again later."}"#.into();
        Self { status: 503, body, retry_after: Some("1".into()) }
    }
}

/// The reply to a request with this key, through the layer.
pub(super) async fn call(layer: &ApiKeyLayer, key: &str) -> Reply {
    let inner = service_fn(|request: Request<String>| async move {
        let key = request.extensions().get::<ApiKey>().expect("the layer puts it there");
        Ok::<_, Infallible>(Response::new(format!("{:?}", key.access())))
    });
    let request = Request::builder().header("x-avala-api-key", key).body(String::new()).unwrap();
    let Ok(response) = layer.layer(inner).oneshot(request).await;
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let Ok(body) = response.into_body().collect().await;
    Reply { status, body: String::from_utf8(body.to_bytes().to_vec()).unwrap(), retry_after }
}

/// The reply to a request with this key, through a layer that lets any valid key pass.
pub(super) async fn any(store: &SqliteStore, key: &IssuedKey) -> Reply {
    call(&ApiKeyLayer::new(store.clone()), key.secret.expose_secret()).await
}

/// The store's own error in the chain of sources.
pub(super) fn sql_error(error: &ManageError) -> &SqlError {
    sources(error).find_map(|error| error.downcast_ref()).unwrap_or_else(|| panic!("no SqlError in {error:?}"))
}

/// An error with all its sources on one line, as it would be logged.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    sources(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The warnings and errors in the log that hold this text. Tests run side by side, so ask for something that
/// only your test logs.
pub(super) fn logged(needle: &str) -> Vec<String> {
    let lines = LINES.lock().unwrap();
    lines.iter().filter(|line| line.contains(needle)).cloned().collect()
}

/// From now on, a line at any level is kept too if it holds this text.
pub(super) fn watch_log_for(text: &str) {
    WATCHED.lock().unwrap().push(text.to_owned());
    log::set_max_level(LevelFilter::Trace);
}

pub(super) fn capture_log() {
    static START: Once = Once::new();
    START.call_once(|| {
        log::set_logger(&Capture).unwrap();
        log::set_max_level(LevelFilter::Warn);
    });
}

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static WATCHED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Capture;

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {} {}", record.level(), record.target(), record.args());
        let watched = || WATCHED.lock().unwrap().iter().any(|text| line.contains(text));
        if record.level() <= Level::Warn || watched() {
            LINES.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

/// Each connection has a thread of the driver's, in which a panic would go unnoticed.
pub(super) fn no_driver_thread_has_panicked() {
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
