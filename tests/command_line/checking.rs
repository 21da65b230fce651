//! Whether a database is fit for use.

use serde_json::json;

use crate::database::Database;
use crate::program::{program, run};
use crate::support::postgres::{Schema, with};
use crate::support::sqlite::Dir;
use crate::support::tls_cluster::with_tls;

/// Cases: 245.
async fn check_counts_keys_and_invalid_rows(database: Database) {
    database.run("issue --organization acme --name one --scope a").ok();
    database.run("issue --organization acme --name two --scope a").ok();
    let text = database.run("check").ok();
    assert!(text.contains("2 active") && text.contains("2 read, 0 undecodable, 0 invalid"), "{text}");
    let checked = database.run("check --json").object();
    assert_eq!(checked["database"], database.kind());
    assert_eq!(checked["keys"], json!({"active": 2, "suspended": 0, "expired": 0, "revoked": 0}));
    assert_eq!(checked["rows"], json!({"read": 2, "undecodable": 0, "invalid": 0}));

    database.loosen().await;
    // The tables that are loosened may have lost their rows.
    database.edit("DELETE FROM tower_api_key_keys").await;
    for name in ["good", "digest", "access", "networks", "id"] {
        database.run(&format!("issue --organization acme --name {name} --scope a")).ok();
    }
    database
        .edit(
            "UPDATE tower_api_key_keys SET access = 'all' WHERE name = 'access'; \
             UPDATE tower_api_key_keys SET networks = 'home' WHERE name = 'networks'; \
             UPDATE tower_api_key_keys SET digest = NULL WHERE name = 'digest'; \
             UPDATE tower_api_key_keys SET id = 'none' WHERE name = 'id'",
        )
        .await;
    let ran = database.run("check --json");
    let object: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &object["rows"]), (Some(1), &json!({"read": 5, "undecodable": 3, "invalid": 1})), "{ran:?}");
    for problem in ["digest cannot be read", "networks cannot be read", "id cannot be read", "neither full nor scoped"]
    {
        assert_eq!(ran.err.lines().filter(|line| line.contains(problem)).count(), 1, "{problem}: {ran:?}");
    }
    assert!(ran.err.lines().last().unwrap().contains("3 keys cannot be read and get a 503"), "{ran:?}");
    // Without reading every key, none of that is seen.
    assert_eq!(database.run("check --quick --json").object()["rows"], json!(null));
}

/// Cases: 245.
async fn check_reads_more_rows_than_a_page(database: Database) {
    let rows: String = (0..2500).map(|n| format!("key {n},key-{n:040},a.read\n")).collect();
    let rows = format!("name,plaintext,scopes\n{rows}");
    database.run_with("import - --form csv --organization acme", &rows).ok();
    assert_eq!(database.run("check --json").object()["rows"]["read"], 2500);
}

/// Cases: 245.
async fn missing_tables_name_the_command_to_run(database: Database) {
    let empty = match &database {
        Database::Sqlite(_) => Database::Sqlite(Dir::new()),
        Database::Postgres(_) => Database::Postgres(Schema::new().await),
    };
    if let Database::Sqlite(dir) = &empty {
        let error = empty.run("check").error(1);
        assert!(error.contains("does not exist") && error.contains("tower-api-key migrate"), "{error}");
        assert!(!dir.file().exists());
        std::fs::write(dir.file(), "").unwrap();
    }
    for command in ["check", "list --all-organizations", "issue --organization acme --name x --full-access"] {
        let error = empty.run(command).error(1);
        assert!(error.contains("run `tower-api-key migrate`"), "{error}");
    }
    let migrated = empty.run("migrate --json").object();
    let version = migrated["version"].as_i64().unwrap();
    assert_eq!(migrated["version_before"], 0);
    assert!(version > 0);
    assert_eq!(empty.run("migrate").ok(), format!("The key tables are at version {version} already.\n"));
    assert_eq!(empty.run("check --json").object()["schema_version"], version);
    // Another version of the program.
    empty.edit(&format!("UPDATE tower_api_key_migrations SET compatible_from = 999 WHERE version = {version}")).await;
    let error = empty.run("check").error(1);
    assert!(error.contains("needs") || error.contains("need schema version 999"), "{error}");
}

/// Cases: 245.
#[test]
fn unusable_database_is_one_line() {
    let dir = Dir::new();
    let path = dir.path().display();
    std::fs::write(dir.path().join("text"), "no database ".repeat(100)).unwrap();
    for (url, code, reason) in [
        (format!("sqlite:{path}/nowhere.db"), 1, "does not exist"),
        (format!("sqlite:{path}/text"), 1, "file is not a database"),
        ("sqlite::memory:".into(), 1, "in memory"),
        ("mysql://someuser:hunter2@127.0.0.1/x".into(), 2, "the database is sqlite:PATH or postgres://"),
        ("keys.db".into(), 2, "the database is sqlite:PATH or postgres://"),
        (String::new(), 2, "set DATABASE_URL"),
        ("postgres://someuser:hunter2@127.0.0.1:1/x".into(), 1, "the database cannot be reached"),
        ("postgres://someuser:hunter2@127.0.0.1:y/x".into(), 1, "invalid port number"),
        ("postgresql://someuser:hunter2@127.0.0.1/x?sslmode=hunter2x".into(), 1, "ssl_mode"),
    ] {
        for by_argument in [false, true] {
            let mut command = program();
            command.arg("check");
            if by_argument {
                command.args(["--database", &url]);
            } else {
                command.env("DATABASE_URL", &url);
            }
            let error = run(command, "").error(code);
            assert!(error.contains(reason), "{url}: {error}");
            assert!(!error.contains("hunter2@") && !error.contains("someuser"), "{error}");
        }
    }
    let mut command = program();
    command.arg("check");
    assert!(run(command, "").error(2).contains("set DATABASE_URL, or pass --database URL"));
}

/// Cases: 245.
///
/// The program has one provider of TLS, which is that of the process too: `verify-ca` takes it from there.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn database_over_tls_is_verified() {
    let (cluster, ca, _dir) = with_tls();
    let by_address = cluster.url();
    let by_name = by_address.replace("127.0.0.1", "localhost");
    let run_on = |command: &str, url: &str, mode: &str, authority: bool| {
        let mut url = with(url, "sslmode", mode);
        if authority {
            url = with(&url, "sslrootcert", &ca.display().to_string());
        }
        let mut program = program();
        program.env("DATABASE_URL", url).arg(command);
        run(program, "")
    };
    run_on("migrate", &by_name, "verify-full", true).ok();
    run_on("check", &by_name, "verify-full", true).ok();
    run_on("check", &by_address, "verify-ca", true).ok();
    for (url, mode, authority) in
        [(&by_name, "verify-full", false), (&by_address, "verify-full", true), (&by_address, "verify-ca", false)]
    {
        let error = run_on("check", url, mode, authority).error(1);
        assert!(error.contains("certificate"), "{mode}: {error}");
    }
}

on_each_database! {
    check_counts_keys_and_invalid_rows
    check_reads_more_rows_than_a_page
    missing_tables_name_the_command_to_run
}
