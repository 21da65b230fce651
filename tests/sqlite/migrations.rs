use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::join_all;
use sqlx::Row;
use tower_api_key::{
    Access, Expiry, KeyId, KeyManager, KeyStatus, KeyStore, ListKeys, SchemaError, Scope, SqlError, SqliteStore,
};

use super::previous_version::{self, PreviousRecord, PreviousVersion};
use super::processes::OtherProcess;
use super::support::{Dir, Reply, Sql, acme, any, call, chain, full, issue, pool, scoped};

/// Each version up to the latest was applied once, and the previous one may go on.
async fn is_complete(sql: &mut Sql) {
    let rows = sql.rows("SELECT version, compatible_from FROM tower_api_key_migrations ORDER BY version").await;
    let versions: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(versions, (1..=Dir::latest_version().await).collect::<Vec<_>>());
    assert!(rows.iter().all(|row| row.get::<i64, _>(1) == 1));
}

async fn is_behind(store: &SqliteStore, version: i64) {
    match store.check_schema().await {
        Err(SchemaError::Behind { found, needed }) => {
            assert_eq!((found, needed), (version, Dir::latest_version().await));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_119_four_pools_migrate_one_file_at_once() {
    for _ in 0..50 {
        let dir = Dir::new();
        let mut programs = Vec::new();
        for _ in 0..4 {
            let store = SqliteStore::connect(&dir.url()).await.unwrap();
            programs.push(async move {
                store.migrate().await.expect("migrated beside others");
                store.check_schema().await.unwrap();
                let issued = issue(&store, full()).await;
                assert_eq!(any(&store, &issued).await, Reply::accepted(&Access::Full));
            });
        }
        for program in join_all(programs.into_iter().map(tokio::spawn)).await {
            program.unwrap();
        }
        let mut sql = dir.sql().await;
        is_complete(&mut sql).await;
        assert_eq!(sql.int("SELECT count(*) FROM tower_api_key_keys").await, 4);
    }
}

/// A new file, and one of the previous version.
#[tokio::test(flavor = "multi_thread")]
async fn case_119_two_processes_migrate_one_file_at_once() {
    let (mut one, mut other) = (OtherProcess::start(), OtherProcess::start());
    for round in 0..200 {
        let dir = Dir::new();
        if round % 2 == 1 {
            previous_version::create(&dir).await;
        }
        assert_eq!(one.ask(&format!("connect {}", dir.url())).await, "ok");
        assert_eq!(other.ask(&format!("connect {}", dir.url())).await, "ok");
        let answers = tokio::join!(one.ask("migrate"), other.ask("migrate"));
        assert_eq!((answers.0.as_str(), answers.1.as_str()), ("ok", "ok"), "round {round}");
        is_complete(&mut dir.sql().await).await;
    }
}

/// Two processes that start together: neither has made the file yet.
#[tokio::test(flavor = "multi_thread")]
async fn case_119_two_processes_open_one_new_file_at_once() {
    let (mut one, mut other) = (OtherProcess::start(), OtherProcess::start());
    for round in 0..200 {
        let dir = Dir::new();
        let connect = format!("connect {}", dir.url());
        let answers = tokio::join!(one.ask(&connect), other.ask(&connect));
        assert_eq!((answers.0.as_str(), answers.1.as_str()), ("ok", "ok"), "round {round}");
    }
}

#[tokio::test]
async fn case_119_migrating_again_changes_nothing() {
    let dir = Dir::new();
    let store = dir.store().await;
    let mut sql = dir.sql().await;
    sql.run("UPDATE tower_api_key_migrations SET applied_at = 5").await.unwrap();
    let before = sql.schema().await;
    store.migrate().await.unwrap();
    assert_eq!(sql.schema().await, before);
    assert_eq!(sql.int("SELECT count(*) FROM tower_api_key_migrations WHERE applied_at <> 5").await, 0);
    is_complete(&mut sql).await;
}

/// Something in the file stands in the way of a later step: of the first migration, or of the second.
#[tokio::test]
async fn case_119_a_migration_that_fails_half_way_leaves_nothing_behind() {
    let obstacles = [
        ("CREATE TABLE tower_api_key_keys (x)", "DROP TABLE tower_api_key_keys"),
        ("CREATE TABLE t (x); CREATE INDEX tower_api_key_keys_listing ON t (x)", "DROP TABLE t"),
        (
            "CREATE TABLE t (x); CREATE TRIGGER tower_api_key_keys_revoked_for_good BEFORE UPDATE ON t \
             BEGIN SELECT 1; END",
            "DROP TABLE t",
        ),
        ("CREATE VIEW tower_api_key_organizations AS SELECT 1", "DROP VIEW tower_api_key_organizations"),
    ];
    for (obstacle, removal) in obstacles {
        let dir = Dir::new();
        let store = SqliteStore::connect(&dir.url()).await.unwrap();
        let mut sql = dir.sql().await;
        sql.run(obstacle).await.unwrap();
        let before = sql.schema().await;

        let error = store.migrate().await.unwrap_err();
        assert!(matches!(error, SchemaError::Sql(SqlError::Database(_))), "{error:?}");
        assert!(chain(&error).contains("already"), "{}", chain(&error));
        assert_eq!(sql.schema().await, before, "{obstacle}");
        sql.nobody_is_in_a_transaction().await;

        sql.run(removal).await.unwrap();
        store.migrate().await.unwrap();
        store.check_schema().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_119_a_process_killed_half_way_through_a_migration_leaves_nothing_behind() {
    let dir = Dir::new();
    let mut other = OtherProcess::start();
    assert_eq!(other.ask(&format!("half-migrate {}", dir.file().display())).await, "half way");
    other.kill().await;

    let mut sql = dir.sql().await;
    assert_eq!(sql.schema().await, [""; 0]);
    let store = SqliteStore::connect(&dir.url()).await.unwrap();
    is_behind(&store, 0).await;
    store.migrate().await.unwrap();
    is_complete(&mut sql).await;
}

#[tokio::test]
async fn case_119_migrations_only_add() {
    let dir = Dir::new();
    previous_version::create(&dir).await;
    let mut sql = dir.sql().await;
    let before = sql.schema().await;
    dir.store().await;
    let after = sql.schema().await;
    assert!(after.len() > before.len());
    for object in &before {
        assert!(after.contains(object), "{object}");
    }

    // A new file and one that has come all the way end up the same.
    let new = Dir::new();
    new.store().await;
    let tables = |schema: Vec<String>| {
        let mut tables: Vec<_> = schema.into_iter().filter(|object| object.contains("STRICT")).collect();
        tables.iter_mut().for_each(|table| table.retain(|c| !c.is_whitespace()));
        tables
    };
    assert_eq!(tables(new.sql().await.schema().await), tables(after));
}

#[tokio::test]
async fn case_119_an_applications_own_migrations_stay_as_they_are() {
    let dir = Dir::new();
    let mut sql = dir.sql().await;
    // The table in which the driver's own migrator keeps an application's migrations.
    sql.run(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMP \
         NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT \
         NOT NULL); \
         INSERT INTO _sqlx_migrations VALUES (1, 'mine', '2026-01-01', TRUE, x'01', 7), \
         (2, 'mine too', '2026-01-02', TRUE, x'02', 7), (3, 'and mine', '2026-01-03', TRUE, x'03', 7); \
         CREATE TABLE keys (mine); CREATE TABLE organizations (mine); CREATE TABLE migrations (mine);",
    )
    .await
    .unwrap();
    let before = sql.schema().await;
    let rows = "SELECT group_concat(version || description || hex(checksum)) FROM _sqlx_migrations";
    let mine = sql.text(rows).await;

    let store = dir.store().await;
    let issued = issue(&store, full()).await;
    assert_eq!(any(&store, &issued).await, Reply::accepted(&Access::Full));

    assert_eq!(sql.text(rows).await, mine);
    is_complete(&mut sql).await;
    let (own, others): (Vec<_>, Vec<_>) =
        sql.schema().await.into_iter().partition(|object| object.split(' ').nth(1).unwrap().starts_with("tower_"));
    assert_eq!(others, before);
    let alone = Dir::new();
    alone.store().await;
    assert_eq!(own, alone.sql().await.schema().await);
}

/// The schema of a version to come: an older program goes on until a migration says that it must not.
#[tokio::test]
async fn case_119_only_an_incompatible_schema_is_refused() {
    let latest = Dir::latest_version().await;
    for (version, compatible_from, refused) in [
        (latest + 1, 1, false),
        (latest + 1, latest, false),
        (latest + 9, latest, false),
        (latest + 1, latest + 1, true),
        (latest + 9, latest + 5, true),
    ] {
        let dir = Dir::new();
        let store = dir.store().await;
        let issued = issue(&store, full()).await;
        let mut sql = dir.sql().await;
        sql.run("CREATE TABLE tower_api_key_of_the_future (x); ALTER TABLE tower_api_key_keys ADD COLUMN later TEXT")
            .await
            .unwrap();
        sql.run(format!("INSERT INTO tower_api_key_migrations VALUES ({version}, {compatible_from}, 0)"))
            .await
            .unwrap();
        let before = sql.schema().await;

        for outcome in [store.migrate().await, store.check_schema().await] {
            match outcome {
                Err(SchemaError::Incompatible { needed, known }) if refused => {
                    assert_eq!((needed, known), (compatible_from, latest));
                }
                Ok(()) if !refused => {}
                other => panic!("version {version}, compatible from {compatible_from}: {other:?}"),
            }
        }
        assert_eq!(sql.schema().await, before);
        if !refused {
            assert_eq!(any(&store, &issued).await, Reply::accepted(&Access::Full));
            let regenerated = store.regenerate(acme(), issued.record.id(), Expiry::Never).await.unwrap();
            assert_eq!(any(&store, &regenerated).await, Reply::accepted(&Access::Full));
            assert_eq!(any(&store, &issued).await, Reply::invalid());
        }
    }
}

/// A newer version has gone ahead of one migration that this file still lacks.
#[tokio::test]
async fn case_119_what_is_missing_is_added_below_a_newer_version_too() {
    let dir = Dir::new();
    previous_version::create(&dir).await;
    let latest = Dir::latest_version().await;
    let mut sql = dir.sql().await;
    sql.run(format!("INSERT INTO tower_api_key_migrations VALUES ({}, 1, 0)", latest + 1)).await.unwrap();
    let store = dir.store().await;
    store.check_schema().await.unwrap();
    assert_eq!(sql.int("SELECT count(*) FROM tower_api_key_migrations").await, latest + 1);
    let issued = issue(&store, full()).await;
    assert_eq!(any(&store, &issued).await, Reply::accepted(&Access::Full));
}

#[tokio::test]
async fn case_119_a_schema_that_is_behind_is_named_and_answered_with_503() {
    let dir = Dir::new();
    let store = SqliteStore::connect(&dir.url()).await.unwrap();
    is_behind(&store, 0).await;
    let layer = tower_api_key::ApiKeyLayer::new(store.clone());
    assert_eq!(call(&layer, "avk_whatever").await, Reply::unavailable());
    assert!(store.issue(acme(), full()).await.is_err());
    assert_eq!(dir.sql().await.schema().await, [""; 0], "connecting and calling create nothing");

    previous_version::create(&dir).await;
    is_behind(&store, 1).await;
    assert_eq!(call(&layer, "avk_whatever").await, Reply::unavailable());

    store.migrate().await.unwrap();
    store.check_schema().await.unwrap();
    assert_eq!(call(&layer, "avk_whatever").await, Reply::invalid());
}

#[tokio::test]
async fn case_119_connecting_and_working_changes_no_table() {
    let dir = Dir::new();
    dir.store().await;
    let mut sql = dir.sql().await;
    let before = sql.int("PRAGMA schema_version").await;
    let store = SqliteStore::connect(&dir.url()).await.unwrap();
    store.check_schema().await.unwrap();
    let issued = issue(&store, full()).await;
    store.regenerate(acme(), issued.record.id(), Expiry::Never).await.unwrap();
    store.set_policy(acme(), Default::default()).await.unwrap();
    store.list(acme(), &ListKeys::new()).await.unwrap();
    assert_eq!(sql.int("PRAGMA schema_version").await, before);
}

#[tokio::test]
async fn case_119_case_120_nonsense_in_the_table_of_migrations_is_an_error() {
    for (version, compatible_from) in [("'three'", "1"), ("99", "'x'"), ("99", "x'00'"), ("99", "1.5"), ("1e300", "1")]
    {
        let dir = Dir::new();
        let store = dir.store().await;
        let mut sql = dir.sql().await;
        sql.run(format!("INSERT INTO tower_api_key_migrations VALUES ({version}, {compatible_from}, 0)"))
            .await
            .unwrap();
        for outcome in [store.migrate().await, store.check_schema().await] {
            assert!(matches!(outcome, Err(SchemaError::Sql(_))), "{version}, {compatible_from}: {outcome:?}");
        }
    }
}

/// The previous version and the present one work on one file, each on what the other has written.
#[tokio::test]
async fn case_119_the_previous_version_works_beside_the_present_one() {
    let dir = Dir::new();
    previous_version::create(&dir).await;
    let old = PreviousVersion(pool(dir.options(), 4).await);
    let earlier = KeyId::from_u128(1);
    old.issue(earlier, "avk_issued_before_the_migration", "full", "").await;

    let new = dir.store().await;
    assert!(old.is_compatible().await);
    let layer = tower_api_key::ApiKeyLayer::new(new.clone());

    // What the old one issues, before the migration and after it, the new one accepts, and no more than that.
    assert_eq!(call(&layer, "avk_issued_before_the_migration").await, Reply::accepted(&Access::Full));
    let limited = KeyId::from_u128(2);
    old.issue(limited, "avk_issued_after_the_migration", "scoped", "datasets.read tasks.read").await;
    let scopes = ["datasets.read", "tasks.read"].map(Scope::from_static);
    assert_eq!(call(&layer, "avk_issued_after_the_migration").await, Reply::accepted(&Access::scoped(scopes)));
    old.narrow(limited, "tasks.read").await;
    let rest = Access::scoped([Scope::from_static("tasks.read")]);
    assert_eq!(call(&layer, "avk_issued_after_the_migration").await, Reply::accepted(&rest));

    // What the new one issues, the old one finds as it is.
    let (one, two) = (issue(&new, full()).await, issue(&new, scoped(&["datasets.read", "x.y"])).await);
    let found = |issued: &tower_api_key::IssuedKey, access: &str, scopes: &str| PreviousRecord {
        id: issued.record.id().to_string(),
        access: access.into(),
        scopes: scopes.into(),
        revoked: false,
        replaced_by: None,
    };
    assert_eq!(old.find(one.secret.expose_secret()).await, Some(found(&one, "full", "")));
    assert_eq!(old.find(two.secret.expose_secret()).await, Some(found(&two, "scoped", "datasets.read x.y")));
    assert_eq!(old.list().await.len(), 4);

    // What either revokes or replaces is dead for both.
    new.revoke(acme(), one.record.id()).await.unwrap();
    assert!(old.find(one.secret.expose_secret()).await.unwrap().revoked);
    old.revoke(two.record.id()).await;
    assert_eq!(any(&new, &two).await, Reply::invalid());
    let replacement = KeyId::from_u128(3);
    old.regenerate(earlier, replacement, "avk_regenerated_by_the_previous").await;
    assert_eq!(call(&layer, "avk_issued_before_the_migration").await, Reply::invalid());
    assert_eq!(call(&layer, "avk_regenerated_by_the_previous").await, Reply::accepted(&Access::Full));
    assert_eq!(new.get(acme(), earlier).await.unwrap().replaced_by(), Some(replacement));
    let regenerated = new.regenerate(acme(), replacement, Expiry::Never).await.unwrap();
    let dead = old.get(replacement).await.unwrap();
    assert_eq!((dead.revoked, dead.replaced_by), (true, Some(regenerated.record.id().to_string())));
    assert_eq!(new.list(acme(), &ListKeys::new()).await.unwrap().keys.len(), old.list().await.len());
}

/// The same under load, with the migration in the middle of it.
#[tokio::test(flavor = "multi_thread")]
async fn case_119_the_previous_version_goes_on_while_the_present_one_migrates() {
    let dir = Dir::new();
    previous_version::create(&dir).await;
    let old = Arc::new(PreviousVersion(pool(dir.options(), 4).await));
    let (stop, issued) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = (0..3_u128).map(|task| {
        let (old, stop, issued) = (Arc::clone(&old), Arc::clone(&stop), Arc::clone(&issued));
        tokio::spawn(async move {
            for n in 0_u128.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (id, secret) = (KeyId::from_u128(task << 64 | n), format!("avk_previous_{task}_{n}"));
                old.issue(id, &secret, "full", "").await;
                assert!(!old.find(&secret).await.unwrap().revoked);
                old.revoke(id).await;
                assert!(old.find(&secret).await.unwrap().revoked);
                issued.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let load: Vec<_> = load.collect();
    let reached = async |number: usize| {
        while issued.load(Ordering::Relaxed) < number {
            assert!(!load.iter().any(tokio::task::JoinHandle::is_finished), "the previous version failed");
            tokio::task::yield_now().await;
        }
    };

    reached(20).await;
    let new = dir.store().await;
    let at_migration = issued.load(Ordering::Relaxed);
    for _ in 0..20 {
        let key = issue(&new, full()).await;
        assert_eq!(any(&new, &key).await, Reply::accepted(&Access::Full));
        new.revoke(acme(), key.record.id()).await.unwrap();
        assert_eq!(any(&new, &key).await, Reply::invalid());
    }
    reached(at_migration + 20).await;
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }

    let revoked = dir.sql().await.int("SELECT count(*) FROM tower_api_key_keys WHERE revoked_at IS NOT NULL").await;
    assert_eq!(usize::try_from(revoked).unwrap(), issued.load(Ordering::Relaxed) + 20);
    let active = new.list(acme(), &ListKeys::new().with_status(KeyStatus::Active)).await.unwrap();
    assert_eq!(active.keys.len(), 0);
    assert!(new.find(&tower_api_key::KeyDigest::of(b"avk_previous_0_0")).await.unwrap().unwrap().is_revoked());
}
