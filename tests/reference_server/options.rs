use std::net::TcpListener;

use super::server::{Server, run};
use super::stores::Store;
use crate::support::sqlite::Dir;

/// Runs with invalid options: one plain line, a non-zero exit, nothing on standard output.
fn rejected(options: &[&str]) -> String {
    let (status, out, err) = run(options);
    assert!(!status.success() && status.code().is_some(), "{options:?}: {status}");
    assert_eq!(out, "", "{options:?}");
    assert_eq!(err.lines().count(), 1, "{options:?}: {err}");
    assert!(err.starts_with("error: ") && err.ends_with('\n'), "{options:?}: {err}");
    assert!(!err.contains("panicked") && !err.contains('\u{1b}'), "{options:?}: {err}");
    err
}

#[test]
fn invalid_option_is_one_line_naming_it() {
    let table: &[&[&str]] = &[
        &["--listen", "nonsense"],
        &["--listen", "127.0.0.1"],
        &["--listen", "127.0.0.1:65536"],
        &["--listen"],
        &["--store", "mysql://u@h/d"],
        &["--store", "memory"],
        &["--store", ""],
        &["--store", "memory:x"],
        &["--store", "postgres:x"],
        &["--limits", "redis"],
        &["--limits", "memory"],
        &["--limits", "memcached://127.0.0.1"],
        &["--limits", "redis://127.0.0.1:port"],
        &["--requests-per-minute", "0"],
        &["--requests-per-minute", "-1"],
        &["--requests-per-minute", "many"],
        &["--requests-per-minute", "4294967296"],
        &["--max-key-age", "soon"],
        &["--max-key-age", "90"],
        &["--max-key-age", "0s"],
        &["--max-key-age", "999ms"],
        &["--max-key-age", "3 months"],
        &["--metrics-listen", "nonsense"],
        &["--trusted-proxy", "nonsense"],
        &["--trusted-proxy", "10.0.0.1/8"],
        &["--trusted-proxy", "0.0.0.0/0"],
        &["--trusted-proxy", "127.0.0.1", "--trusted-proxy", "010.0.0.0/8"],
        &["--insecure-http=yes"],
        &["--no-such-option"],
        &["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"],
    ];
    for options in table {
        let message = rejected(options);
        let option = options[0].split('=').next().unwrap();
        assert!(message.contains(option), "{options:?}: {message}");
    }
    rejected(&["stray"]);
}

#[test]
fn unusable_store_is_one_line() {
    let directory = Dir::new();
    let path = directory.path().display();
    std::fs::write(directory.path().join("text"), "no database ".repeat(100)).unwrap();
    for (url, reason) in [
        (format!("sqlite:{path}/nowhere/avala.db"), "unable to open database file"),
        (format!("sqlite:{path}/text"), "file is not a database"),
        (format!("sqlite:{path}/x?mode=y"), "unknown value"),
        ("sqlite::memory:".into(), "in memory"),
        ("sqlite:".into(), "in memory"),
        ("postgres://someuser:hunter2@127.0.0.1:1/x".into(), "the database server cannot be reached"),
        ("postgres://someuser:hunter2@127.0.0.1:y/x".into(), "invalid port number"),
        ("postgresql://someuser:hunter2@127.0.0.1/x?sslmode=hunter2x".into(), "ssl_mode"),
    ] {
        let message = rejected(&["--store", &url, "--listen", "127.0.0.1:0"]);
        assert!(message.contains(reason), "{url}: {message}");
        assert!(!message.contains("hunter2@") && !message.contains("someuser"), "{message}");
    }
}

/// A newer version of the program has changed the tables in an incompatible way.
#[tokio::test]
async fn newer_store_is_one_line() {
    let store = Store::sqlite();
    store.start(&[]).stop();
    store.run("INSERT INTO tower_api_key_migrations VALUES (1000, 1000, 0)").await;
    let Store::Sqlite(directory) = &store else { unreachable!() };
    assert!(rejected(&["--store", &directory.url(), "--listen", "127.0.0.1:0"]).contains("1000"));
}

#[test]
fn store_url_password_is_not_printed() {
    for url in ["postgres:me:hunter2@localhost/avala", "mysql://me:hunter2@localhost/avala", "hunter2"] {
        assert!(!rejected(&["--store", url]).contains("hunter2"));
    }
}

#[test]
fn address_in_use_is_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert!(rejected(&["--listen", &address]).contains(&address));
    let metrics = ["--listen", "127.0.0.1:0", "--store", "memory:", "--metrics-listen", &address];
    assert!(rejected(&metrics).contains(&address));
}

#[test]
fn public_address_must_be_allowed() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        assert!(rejected(&["--listen", address]).contains("--insecure-http"));
    }
    Server::start(&["--listen", "0.0.0.0:0", "--insecure-http"]);
    Server::start(&["--listen", "0.0.0.0:0", "--require-https"]);
}

#[test]
fn valid_options_are_accepted() {
    for age in ["90d", "24h", "1w 2d", "1 hour", "PT24H", "P90D", "1s"] {
        Server::start(&["--max-key-age", age, "--store", "memory:", "--requests-per-minute", "1"]);
    }
    Server::start(&["--requests-per-minute", "off"]);
}

#[test]
fn help_exits_with_zero() {
    let (status, out, err) = run(&["--help"]);
    assert!(status.success() && err.is_empty());
    for option in [
        "--listen",
        "--store",
        "--requests-per-minute",
        "--require-https",
        "--trusted-proxy",
        "--max-key-age",
        "--metrics-listen",
        "--insecure-http",
    ] {
        assert!(out.contains(option), "{out}");
    }
}
