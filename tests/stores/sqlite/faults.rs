//! Files that are not what they should be: an error that names the problem, a 503 for requests, never a panic.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tower_api_key::store::{KeyBackend, SqlError, SqliteStore};
use tower_api_key::{Access, ApiKeyLayer, KeyStore};

use super::processes;
use crate::support::calls::{Reply, acme, any, call, chain, full, issue};
use crate::support::log_lines::{logged, record_log};
use crate::support::manage::Manage;
use crate::support::sqlite::{Dir, no_driver_thread_has_panicked, pool, sql_error};

/// Cases: 103.
#[tokio::test]
async fn in_memory_database_is_rejected_with_advice() {
    let dir = Dir::new();
    let file = dir.file().display().to_string();
    let urls = [
        "sqlite::memory:".to_owned(),
        "sqlite://:memory:".to_owned(),
        "sqlite:file::memory:".to_owned(),
        "sqlite:file::memory:?cache=shared".to_owned(),
        format!("sqlite:{file}?mode=memory"),
        format!("sqlite://{file}?cache=shared&mode=memory"),
    ];
    for url in urls {
        rejected_as_memory(&dir, &url).await;
    }
}

/// Cases: 103.
/// The same databases, written in a way that looks less like it; without a file name, SQLite uses one of its
/// own for each connection and deletes it.
#[tokio::test]
async fn in_memory_database_is_rejected_for_each_url_form() {
    let dir = Dir::new();
    let file = dir.file().display().to_string();
    let urls = [
        "sqlite:%3Amemory%3A".to_owned(),
        "sqlite::mem%6Fry:".to_owned(),
        format!("sqlite:{file}?mode=mem%6Fry"),
        format!("sqlite:{file}?mod%65=memory"),
        format!("sqlite:file:{file}%3Fmode%3Dmemory"),
        format!("sqlite:{file}?vfs=memdb"),
        "sqlite:".to_owned(),
        "sqlite://".to_owned(),
    ];
    for url in urls {
        rejected_as_memory(&dir, &url).await;
    }
}

async fn rejected_as_memory(dir: &Dir, url: &str) {
    let error = SqliteStore::connect(url).await.expect_err(url);
    assert!(matches!(error, SqlError::Database(sqlx::Error::Configuration(_))), "{url}: {error:?}");
    assert!(chain(&error).contains("use MemoryStore"), "{url}: {}", chain(&error));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{url}");
}

/// Cases: 103.
#[tokio::test]
async fn invalid_url_error_names_the_cause() {
    let dir = Dir::new();
    let file = dir.file().display().to_string();
    let urls = [
        (format!("sqlite:{file}?nonsense=1"), "nonsense"),
        (format!("sqlite:{file}?mode=sideways"), "sideways"),
        (format!("sqlite:{file}?cache=warm"), "warm"),
        (format!("sqlite:{file}%00"), "nul"),
        (format!("sqlite:{file}%ff"), "utf-8"),
        (format!("sqlite:{}/missing/keys.db", dir.path().display()), "unable to open database file"),
        (format!("sqlite:{}", dir.path().display()), "unable to open database file"),
    ];
    for (url, expected) in urls {
        let error = SqliteStore::connect(&url).await.expect_err(&url);
        assert!(chain(&error).to_lowercase().contains(expected), "{url}: {}", chain(&error));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{url}");
    }
}

/// Cases: 103.
/// A URL of another database is a mistake, not the name of a file to create.
#[tokio::test(flavor = "multi_thread")]
async fn url_of_other_database_is_rejected() {
    let dir = Dir::new();
    let mut elsewhere = processes::start_in(&dir);
    for url in ["postgres:keys.db", "mysql:keys.db", "postgres://app@localhost/app", "redis://localhost", "memory:", ""]
    {
        let answer = elsewhere.ask(&format!("connect {url}")).await;
        assert_ne!(answer, "ok", "{url:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{url:?}: {answer}");
    }
}

/// Cases: 116.
#[tokio::test]
async fn file_that_is_no_database_is_rejected() {
    let header = b"SQLite format 3\0";
    let contents: [(&str, Vec<u8>); 4] = [
        ("text", b"key,organization\n".repeat(1000)),
        ("zeros", vec![0; 8192]),
        ("a header without a database", header.to_vec()),
        ("a header and nonsense", [header.as_slice(), &[0xa5; 8192]].concat()),
    ];
    for (name, content) in contents {
        let dir = Dir::new();
        fs::write(dir.file(), &content).unwrap();
        let opened = match SqliteStore::connect(&dir.url()).await {
            Ok(store) => store.migrate().await.map_err(|error| chain(&error)),
            Err(error) => Err(chain(&error)),
        };
        let error = opened.expect_err(name);
        assert!(error.contains("not a database") || error.contains("malformed"), "{name}: {error}");
        assert!(fs::read(dir.file()).unwrap().starts_with(&content), "{name}: it is another program's file");
    }
}

/// Cases: 116.
/// Nonsense in place of each page in turn. Whether a key is there can then be unknown; that it is not, cannot.
#[tokio::test]
async fn corrupt_page_is_503_or_harmless() {
    let dir = Dir::new();
    let store = dir.store().await;
    let mut keys = Vec::new();
    for _ in 0..300 {
        keys.push(issue(&store, full()).await);
    }
    dir.sql().await.nobody_is_in_a_transaction().await;
    store.pool().close().await;
    let good = fs::read(dir.file()).unwrap();
    let page_size = usize::from(u16::from_be_bytes([good[16], good[17]]));

    let (mut unavailable, mut accepted) = (0, 0);
    for page in 0..good.len() / page_size {
        for filling in [0x00, 0xff, 0x0d] {
            let dir = Dir::new();
            let mut bad = good.clone();
            bad[page * page_size..][..page_size].fill(filling);
            fs::write(dir.file(), bad).unwrap();
            // The first page and those of the schema are read when the file is opened.
            let Ok(store) = SqliteStore::connect(&dir.url()).await else { continue };
            for key in keys.iter().step_by(7) {
                match any(&store, key).await {
                    reply if reply == Reply::accepted(&Access::Full) => accepted += 1,
                    reply if reply == Reply::unavailable() => unavailable += 1,
                    other => panic!("page {page} filled with {filling:#x}: {other:?}"),
                }
                // An error or a success, and no more is asked of it.
                let _ = store.revoke(acme(), key.record.id()).await;
            }
            let unknown = call(&ApiKeyLayer::new(store.clone()), "avk_unknown").await;
            assert!([Reply::invalid(), Reply::unavailable()].contains(&unknown), "{unknown:?}");
            let _ = store.list(acme().into(), &Default::default()).await;
            let _ = store.migrate().await;
            let _ = store.check_schema().await;
        }
    }
    println!("{accepted} lookups answered, {unavailable} answered with 503");
    assert!(accepted > 0 && unavailable > 0);
    no_driver_thread_has_panicked();
}

/// Cases: 116.
/// The file is cut short, or overwritten, under a store that has it open.
#[tokio::test]
async fn file_corrupted_under_open_store_fails_closed() {
    for spoiled in [vec![], b"not a database any more".repeat(1000)] {
        let dir = Dir::new();
        let store = dir.store().await;
        let key = issue(&store, full()).await;
        dir.sql().await.nobody_is_in_a_transaction().await;
        fs::write(dir.file(), &spoiled).unwrap();

        // Connections that have the page in their cache may go on with it.
        let reply = any(&store, &key).await;
        assert!([Reply::accepted(&Access::Full), Reply::unavailable()].contains(&reply), "{reply:?}");
        let fresh = SqliteStore::from_pool(pool(dir.options(), 2).await);
        assert_eq!(any(&fresh, &key).await, Reply::unavailable());
        assert!(fresh.revoke(acme(), key.record.id()).await.is_err());
        no_driver_thread_has_panicked();
    }
}

/// Cases: 103, 116, 167.
#[tokio::test]
async fn missing_tables_are_503_until_restored() {
    record_log();
    let dir = Dir::new();
    let store = dir.store().await;
    let key = issue(&store, full()).await;
    let mut sql = dir.sql().await;
    for table in ["tower_api_key_keys", "tower_api_key_organizations"] {
        sql.run(format!("ALTER TABLE {table} RENAME TO elsewhere")).await.unwrap();
        assert_eq!(any(&store, &key).await, Reply::unavailable());
        assert!(store.manage().issue(acme(), full()).await.is_err());
        let line = format!(
            "no answer from the key store, answering 503: the key tables are missing or outdated, call migrate(): \
             error returned from database: (code: 1) no such table: {table}"
        );
        assert!(!logged(&line).is_empty(), "{:?}", logged("no answer"));
        sql.run(format!("ALTER TABLE elsewhere RENAME TO {table}")).await.unwrap();
        assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
    }
    // A table with a column too few.
    sql.run("ALTER TABLE tower_api_key_keys RENAME COLUMN access TO acces").await.unwrap();
    assert_eq!(any(&store, &key).await, Reply::unavailable());
    assert!(!logged("outdated, call migrate(): error returned from database: (code: 1) no such column").is_empty());
}

/// Cases: 103.
#[tokio::test]
async fn read_only_database_serves_and_rejects_changes() {
    let dir = Dir::new();
    let store = dir.store().await;
    let key = issue(&store, full()).await;
    let reader = SqliteStore::from_pool(pool(dir.options().create_if_missing(false).read_only(true), 2).await);
    reader.check_schema().await.unwrap();
    assert_eq!(any(&reader, &key).await, Reply::accepted(&Access::Full));
    let error = reader.revoke(acme(), key.record.id()).await.unwrap_err();
    assert!(matches!(sql_error(&error), SqlError::Database(_)), "{error:?}");
    assert!(chain(&error).contains("attempt to write a readonly database"), "{}", chain(&error));
    reader.migrate().await.expect("there is nothing to do");
    assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
}

/// Cases: 103, 116.
/// Permissions apply to a user who is not root, so another process looks at the files.
#[tokio::test(flavor = "multi_thread")]
async fn file_without_permissions_fails_closed() {
    for (directory, file) in [(0o777, 0o444), (0o555, 0o666), (0o555, 0o444), (0o777, 0o000), (0o000, 0o666)] {
        let dir = Dir::new();
        let store = dir.store().await;
        let key = issue(&store, full()).await;
        let (id, secret) = (key.record.id(), key.secret.expose_secret());
        store.pool().close().await;
        fs::set_permissions(dir.file(), Permissions::from_mode(file)).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(directory)).unwrap();

        let mut other = processes::start_unprivileged(&dir);
        let opened = other.ask(&format!("connect {}", dir.url())).await;
        println!("directory {directory:o}, file {file:o}: {opened}");
        if opened == "ok" {
            assert_eq!(other.ask(&format!("call {secret}")).await, "200");
            let revoked = other.ask(&format!("revoke {id}")).await;
            assert!(revoked.contains("readonly"), "{revoked}");
        } else {
            assert!(opened.contains("unable to open") || opened.contains("readonly"), "{opened}");
        }

        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        fs::set_permissions(dir.file(), Permissions::from_mode(0o666)).unwrap();
        assert_eq!(any(&dir.store().await, &key).await, Reply::accepted(&Access::Full));
    }
}

/// Cases: 116.
/// SQLite may not let the file grow, which fails as a full disk does.
#[tokio::test]
async fn full_disk_rejects_changes_without_partial_write() {
    let dir = Dir::new();
    let store = dir.store().await;
    let key = issue(&store, full()).await;
    let mut sql = dir.sql().await;
    let pages = sql.int("PRAGMA page_count").await;
    let options = dir.options().pragma("max_page_count", pages.to_string());
    let cramped = SqliteStore::from_pool(pool(options, 1).await);

    let name = "x".repeat(100);
    let error = loop {
        let new = tower_api_key::NewKey::new(name.as_str(), Access::Full).unwrap();
        if let Err(error) = cramped.manage().issue(acme(), new).await {
            break error;
        }
    };
    assert!(chain(&error).contains("database or disk is full"), "{}", chain(&error));
    let before = sql.dump().await;
    let error = cramped
        .manage()
        .regenerate(acme(), key.record.id(), tower_api_key::manage::RegenerateOptions::new())
        .await
        .map(drop);
    assert_eq!(error.is_err(), sql.dump().await == before);
    assert_eq!(any(&cramped, &key).await.status, if error.is_err() { 200 } else { 401 });
    assert_eq!(sql.text("PRAGMA integrity_check").await, "ok");
    sql.nobody_is_in_a_transaction().await;
    issue(&store, full()).await;
}

/// Cases: 97, 103.
#[tokio::test]
async fn exhausted_pool_is_503_in_time() {
    const LIMIT: Duration = Duration::from_millis(200);
    let dir = Dir::new();
    let store = SqliteStore::from_pool(pool(dir.options(), 2).await);
    store.migrate().await.unwrap();
    let key = issue(&store, full()).await;
    let layer = ApiKeyLayer::new(store.clone()).lookup_timeout(LIMIT);

    let held = join_all((0..2).map(|_| store.pool().acquire())).await;
    let began = Instant::now();
    assert_eq!(call(&layer, key.secret.expose_secret()).await, Reply::unavailable());
    let took = began.elapsed();
    // The pool would wait for much longer; a busy machine may take some of that.
    assert!(took >= LIMIT && took < 5 * LIMIT, "{took:?}");
    drop(held);
    assert_eq!(call(&layer, key.secret.expose_secret()).await, Reply::accepted(&Access::Full));

    store.pool().close().await;
    assert_eq!(call(&layer, key.secret.expose_secret()).await, Reply::unavailable());
    assert!(store.find(key.record.digest()).await.is_err());
    assert!(store.revoke(acme(), key.record.id()).await.is_err());
}
