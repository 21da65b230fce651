//! A schema for each test, on the server that `DATABASE_URL` names, and connections to edit its tables by hand.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row};
use tower_api_key::store::PostgresStore;

/// Drops everything that keeps invalid rows out of the tables.
pub(crate) const LOOSEN: &str = "
DO $$
DECLARE r record;
BEGIN
    FOR r IN SELECT conrelid::regclass AS t, conname AS name FROM pg_constraint
        WHERE connamespace = current_schema()::regnamespace AND conrelid <> 0
        AND conrelid IN ('tower_api_key_keys'::regclass, 'tower_api_key_organizations'::regclass) LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', r.t, r.name);
    END LOOP;
    FOR r IN SELECT attrelid::regclass AS t, attname AS name FROM pg_attribute WHERE attnotnull AND attnum > 0
        AND attrelid IN ('tower_api_key_keys'::regclass, 'tower_api_key_organizations'::regclass) LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', r.t, r.name);
    END LOOP;
END
$$;
DROP INDEX tower_api_key_keys_listing, tower_api_key_keys_all, tower_api_key_keys_environment, tower_api_key_keys_creator,
    tower_api_key_keys_revoked, tower_api_key_keys_suspended, tower_api_key_keys_ended, tower_api_key_keys_lasting, tower_api_key_keys_expiring,
    tower_api_key_keys_search, tower_api_key_keys_all_ended, tower_api_key_keys_all_expiring;
DROP TRIGGER tower_api_key_keys_revoked_for_good ON tower_api_key_keys;
ALTER TABLE tower_api_key_keys DISABLE TRIGGER USER;
";

pub(crate) fn server_url() -> String {
    std::env::var("DATABASE_URL").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".into())
}

/// The URL with one more parameter. A later one wins over an earlier one in the URL.
pub(crate) fn with(url: &str, parameter: &str, value: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{parameter}={value}")
}

/// An empty schema, first and only in the search path of its URL. Gone at the end, with whatever still works in it.
pub(crate) struct Schema {
    name: String,
}

impl Schema {
    pub(crate) async fn new() -> Self {
        let name = unique("schema");
        let mut sql = Sql::connect(&server_url()).await;
        sql.run(format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")).await.unwrap();
        Self { name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn url(&self) -> String {
        let url = with(&server_url(), "options[search_path]", &self.name);
        with(&url, "application_name", &self.name)
    }

    /// A connection of another program, to edit the tables by hand.
    pub(crate) async fn sql(&self) -> Sql {
        Sql::connect(&self.url()).await
    }

    /// A store on this schema, with its tables.
    pub(crate) async fn store(&self) -> PostgresStore {
        let store = PostgresStore::connect(&self.url()).await.unwrap();
        store.migrate().await.unwrap();
        store
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let name = &self.name;
        at_the_end(format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '{name}'; \
             SET lock_timeout = '5s'; SET client_min_messages = error; DROP SCHEMA IF EXISTS {name} CASCADE"
        ));
    }
}

/// A name that nothing else on the server has.
pub(crate) fn unique(kind: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("tower_api_key_test_{kind}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Cleans up from a destructor, which cannot await. A failure to clean up is logged, and fails no test.
pub(crate) fn at_the_end(sql: String) {
    in_a_runtime_of_its_own(async move {
        if let Err(error) = Sql::connect(&server_url()).await.run(sql).await {
            eprintln!("left behind: {error}");
        }
    });
}

fn in_a_runtime_of_its_own(work: impl Future<Output = ()> + Send + 'static) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _ = std::thread::spawn(move || runtime().block_on(work)).join();
}

/// A connection that runs whatever text it is given.
pub(crate) struct Sql(PgConnection);

impl Sql {
    pub(crate) async fn connect(url: &str) -> Self {
        Self(PgConnection::connect(url).await.unwrap())
    }

    pub(crate) async fn run(&mut self, sql: impl Into<String>) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut self.0).await.map(drop)
    }

    pub(crate) async fn rows(&mut self, sql: impl Into<String>) -> Vec<PgRow> {
        sqlx::raw_sql(AssertSqlSafe(sql.into())).fetch_all(&mut self.0).await.unwrap()
    }

    /// The first column, which is text.
    pub(crate) async fn texts(&mut self, sql: impl Into<String>) -> Vec<String> {
        self.rows(sql).await.iter().map(|row| row.get(0)).collect()
    }

    pub(crate) async fn int(&mut self, sql: impl Into<String>) -> i64 {
        self.rows(sql).await[0].get(0)
    }
}
