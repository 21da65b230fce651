//! The pages of the guide: every command of theirs is run.

use std::path::Path;
use std::process::Command;

use crate::database::Database;
use crate::program::run;

/// Runs the shell blocks of a page, one after the other in one shell, in a directory of its own.
fn run_page(database: &Database, page: &str) -> String {
    let script = script(page);
    assert!(script.lines().filter(|line| line.starts_with("tower-api-key ")).count() >= 8, "{script}");
    let program = Path::new(env!("CARGO_BIN_EXE_tower-api-key"));
    let directory = crate::support::sqlite::Dir::new();
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    // The last line of a page that sets the database wins over the page.
    let script =
        script.replace("export DATABASE_URL=sqlite:keys.db", &format!("export DATABASE_URL='{}'", database.url()));
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &script]).env("PATH", path).current_dir(directory.path());
    for name in ["TOWER_API_KEY_ACTOR", "TOWER_API_KEY_AUDIT_LOG", "TOWER_API_KEY_PREFIX"] {
        shell.env_remove(name);
    }
    let ran = run(shell, "");
    assert_eq!(ran.code, Some(0), "{script}\n{}\n{}", ran.out, ran.err);
    ran.out
}

/// The blocks of a page that a shell runs.
fn script(page: &str) -> String {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block).collect()
}

/// Cases: 245.
async fn commands_of_the_command_line_page_work(database: Database) {
    let out = run_page(&database, include_str!("../../src/guide/command_line.md"));
    assert!(out.contains("2 valid, 0 rejected") && out.contains("2 imported, 0 there already"), "{out}");
    assert!(out.contains("Revoked key") && out.contains("maximum key age  90d"), "{out}");
}

/// Cases: 245.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres and jq"]
async fn commands_of_the_operators_page_work() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let out = run_page(&database, include_str!("../../src/guide/operators.md"));
        assert!(out.contains("0 undecodable, 0 invalid"), "{out}");
        // Once as leaked, and again from the audit trail, as after a restore.
        assert_eq!(out.matches("Revoked key").count(), 2, "{out}");
    }
}

/// Each metric and outcome in an alert exists.
///
/// Cases: 245.
#[test]
fn alerts_of_the_operators_page_name_metrics() {
    let page = include_str!("../../src/guide/operators.md");
    let metrics = include_str!("../../src/observe/metrics.rs");
    let codes = include_str!("../../src/rejection/reason.rs");
    let expressions: Vec<_> = page.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert!(expressions.len() >= 7, "{expressions:?}");
    for expression in expressions {
        let (_, rest) = expression.split_once('(').and_then(|(_, rest)| rest.split_once('(')).unwrap();
        let metric = rest.split(['{', '[']).next().unwrap();
        assert!(metrics.contains(&format!("\"{metric}\"")), "{metric}");
        let Some((_, labels)) = rest.split_once("outcome=") else { continue };
        let outcomes = labels.split('"').nth(1).unwrap();
        for outcome in outcomes.split('|').filter(|_| metric == "api_key_requests_total") {
            let code = outcome.trim_end_matches(".*");
            assert!(codes.contains(&format!("\"{code}")), "{outcome}");
        }
    }
}

on_each_database! {
    commands_of_the_command_line_page_work
}
