use tower_api_key::store::SqliteStore;

use super::database::{Database, InvalidMigrations, Obstacle, impl_store};
use super::previous_version::sqlite::{Previous, SCHEMA};
use super::processes;
use crate::support::sqlite::{Dir, LOOSEN, pool};

impl_store!(SqliteStore);

pub(super) struct Sqlite(Dir);

impl Database for Sqlite {
    type Store = SqliteStore;
    type PreviousVersion = Previous;

    const RACING_MIGRATIONS: usize = 100;
    const NOW: &str = "unixepoch()";
    const ONLY_HERE: &str = "only in SQLite";
    const VACUUM: &str = "ANALYZE";
    const OTHER_DIGEST: &str = "zeroblob(32)";
    const UPDATES: &[&str] = &["UPDATE", "UPDATE OR REPLACE", "UPDATE OR FAIL", "UPDATE OR ROLLBACK"];
    const ID_OF_I: &str = "printf('00000000-0000-4000-8000-%012x', i)";
    const DIGEST_OF_I: &str = "randomblob(32)";
    const NO_SUCH_TABLE: &str = "no such table";
    const PREVIOUS_SCHEMA: &str = SCHEMA;
    const APPLICATION: &str = "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMP \
         NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT \
         NOT NULL); \
         INSERT INTO _sqlx_migrations VALUES (1, 'mine', '2026-01-01', TRUE, x'01', 7), \
         (2, 'mine too', '2026-01-02', TRUE, x'02', 7), (99, 'and mine', '2026-01-03', TRUE, x'03', 7); \
         CREATE TABLE keys (mine); CREATE TABLE organizations (mine); CREATE TABLE migrations (mine);";
    const OBSTACLES: &[Obstacle] = &[
        Obstacle {
            create: "CREATE TABLE tower_api_key_keys (x)",
            remove: "DROP TABLE tower_api_key_keys",
            after_previous: false,
        },
        Obstacle {
            create: "CREATE TABLE t (x); CREATE INDEX tower_api_key_keys_listing ON t (x)",
            remove: "DROP TABLE t",
            after_previous: false,
        },
        Obstacle {
            create: "CREATE TABLE t (x); CREATE TRIGGER tower_api_key_keys_revoked_for_good BEFORE UPDATE ON t \
                BEGIN SELECT 1; END",
            remove: "DROP TABLE t",
            after_previous: false,
        },
        Obstacle {
            create: "CREATE VIEW tower_api_key_organizations AS SELECT 1",
            remove: "DROP VIEW tower_api_key_organizations",
            after_previous: true,
        },
    ];
    const INVALID_MIGRATIONS: &[InvalidMigrations] = &[
        row("INSERT INTO tower_api_key_migrations VALUES ('three', 1, 0)"),
        row("INSERT INTO tower_api_key_migrations VALUES (99, 'x', 0)"),
        row("INSERT INTO tower_api_key_migrations VALUES (99, x'00', 0)"),
        row("INSERT INTO tower_api_key_migrations VALUES (99, 1.5, 0)"),
        row("INSERT INTO tower_api_key_migrations VALUES (1e300, 1, 0)"),
    ];

    fn series(numbers: i64) -> String {
        format!(
            "WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i < {numbers} - 1) SELECT i FROM s"
        )
    }

    async fn new() -> Self {
        Self(Dir::new())
    }

    fn url(&self) -> String {
        self.0.url()
    }

    async fn connect(url: &str) -> SqliteStore {
        SqliteStore::connect(url).await.unwrap()
    }

    async fn previous_version(&self) -> Previous {
        Previous(pool(self.0.options(), 4).await)
    }

    async fn run(&self, sql: impl Into<String>) -> Result<(), sqlx::Error> {
        self.0.sql().await.run(sql).await
    }

    async fn texts(&self, sql: impl Into<String>) -> Vec<String> {
        self.0.sql().await.texts(sql).await
    }

    async fn int(&self, sql: impl Into<String>) -> i64 {
        self.0.sql().await.int(sql).await
    }

    async fn objects(&self) -> Vec<String> {
        self.0.sql().await.schema().await
    }

    async fn columns(&self, table: &str) -> Vec<String> {
        self.texts(format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid")).await
    }

    fn shape(objects: Vec<String>) -> Vec<String> {
        let mut tables: Vec<_> = objects.into_iter().filter(|object| object.contains("STRICT")).collect();
        tables.iter_mut().for_each(|table| table.retain(|c| !c.is_whitespace()));
        tables
    }

    async fn assert_no_open_transaction(&self) {
        self.0.sql().await.nobody_is_in_a_transaction().await;
    }

    async fn kill_migrations(check: impl AsyncFn(Self)) {
        let database = Self::new().await;
        let mut other = processes::start();
        assert_eq!(other.ask(&format!("half-migrate {}", database.0.file().display())).await, "half way");
        other.kill().await;
        check(database).await;
    }

    async fn loosen(&self) {
        self.run(LOOSEN).await.unwrap();
    }

    async fn create_previous(&self) {
        self.run(format!("PRAGMA journal_mode = WAL; BEGIN; {SCHEMA} COMMIT")).await.unwrap();
    }
}

const fn row(edit: &'static str) -> InvalidMigrations {
    InvalidMigrations { after_migrating: true, edit, is_bad_row: false }
}
