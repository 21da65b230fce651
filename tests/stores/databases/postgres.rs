use tower_api_key::store::PostgresStore;

use super::database::{Database, InvalidMigrations, Obstacle, impl_store};
use super::previous_version::postgres::{Previous, SCHEMA};
use super::processes;
use crate::support::postgres::{LOOSEN, Schema, Sql, server_url, with};

impl_store!(PostgresStore);

pub(super) struct Postgres(Schema);

impl Database for Postgres {
    type Store = PostgresStore;
    type PreviousVersion = Previous;

    const RACING_MIGRATIONS: usize = 20;
    const NOW: &str = "floor(extract(epoch FROM clock_timestamp()))::bigint";
    const ONLY_HERE: &str = "only in Postgres";
    const VACUUM: &str = "VACUUM (ANALYZE) tower_api_key_keys";
    const OTHER_DIGEST: &str = "decode(repeat('00', 32), 'hex')";
    const UPDATES: &[&str] = &["UPDATE"];
    const ID_OF_I: &str = "'00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0')";
    const DIGEST_OF_I: &str = "sha256(i::text::bytea)";
    const NO_SUCH_TABLE: &str = "does not exist";
    const PREVIOUS_SCHEMA: &str = SCHEMA;
    const APPLICATION: &str = "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on \
         TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, execution_time BIGINT \
         NOT NULL); \
         INSERT INTO _sqlx_migrations VALUES (1, 'mine', '2026-01-01', TRUE, 'x', 7), \
         (2, 'mine too', '2026-01-02', TRUE, 'y', 7), (99, 'and mine', '2026-01-03', TRUE, 'z', 7); \
         CREATE TABLE keys (mine int); CREATE TABLE organizations (mine int); CREATE TABLE migrations (mine int);";
    const OBSTACLES: &[Obstacle] = &[
        Obstacle {
            create: "CREATE TABLE tower_api_key_keys (x int)",
            remove: "DROP TABLE tower_api_key_keys",
            after_previous: false,
        },
        Obstacle {
            create: "CREATE TABLE t (x int); CREATE INDEX tower_api_key_keys_listing ON t (x)",
            remove: "DROP TABLE t",
            after_previous: false,
        },
        Obstacle {
            create: "CREATE FUNCTION tower_api_key_revoked_for_good() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            remove: "DROP FUNCTION tower_api_key_revoked_for_good()",
            after_previous: false,
        },
        Obstacle {
            create: "CREATE VIEW tower_api_key_organizations AS SELECT 1 AS x",
            remove: "DROP VIEW tower_api_key_organizations",
            after_previous: true,
        },
        Obstacle {
            create: "CREATE FUNCTION tower_api_key_notify_all() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            remove: "DROP FUNCTION tower_api_key_notify_all()",
            after_previous: true,
        },
    ];
    const INVALID_MIGRATIONS: &[InvalidMigrations] = &[
        table(
            "CREATE TABLE tower_api_key_migrations (version text, compatible_from text, applied_at bigint); \
             INSERT INTO tower_api_key_migrations VALUES ('three', 'three', 0)",
        ),
        table(
            "CREATE TABLE tower_api_key_migrations (version int, compatible_from int, applied_at bigint); \
             INSERT INTO tower_api_key_migrations VALUES (3, 3, 0)",
        ),
        table(
            "CREATE TABLE tower_api_key_migrations (version boolean, compatible_from boolean, applied_at bigint); \
             INSERT INTO tower_api_key_migrations VALUES (true, true, 0)",
        ),
        table(
            "CREATE TABLE tower_api_key_migrations (version float8, compatible_from float8, applied_at bigint); \
             INSERT INTO tower_api_key_migrations VALUES ('NaN', 'NaN', 0)",
        ),
        InvalidMigrations {
            after_migrating: true,
            edit: "ALTER TABLE tower_api_key_migrations ALTER COLUMN compatible_from DROP NOT NULL; \
                UPDATE tower_api_key_migrations SET compatible_from = NULL",
            is_bad_row: true,
        },
    ];

    fn series(numbers: i64) -> String {
        format!("SELECT generate_series(0, {numbers} - 1) AS i")
    }

    async fn new() -> Self {
        Self(Schema::new().await)
    }

    fn url(&self) -> String {
        self.0.url()
    }

    async fn connect(url: &str) -> PostgresStore {
        PostgresStore::connect(url).await.unwrap()
    }

    async fn previous_version(&self) -> Previous {
        Previous(sqlx::postgres::PgPoolOptions::new().max_connections(4).connect(&self.url()).await.unwrap())
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
        let sql = "
            SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' '
                || coalesce(column_default, '') FROM information_schema.columns WHERE table_schema = current_schema()
            UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = current_schema()
            UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
                WHERE connamespace = current_schema()::regnamespace
            UNION ALL SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM pg_trigger t
                JOIN pg_class c ON c.oid = t.tgrelid
                WHERE c.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal
            UNION ALL SELECT 'function ' || pg_get_functiondef(oid) FROM pg_proc
                WHERE pronamespace = current_schema()::regnamespace
            UNION ALL SELECT 'relation ' || relname || ' ' || relkind::text FROM pg_class
                WHERE relnamespace = current_schema()::regnamespace
            ORDER BY 1";
        let objects = self.texts(sql).await;
        objects.into_iter().map(|object| object.replace(self.0.name(), "schema")).collect()
    }

    async fn columns(&self, table: &str) -> Vec<String> {
        let from = "FROM information_schema.columns WHERE table_schema = current_schema()";
        let order = "ORDER BY ordinal_position";
        self.texts(format!("SELECT column_name::text {from} AND table_name = '{table}' {order}")).await
    }

    fn shape(objects: Vec<String>) -> Vec<String> {
        objects
    }

    async fn assert_no_open_transaction(&self) {
        // Over a connection that is not counted itself.
        let mut sql = Sql::connect(&server_url()).await;
        let quiet = format!(
            "SELECT (count(*) = 0)::int::bigint FROM pg_stat_activity \
             WHERE application_name = '{}' AND xact_start IS NOT NULL",
            self.0.name()
        );
        until(async || sql.int(quiet.as_str()).await).await;
    }

    /// Between the first migration and the end: an uncommitted table of another connection holds the process there.
    async fn kill_migrations(check: impl AsyncFn(Self)) {
        for database_is_told in [false, true] {
            let database = Self::new().await;
            let schema = &database.0;
            let mut in_the_way = schema.sql().await;
            in_the_way.run("BEGIN; CREATE TABLE tower_api_key_organizations (x int)").await.unwrap();
            let mut other = processes::start();
            let name = format!("{}_other", schema.name());
            let connect = format!("connect {}", with(&schema.url(), "application_name", &name));
            assert_eq!(other.ask(&connect).await, "ok");
            other.begin("migrate").await;

            let half_way = format!(
                "SELECT coalesce(max(pid), 0)::bigint FROM pg_stat_activity \
                 WHERE application_name = '{name}' AND wait_event_type = 'Lock' AND wait_event = 'transactionid'"
            );
            let mut sql = schema.sql().await;
            let pid = until(async || sql.int(half_way.as_str()).await).await;
            if database_is_told {
                // Its connection ends with an error that it can see.
                sql.run(format!("SELECT pg_terminate_backend({pid}, 5000)")).await.unwrap();
            }
            other.kill().await;
            in_the_way.run("ROLLBACK").await.unwrap();
            let gone = format!("SELECT (count(*) = 0)::int::bigint FROM pg_stat_activity WHERE pid = {pid}");
            until(async || sql.int(gone.as_str()).await).await;
            check(database).await;
        }
    }

    async fn loosen(&self) {
        self.run(LOOSEN).await.unwrap();
    }
}

const fn table(edit: &'static str) -> InvalidMigrations {
    InvalidMigrations { after_migrating: false, edit, is_bad_row: false }
}

/// Returns the first result that is not 0, which must come soon.
async fn until(mut condition: impl AsyncFnMut() -> i64) -> i64 {
    for _ in 0..500 {
        match condition().await {
            0 => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            other => return other,
        }
    }
    panic!("it never came to that");
}
