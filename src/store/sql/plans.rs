//! By which index SQLite finds the rows of each statement, without statistics. Postgres chooses by its own: the test of many
//! keys prints how long each statement takes there.

use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{AssertSqlSafe, Row, SqlitePool};

use super::database::Database;
use super::listing::{self, Plan};
use super::sqlite::Sqlite;
use super::statements as sql;

/// A statement, and the parts of its plan.
const STATEMENTS: [(&str, &[&str]); 23] = [
    (listing::sqlite(Plan::Whole), &["keys_listing (organization=?"]),
    (listing::sqlite(Plan::Newest), &["keys_listing (organization=?"]),
    (listing::sqlite(Plan::Revoked), &["keys_revoked (organization=?"]),
    (listing::sqlite(Plan::Suspended), &["keys_suspended (organization=?"]),
    (listing::sqlite(Plan::Environment), &["keys_environment (organization=? AND environment=?"]),
    (listing::sqlite(Plan::Creator), &["keys_creator (organization=? AND created_by=?"]),
    (
        listing::sqlite(Plan::Active),
        &["keys_lasting (organization=?", "keys_expiring (organization=? AND expires_at>?)"],
    ),
    (
        listing::sqlite(Plan::Expired),
        &["keys_expiring (organization=? AND expires_at<?)", "keys_listing (organization=? AND (created_at,id)<(?,?))"],
    ),
    (listing::sqlite(Plan::ExpiresBefore), &["keys_expiring (organization=? AND expires_at<?)"]),
    (listing::sqlite(Plan::Search), &["SCAN s VIRTUAL TABLE INDEX", "SEARCH k USING INTEGER PRIMARY KEY (rowid=?)"]),
    (listing::sqlite(Plan::All), &["keys_all ((created_at,id)<(?,?))"]),
    (listing::sqlite(Plan::AllNewest), &["keys_all ((created_at,id)<(?,?))"]),
    (listing::sqlite(Plan::AllSearch), &["SCAN s VIRTUAL TABLE INDEX", "SEARCH k USING INTEGER PRIMARY KEY (rowid=?)"]),
    (listing::count_candidates(Plan::Whole), &["COVERING INDEX tower_api_key_keys_listing (organization=?"]),
    (listing::count_candidates(Plan::Creator), &["COVERING INDEX tower_api_key_keys_creator (organization=? AND"]),
    (sql::COUNTS_OF_ONE, &["COVERING INDEX tower_api_key_keys_listing (organization=?)"]),
    (sql::ACTIVE, &["keys_"]),
    (sql::GET, &["sqlite_autoindex_tower_api_key_keys_1 (id=?)"]),
    (sql::UPDATE, &["sqlite_autoindex_tower_api_key_keys_1 (id=?)"]),
    (sql::REVOKE, &["sqlite_autoindex_tower_api_key_keys_1 (id=?)"]),
    (
        sql::ENDED_OF_ONE_SQLITE,
        &[
            "keys_ended (organization=? AND revoked_at>? AND revoked_at<?)",
            "keys_expiring (organization=? AND expires_at>? AND expires_at<?)",
            "keys_listing (organization=? AND created_at<?)",
        ],
    ),
    (
        sql::ENDED_SQLITE,
        &[
            "keys_all_ended (revoked_at>? AND revoked_at<?)",
            "keys_all_expiring (expires_at>? AND expires_at<?)",
            "keys_listing (organization=? AND created_at<?)",
        ],
    ),
    (sql::OF_ORGANIZATION_SQLITE, &["keys_listing (organization=?"]),
];

async fn plan(pool: &SqlitePool, statement: &str) -> String {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let rows = sqlx::query(explain).fetch_all(pool).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>().join("\n")
}

/// Cases: 194.
#[tokio::test]
async fn statement_finds_its_keys_by_an_index() {
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    sqlx::raw_sql(sql::CREATE_MIGRATIONS).execute(&pool).await.unwrap();
    for migration in Sqlite::MIGRATIONS {
        sqlx::raw_sql(migration.script).execute(&pool).await.unwrap();
    }
    let mut wrong = Vec::new();
    for (statement, parts) in STATEMENTS {
        let plan = plan(&pool, statement).await;
        println!("{statement}\n{plan}\n");
        let mut missing = parts.iter().filter(|part| !plan.contains(**part));
        // Of a subquery with this name, the rows are found already.
        let reads_all = plan.lines().any(|line| line.trim() == "SCAN k") && !plan.contains("CO-ROUTINE k");
        if reads_all || missing.next().is_some() {
            wrong.push(format!("{statement}\n{plan}\nhas to find its keys by {parts:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
