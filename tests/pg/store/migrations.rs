use futures::future::join_all;
use tower_api_key::{Access, ApiKeyLayer, Expiry, KeyManager, ListKeys, PostgresStore, SchemaError, SqlError};

use super::calls::{Reply, acme, any, call, chain, full, issue};
use super::previous_version;
use super::processes::OtherProcess;
use super::schema::{Schema, with};
use super::sql::Sql;

/// What a schema holds after one undisturbed migration of an empty one.
struct Complete {
    objects: Vec<String>,
    versions: Vec<String>,
    known: i64,
}

impl Complete {
    async fn new() -> Self {
        let schema = Schema::new().await;
        schema.store().await;
        let mut sql = schema.sql().await;
        let (objects, versions) = (objects(&schema).await, versions(&mut sql).await);
        let known = sql.int("SELECT max(version) FROM tower_api_key_migrations").await;
        assert!(known > 1 && objects.iter().any(|object| object.starts_with("column tower_api_key_keys.id text")));
        assert_eq!(versions.len(), usize::try_from(known).unwrap());
        Self { objects, versions, known }
    }

    /// The same and not once more.
    async fn assert_reached_by(&self, schema: &Schema) {
        assert_eq!(objects(schema).await, self.objects);
        assert_eq!(versions(&mut schema.sql().await).await, self.versions);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn case_119_four_pools_migrate_one_empty_schema_at_once() {
    let complete = Complete::new().await;
    for round in 0..40 {
        let schema = Schema::new().await;
        if round % 2 == 1 {
            previous_version::create(&schema).await;
        }
        let programs = (0..4).map(|_| {
            let url = schema.url();
            tokio::spawn(async move {
                let store = PostgresStore::connect(&url).await.unwrap();
                store.migrate().await.expect("migrated beside others");
                store.check_schema().await.unwrap();
                let issued = issue(&store, full()).await;
                assert_eq!(any(&store, &issued).await, Reply::accepted(&Access::Full));
            })
        });
        for program in join_all(programs).await {
            program.unwrap();
        }
        complete.assert_reached_by(&schema).await;
        assert_eq!(schema.sql().await.int("SELECT count(*) FROM tower_api_key_keys").await, 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn case_119_two_processes_migrate_one_empty_schema_at_once() {
    let complete = Complete::new().await;
    let (mut one, mut other) = (OtherProcess::start(), OtherProcess::start());
    for round in 0..60 {
        let schema = Schema::new().await;
        if round % 2 == 1 {
            previous_version::create(&schema).await;
        }
        let url = schema.url();
        let answers = tokio::join!(one.migrate(&url), other.migrate(&url));
        assert_eq!((answers.0.as_str(), answers.1.as_str()), ("ok", "ok"), "round {round}");
        complete.assert_reached_by(&schema).await;
    }
}

#[tokio::test]
#[ignore = "needs Postgres"]
async fn case_119_migrating_again_changes_nothing() {
    let schema = Schema::new().await;
    let store = schema.store().await;
    let mut sql = schema.sql().await;
    sql.run("UPDATE tower_api_key_migrations SET applied_at = 5").await.unwrap();
    let (before, rows) = (objects(&schema).await, versions(&mut sql).await);
    store.migrate().await.unwrap();
    assert_eq!((objects(&schema).await, versions(&mut sql).await), (before, rows));
    assert_eq!(sql.int("SELECT sum(applied_at - 5)::bigint FROM tower_api_key_migrations").await, 0);
}

/// Something in the schema stands in the way of a later step: of the first migration, the second or the third.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn case_119_a_migration_that_fails_half_way_leaves_nothing_behind_and_can_be_resumed() {
    let complete = Complete::new().await;
    // The last of each: the versions that have not come past it.
    let obstacles = [
        ("CREATE TABLE tower_api_key_keys (x int)", "DROP TABLE tower_api_key_keys", 0..1),
        ("CREATE TABLE t (x int); CREATE INDEX tower_api_key_keys_listing ON t (x)", "DROP TABLE t", 0..1),
        (
            "CREATE FUNCTION tower_api_key_revoked_for_good() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "DROP FUNCTION tower_api_key_revoked_for_good()",
            0..1,
        ),
        ("CREATE VIEW tower_api_key_organizations AS SELECT 1 AS x", "DROP VIEW tower_api_key_organizations", 0..2),
        (
            "CREATE FUNCTION tower_api_key_notify_all() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "DROP FUNCTION tower_api_key_notify_all()",
            0..2,
        ),
    ];
    for (obstacle, removal, versions) in obstacles {
        for version in versions {
            let schema = Schema::new().await;
            if version == 1 {
                previous_version::create(&schema).await;
            }
            let mut sql = schema.sql().await;
            sql.run(obstacle).await.unwrap();
            let before = objects(&schema).await;
            let store = PostgresStore::connect(&schema.url()).await.unwrap();

            let error = store.migrate().await.unwrap_err();
            assert!(matches!(error, SchemaError::Sql(SqlError::Database(_))), "{error:?}");
            assert!(chain(&error).contains("already exists"), "{}", chain(&error));
            assert_eq!(objects(&schema).await, before, "{obstacle}");
            nobody_is_in_a_transaction(&schema).await;

            sql.run(removal).await.unwrap();
            store.migrate().await.unwrap();
            store.check_schema().await.unwrap();
            complete.assert_reached_by(&schema).await;
        }
    }
}

/// The process dies between the first migration and the end: somebody else's uncommitted table holds it there.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn case_119_a_process_killed_half_way_through_a_migration_leaves_nothing_behind() {
    let complete = Complete::new().await;
    for database_is_told in [false, true] {
        let schema = Schema::new().await;
        let mut in_the_way = schema.sql().await;
        in_the_way.run("BEGIN; CREATE TABLE tower_api_key_organizations (x int)").await.unwrap();
        let mut other = OtherProcess::start();
        other.begin_to_migrate(&with(&schema.url(), "application_name", &format!("{}_other", schema.name()))).await;

        let half_way = format!(
            "SELECT coalesce(max(pid), 0)::bigint FROM pg_stat_activity \
             WHERE application_name = '{}_other' AND wait_event_type = 'Lock' AND wait_event = 'transactionid'",
            schema.name()
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

        assert_eq!(objects(&schema).await, [""; 0]);
        let store = PostgresStore::connect(&schema.url()).await.unwrap();
        let behind = store.check_schema().await;
        assert!(matches!(behind, Err(SchemaError::Behind { found: 0, needed }) if needed == complete.known));
        store.migrate().await.unwrap();
        complete.assert_reached_by(&schema).await;
    }
}

#[tokio::test]
#[ignore = "needs Postgres"]
async fn case_119_migrations_only_add() {
    let complete = Complete::new().await;
    let schema = Schema::new().await;
    previous_version::create(&schema).await;
    let before = objects(&schema).await;
    schema.store().await;
    let after = objects(&schema).await;
    assert!(after.len() > before.len());
    for object in &before {
        assert!(after.contains(object), "{object}");
    }
    // An empty schema and one that has come all the way end up the same.
    assert_eq!(after, complete.objects);
}

#[tokio::test]
#[ignore = "needs Postgres"]
async fn case_119_an_applications_own_migrations_stay_as_they_are() {
    let complete = Complete::new().await;
    let schema = Schema::new().await;
    let mut sql = schema.sql().await;
    // The table in which the driver's own migrator keeps an application's migrations.
    sql.run(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on \
         TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, execution_time BIGINT \
         NOT NULL); \
         INSERT INTO _sqlx_migrations VALUES (1, 'mine', '2026-01-01', TRUE, 'x', 7), \
         (2, 'mine too', '2026-01-02', TRUE, 'y', 7), (99, 'and mine', '2026-01-03', TRUE, 'z', 7); \
         CREATE TABLE keys (mine int); CREATE TABLE organizations (mine int); CREATE TABLE migrations (mine int);",
    )
    .await
    .unwrap();
    let before = objects(&schema).await;
    let rows = "SELECT m::text FROM _sqlx_migrations m ORDER BY 1";
    let mine = sql.texts(rows).await;

    let store = schema.store().await;
    let issued = issue(&store, full()).await;
    assert_eq!(any(&store, &issued).await, Reply::accepted(&Access::Full));

    assert_eq!(sql.texts(rows).await, mine);
    assert_eq!(versions(&mut sql).await, complete.versions);
    let after = objects(&schema).await;
    let (own, others): (Vec<_>, Vec<_>) = after.into_iter().partition(|object| complete.objects.contains(object));
    assert_eq!((own, others), (complete.objects, before));
}

/// The schema of a version to come: an older program goes on until a migration says that it must not.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn case_119_only_an_incompatible_schema_is_refused() {
    let known = Complete::new().await.known;
    let futures = [
        (known + 1, 1, false),
        (known + 1, known, false),
        (known + 7, known, false),
        (known + 1, known + 1, true),
        (known + 7, known + 2, true),
    ];
    for (version, compatible_from, refused) in futures {
        let schema = Schema::new().await;
        let store = schema.store().await;
        let issued = issue(&store, full()).await;
        let mut sql = schema.sql().await;
        sql.run(
            "CREATE TABLE tower_api_key_of_the_future (x int); ALTER TABLE tower_api_key_keys ADD COLUMN later text; \
             ALTER TABLE tower_api_key_organizations ADD COLUMN later text NOT NULL DEFAULT 'x'",
        )
        .await
        .unwrap();
        sql.run(format!("INSERT INTO tower_api_key_migrations VALUES ({version}, {compatible_from}, 0)"))
            .await
            .unwrap();
        let before = objects(&schema).await;

        for outcome in [store.migrate().await, store.check_schema().await] {
            match outcome {
                Err(SchemaError::Incompatible { needed, known: ours }) if refused => {
                    assert_eq!((needed, ours), (compatible_from, known));
                }
                Ok(()) if !refused => {}
                other => panic!("version {version}, compatible from {compatible_from}: {other:?}"),
            }
        }
        assert_eq!(objects(&schema).await, before);
        nobody_is_in_a_transaction(&schema).await;
        if !refused {
            assert_eq!(any(&store, &issued).await, Reply::accepted(&Access::Full));
            let regenerated = store.regenerate(&acme(), issued.record.id(), Expiry::Never).await.unwrap();
            assert_eq!(any(&store, &regenerated).await, Reply::accepted(&Access::Full));
            assert_eq!(any(&store, &issued).await, Reply::invalid());
        }
    }
}

/// A newer version has gone ahead of what this schema still lacks.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn case_119_what_is_missing_is_added_below_a_newer_version_too() {
    let complete = Complete::new().await;
    let schema = Schema::new().await;
    previous_version::create(&schema).await;
    let newer = complete.known + 1;
    let mut sql = schema.sql().await;
    sql.run(format!("INSERT INTO tower_api_key_migrations VALUES ({newer}, 1, 0)")).await.unwrap();
    let store = schema.store().await;
    store.check_schema().await.unwrap();
    let mut expected = complete.versions;
    expected.push(format!("{newer} 1"));
    assert_eq!(versions(&mut sql).await, expected);
    let issued = issue(&store, full()).await;
    assert_eq!(any(&store, &issued).await, Reply::accepted(&Access::Full));
}

#[tokio::test]
#[ignore = "needs Postgres"]
async fn case_119_a_schema_that_is_behind_is_named_and_answered_with_503() {
    let known = Complete::new().await.known;
    let schema = Schema::new().await;
    let store = PostgresStore::connect(&schema.url()).await.unwrap();
    let behind = |outcome, version| matches!(outcome, Err(SchemaError::Behind { found, needed }) if found == version && needed == known);
    assert!(behind(store.check_schema().await, 0));
    let layer = ApiKeyLayer::new(store.clone());
    assert_eq!(call(&layer, "avk_whatever").await, Reply::unavailable());
    let error = store.issue(&acme(), full()).await.unwrap_err();
    assert!(chain(&error).contains("does not exist"), "{}", chain(&error));
    assert_eq!(objects(&schema).await, [""; 0], "connecting and calling create nothing");

    previous_version::create(&schema).await;
    assert!(behind(store.check_schema().await, 1));
    assert_eq!(call(&layer, "avk_whatever").await, Reply::unavailable());

    store.migrate().await.unwrap();
    store.check_schema().await.unwrap();
    assert_eq!(call(&layer, "avk_whatever").await, Reply::invalid());
    assert_eq!(store.list(&acme(), &ListKeys::new()).await.unwrap().keys.len(), 0);
}

#[tokio::test]
#[ignore = "needs Postgres"]
async fn case_119_case_120_nonsense_in_the_table_of_migrations_is_an_error() {
    for (kind, value) in [("text", "'three'"), ("int", "3"), ("boolean", "true"), ("float8", "'NaN'")] {
        let schema = Schema::new().await;
        let store = PostgresStore::connect(&schema.url()).await.unwrap();
        let table = format!(
            "CREATE TABLE tower_api_key_migrations (version {kind}, compatible_from {kind}, applied_at bigint); \
             INSERT INTO tower_api_key_migrations VALUES ({value}, {value}, 0)"
        );
        schema.sql().await.run(table).await.unwrap();
        let before = objects(&schema).await;
        for outcome in [store.migrate().await, store.check_schema().await] {
            assert!(matches!(outcome, Err(SchemaError::Sql(_))), "{kind}: {outcome:?}");
        }
        assert_eq!(objects(&schema).await, before);
    }
    let schema = Schema::new().await;
    let store = schema.store().await;
    let nulls = "ALTER TABLE tower_api_key_migrations ALTER COLUMN compatible_from DROP NOT NULL; \
        UPDATE tower_api_key_migrations SET compatible_from = NULL";
    schema.sql().await.run(nulls).await.unwrap();
    for outcome in [store.migrate().await, store.check_schema().await] {
        assert!(matches!(outcome, Err(SchemaError::Sql(SqlError::BadRow(_)))), "{outcome:?}");
    }
}

/// Every object in the schema with its definition, without the schema's own name.
async fn objects(schema: &Schema) -> Vec<String> {
    let sql = "
        SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' '
            || coalesce(column_default, '') FROM information_schema.columns WHERE table_schema = current_schema()
        UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = current_schema()
        UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = current_schema()::regnamespace
        UNION ALL SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
            WHERE c.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal
        UNION ALL SELECT 'function ' || pg_get_functiondef(oid) FROM pg_proc
            WHERE pronamespace = current_schema()::regnamespace
        UNION ALL SELECT 'relation ' || relname || ' ' || relkind::text FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace
        ORDER BY 1";
    let objects = schema.sql().await.texts(sql).await;
    objects.into_iter().map(|object| object.replace(schema.name(), "schema")).collect()
}

async fn versions(sql: &mut Sql) -> Vec<String> {
    sql.texts("SELECT version || ' ' || compatible_from FROM tower_api_key_migrations ORDER BY version").await
}

async fn nobody_is_in_a_transaction(schema: &Schema) {
    let mut sql = Sql::connect(&super::schema::server_url()).await;
    let quiet = format!(
        "SELECT (count(*) = 0)::int::bigint FROM pg_stat_activity \
         WHERE application_name = '{}' AND xact_start IS NOT NULL",
        schema.name()
    );
    until(async || sql.int(quiet.as_str()).await).await;
}

/// What it says once that is not 0, which it must be soon.
async fn until(mut condition: impl AsyncFnMut() -> i64) -> i64 {
    for _ in 0..500 {
        match condition().await {
            0 => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            other => return other,
        }
    }
    panic!("it never came to that");
}
