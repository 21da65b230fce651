use futures::future::join_all;
use tower_api_key::store::{Expiry, KeyBackend, ListKeys, SchemaError, SqlError};
use tower_api_key::{Access, ApiKeyLayer};

use super::database::{Database, Store};
use super::processes;
use crate::support::calls::{Reply, acme, any, call, chain, full, issue};
use crate::support::manage::Manage;

on_each_database! {
    four_pools_migrate_at_once
    two_processes_migrate_at_once
    repeated_migration_changes_nothing
    failed_migration_leaves_nothing_and_can_resume
    process_killed_in_migration_leaves_nothing
    migrations_only_add
    application_migrations_are_left_alone
    only_incompatible_schema_is_rejected
    missing_migration_is_added_below_newer_version
    outdated_schema_is_named_and_answered_503
    invalid_migrations_table_is_an_error
}

/// What a database holds after one undisturbed migration of an empty one.
struct Complete {
    objects: Vec<String>,
    versions: Vec<String>,
    known: i64,
}

impl Complete {
    async fn new<D: Database>() -> Self {
        let database = D::new().await;
        database.store().await;
        let (objects, versions) = (database.objects().await, versions(&database).await);
        let known = database.int("SELECT max(version) FROM tower_api_key_migrations").await;
        assert!(known > 1 && objects.iter().any(|object| object.contains("tower_api_key_keys")));
        assert_eq!(versions, (1..=known).map(|version| format!("{version} 1")).collect::<Vec<_>>());
        Self { objects, versions, known }
    }

    /// The same, and each migration once.
    async fn assert_reached_by<D: Database>(&self, database: &D) {
        assert_eq!(D::shape(database.objects().await), D::shape(self.objects.clone()));
        assert_eq!(versions(database).await, self.versions);
    }

    async fn assert_is_ahead_of<D: Database>(&self, store: &D::Store, version: i64) {
        match store.check_schema().await {
            Err(SchemaError::Behind { found, needed }) => assert_eq!((found, needed), (version, self.known)),
            other => panic!("{other:?}"),
        }
    }
}

async fn versions(database: &impl Database) -> Vec<String> {
    database.texts("SELECT version || ' ' || compatible_from FROM tower_api_key_migrations ORDER BY version").await
}

/// Cases: 119.
async fn four_pools_migrate_at_once<D: Database>() {
    let complete = Complete::new::<D>().await;
    for round in 0..D::RACING_MIGRATIONS {
        let database = D::new().await;
        if round % 2 == 1 {
            database.create_previous().await;
        }
        let url = database.url();
        let stores = join_all((0..4).map(|_| D::connect(&url))).await;
        let programs = stores.into_iter().map(|store| {
            tokio::spawn(async move {
                store.migrate().await.expect("migrated in parallel");
                store.check_schema().await.unwrap();
                let issued = issue(&store, full()).await;
                assert_eq!(any(&store, &issued).await, Reply::accepted(&Access::Full));
            })
        });
        for program in join_all(programs).await {
            program.unwrap();
        }
        complete.assert_reached_by(&database).await;
        assert_eq!(database.int("SELECT count(*) FROM tower_api_key_keys").await, 4);
    }
}

/// Cases: 119.
/// An empty database, and one of the previous version.
async fn two_processes_migrate_at_once<D: Database>() {
    let complete = Complete::new::<D>().await;
    let (mut one, mut other) = (processes::start(), processes::start());
    for round in 0..D::RACING_MIGRATIONS {
        let database = D::new().await;
        if round % 2 == 1 {
            database.create_previous().await;
        }
        let connect = format!("connect {}", database.url());
        assert_eq!(one.ask(&connect).await, "ok");
        assert_eq!(other.ask(&connect).await, "ok");
        let answers = tokio::join!(one.ask("migrate"), other.ask("migrate"));
        assert_eq!((answers.0.as_str(), answers.1.as_str()), ("ok", "ok"), "round {round}");
        complete.assert_reached_by(&database).await;
    }
}

/// Cases: 119.
async fn repeated_migration_changes_nothing<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    database.run("UPDATE tower_api_key_migrations SET applied_at = 5").await.unwrap();
    let (before, rows) = (database.objects().await, versions(&database).await);
    store.migrate().await.unwrap();
    assert_eq!((database.objects().await, versions(&database).await), (before, rows));
    assert_eq!(database.int("SELECT count(*) FROM tower_api_key_migrations WHERE applied_at <> 5").await, 0);
}

/// Cases: 119.
/// Something in the database is in the way of a later step of each migration.
async fn failed_migration_leaves_nothing_and_can_resume<D: Database>() {
    let complete = Complete::new::<D>().await;
    for obstacle in D::OBSTACLES {
        for previous in [false, true] {
            if previous && !obstacle.after_previous {
                continue;
            }
            let database = D::new().await;
            if previous {
                database.create_previous().await;
            }
            database.run(obstacle.create).await.unwrap();
            let before = database.objects().await;
            let store = D::connect(&database.url()).await;

            let error = store.migrate().await.unwrap_err();
            assert!(matches!(error, SchemaError::Sql(SqlError::Database(_))), "{error:?}");
            assert!(chain(&error).contains("already"), "{}", chain(&error));
            assert_eq!(database.objects().await, before, "{}", obstacle.create);
            database.assert_no_open_transaction().await;

            database.run(obstacle.remove).await.unwrap();
            store.migrate().await.unwrap();
            store.check_schema().await.unwrap();
            complete.assert_reached_by(&database).await;
        }
    }
}

/// Cases: 119.
async fn process_killed_in_migration_leaves_nothing<D: Database>() {
    let complete = Complete::new::<D>().await;
    D::kill_migrations(async |database| {
        assert_eq!(database.objects().await, [""; 0]);
        let store = D::connect(&database.url()).await;
        complete.assert_is_ahead_of::<D>(&store, 0).await;
        store.migrate().await.unwrap();
        complete.assert_reached_by(&database).await;
    })
    .await;
}

/// Cases: 119.
async fn migrations_only_add<D: Database>() {
    let complete = Complete::new::<D>().await;
    let database = D::new().await;
    database.create_previous().await;
    let before = database.objects().await;
    database.store().await;
    let after = database.objects().await;
    assert!(after.len() > before.len());
    for object in &before {
        assert!(after.contains(object), "{object}");
    }
    // An empty database and one of the previous version end up the same.
    complete.assert_reached_by(&database).await;
}

/// Cases: 119.
async fn application_migrations_are_left_alone<D: Database>() {
    let complete = Complete::new::<D>().await;
    let database = D::new().await;
    database.run(D::APPLICATION).await.unwrap();
    let before = database.objects().await;
    let rows = "SELECT CAST(version AS text) || description || CAST(checksum AS text) FROM _sqlx_migrations ORDER BY 1";
    let application = database.texts(rows).await;
    assert_eq!(application.len(), 3);

    let store = database.store().await;
    let issued = issue(&store, full()).await;
    assert_eq!(any(&store, &issued).await, Reply::accepted(&Access::Full));

    assert_eq!(database.texts(rows).await, application);
    assert_eq!(versions(&database).await, complete.versions);
    let after = database.objects().await;
    let (own, others): (Vec<_>, Vec<_>) = after.into_iter().partition(|object| complete.objects.contains(object));
    assert_eq!((own, others), (complete.objects, before));
}

/// Cases: 119.
/// The schema of a later version: an older program continues until a migration forbids it.
async fn only_incompatible_schema_is_rejected<D: Database>() {
    let known = Complete::new::<D>().await.known;
    let futures = [
        (known + 1, 1, false),
        (known + 1, known, false),
        (known + 9, known, false),
        (known + 1, known + 1, true),
        (known + 9, known + 5, true),
    ];
    for (version, compatible_from, rejected) in futures {
        let database = D::new().await;
        let store = database.store().await;
        let issued = issue(&store, full()).await;
        let later = "CREATE TABLE tower_api_key_of_the_future (x int); \
            ALTER TABLE tower_api_key_keys ADD COLUMN later text; \
            ALTER TABLE tower_api_key_organizations ADD COLUMN later text NOT NULL DEFAULT 'x'";
        database.run(later).await.unwrap();
        let migration = format!("INSERT INTO tower_api_key_migrations VALUES ({version}, {compatible_from}, 0)");
        database.run(migration).await.unwrap();
        let before = database.objects().await;

        for outcome in [store.migrate().await, store.check_schema().await] {
            match outcome {
                Err(SchemaError::Incompatible { needed, known: ours }) if rejected => {
                    assert_eq!((needed, ours), (compatible_from, known));
                }
                Ok(()) if !rejected => {}
                other => panic!("version {version}, compatible from {compatible_from}: {other:?}"),
            }
        }
        assert_eq!(database.objects().await, before);
        database.assert_no_open_transaction().await;
        if !rejected {
            assert_eq!(any(&store, &issued).await, Reply::accepted(&Access::Full));
            let regenerated = store.manage().regenerate(acme(), issued.record.id(), Expiry::Never).await.unwrap();
            assert_eq!(any(&store, &regenerated).await, Reply::accepted(&Access::Full));
            assert_eq!(any(&store, &issued).await, Reply::invalid());
        }
    }
}

/// Cases: 119.
/// A newer version has been here, and has not applied one of the older migrations.
async fn missing_migration_is_added_below_newer_version<D: Database>() {
    let complete = Complete::new::<D>().await;
    let database = D::new().await;
    database.create_previous().await;
    let newer = complete.known + 1;
    database.run(format!("INSERT INTO tower_api_key_migrations VALUES ({newer}, 1, 0)")).await.unwrap();
    let store = database.store().await;
    store.check_schema().await.unwrap();
    let mut expected = complete.versions;
    expected.push(format!("{newer} 1"));
    assert_eq!(versions(&database).await, expected);
    let issued = issue(&store, full()).await;
    assert_eq!(any(&store, &issued).await, Reply::accepted(&Access::Full));
}

/// Cases: 119.
async fn outdated_schema_is_named_and_answered_503<D: Database>() {
    let complete = Complete::new::<D>().await;
    let database = D::new().await;
    let store = D::connect(&database.url()).await;
    complete.assert_is_ahead_of::<D>(&store, 0).await;
    let layer = ApiKeyLayer::new(store.clone());
    assert_eq!(call(&layer, "avk_whatever").await, Reply::unavailable());
    let error = store.manage().issue(acme(), full()).await.unwrap_err();
    assert!(chain(&error).contains(D::NO_SUCH_TABLE), "{}", chain(&error));
    assert_eq!(database.objects().await, [""; 0], "connecting and calling create nothing");

    database.create_previous().await;
    complete.assert_is_ahead_of::<D>(&store, 1).await;
    assert_eq!(call(&layer, "avk_whatever").await, Reply::unavailable());

    store.migrate().await.unwrap();
    store.check_schema().await.unwrap();
    assert_eq!(call(&layer, "avk_whatever").await, Reply::invalid());
    assert_eq!(store.list(acme().into(), &ListKeys::new()).await.unwrap().keys.len(), 0);
}

/// Cases: 119, 120.
async fn invalid_migrations_table_is_an_error<D: Database>() {
    for invalid in D::INVALID_MIGRATIONS {
        let database = D::new().await;
        let store = D::connect(&database.url()).await;
        if invalid.after_migrating {
            store.migrate().await.unwrap();
        }
        database.run(invalid.edit).await.unwrap();
        let before = database.objects().await;
        for outcome in [store.migrate().await, store.check_schema().await] {
            let Err(SchemaError::Sql(error)) = outcome else { panic!("{}: {outcome:?}", invalid.edit) };
            assert!(matches!(error, SqlError::InvalidRow(_)) || !invalid.is_bad_row, "{}: {error:?}", invalid.edit);
        }
        assert_eq!(database.objects().await, before);
    }
}
