//! The databases of a run: each has the keys in the tables of this crate, and in one as people write it.

use std::path::PathBuf;

use serde_json::json;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Executor};
use tower_api_key::BoxError;
use tower_api_key::key::KeyRecord;
use tower_api_key::store::{InsertRules, KeyBackend, NewRecord, PostgresStore, SqliteStore};

use crate::keys;

#[derive(Clone, Debug)]
pub(crate) struct Urls {
    pub(crate) sqlite: String,
    pub(crate) sqlite_analyzed: String,
    pub(crate) postgres: String,
}

impl Urls {
    pub(crate) fn to_text(&self) -> String {
        json!([self.sqlite, self.sqlite_analyzed, self.postgres]).to_string()
    }

    pub(crate) fn from_text(text: &str) -> Result<Self, BoxError> {
        let [sqlite, sqlite_analyzed, postgres] = serde_json::from_str(text)?;
        Ok(Self { sqlite, sqlite_analyzed, postgres })
    }
}

/// Gone when this is dropped.
pub(crate) struct Databases {
    pub(crate) urls: Urls,
    /// Servers may put files there.
    pub(crate) dir: PathBuf,
    pub(crate) versions: String,
    schema: String,
    server: String,
}

/// Times are Unix seconds, and scopes are separated by spaces.
const HAND_WRITTEN: &str = "CREATE TABLE api_keys (id TEXT PRIMARY KEY, digest BYTES NOT NULL UNIQUE, \
    organization TEXT NOT NULL, name TEXT NOT NULL, scopes TEXT NOT NULL, expires_at BIGINT, revoked_at BIGINT)";

impl Databases {
    pub(crate) fn create() -> Result<Self, BoxError> {
        tokio::runtime::Runtime::new()?.block_on(async {
            let number = std::process::id();
            let dir = std::env::temp_dir().join(format!("tower-api-key-servers-{number}"));
            std::fs::create_dir_all(&dir)?;
            let file = |name: &str| format!("sqlite:{}", dir.join(name).display());
            let server = std::env::var("DATABASE_URL");
            let server = server.unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".into());
            let schema = format!("servers_{number}");
            let separator = if server.contains('?') { '&' } else { '?' };
            let postgres = format!("{server}{separator}options[search_path]={schema}");
            let urls = Urls { sqlite: file("keys.db"), sqlite_analyzed: file("analyzed.db"), postgres };
            let mut databases = Self { urls, dir, versions: String::new(), schema, server };
            databases.versions = databases.fill().await?;
            Ok(databases)
        })
    }

    /// Returns the versions of both databases.
    async fn fill(&self) -> Result<String, BoxError> {
        let mut version = String::new();
        for url in [&self.urls.sqlite, &self.urls.sqlite_analyzed] {
            let store = SqliteStore::connect(url).await?;
            store.migrate().await?;
            fill(&store).await?;
            store.pool().execute(AssertSqlSafe(HAND_WRITTEN.replace("BYTES", "BLOB"))).await?;
            store.pool().execute(COPY).await?;
            if *url == self.urls.sqlite_analyzed {
                store.pool().execute("ANALYZE").await?;
            }
            version = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(store.pool()).await?;
        }
        let schema = format!("DROP SCHEMA IF EXISTS {0} CASCADE; CREATE SCHEMA {0}", self.schema);
        PgPool::connect(&self.server).await?.execute(AssertSqlSafe(schema)).await?;
        let store = PostgresStore::connect(&self.urls.postgres).await?;
        store.migrate().await?;
        fill(&store).await?;
        let pool = PgPool::connect(&self.urls.postgres).await?;
        pool.execute(AssertSqlSafe(HAND_WRITTEN.replace("BYTES", "BYTEA"))).await?;
        pool.execute(COPY).await?;
        pool.execute("ANALYZE").await?;
        let postgres: String = sqlx::query_scalar("SHOW server_version").fetch_one(&pool).await?;
        Ok(format!("SQLite {version}, Postgres {postgres}"))
    }
}

const COPY: &str = "INSERT INTO api_keys SELECT id, digest, organization, name, scopes, expires_at, revoked_at \
    FROM tower_api_key_keys";

async fn fill(store: &impl KeyBackend) -> Result<(), BoxError> {
    let new = |record: KeyRecord| NewRecord {
        name: record.name().into(),
        expires_at: record.expires_at(),
        ..NewRecord::new(record.id(), *record.digest(), record.organization().clone(), record.access().clone())
    };
    for inserted in store.insert_many(keys::records().map(new).collect(), InsertRules::new()).await? {
        inserted?;
    }
    Ok(())
}

impl Drop for Databases {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
        let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema);
        if let Ok(runtime) = tokio::runtime::Runtime::new() {
            let dropped =
                runtime.block_on(async { PgPool::connect(&self.server).await?.execute(AssertSqlSafe(drop)).await });
            if let Err(error) = dropped {
                eprintln!("the schema {} stays: {error}", self.schema);
            }
        }
    }
}
