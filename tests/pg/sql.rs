//! A stranger's connection to a database.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row};

/// A connection that runs whatever text it is given.
pub(crate) struct Sql(PgConnection);

impl Sql {
    pub(crate) async fn connect(url: &str) -> Self {
        Self(PgConnection::connect(url).await.unwrap())
    }

    pub(crate) async fn run(&mut self, sql: impl Into<String>) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut self.0).await.map(drop)
    }

    pub(crate) async fn rows(&mut self, sql: impl Into<String>) -> Vec<PgRow> {
        sqlx::raw_sql(AssertSqlSafe(sql.into())).fetch_all(&mut self.0).await.unwrap()
    }

    /// The first column, which is text.
    pub(crate) async fn texts(&mut self, sql: impl Into<String>) -> Vec<String> {
        self.rows(sql).await.iter().map(|row| row.get(0)).collect()
    }

    pub(crate) async fn int(&mut self, sql: impl Into<String>) -> i64 {
        self.rows(sql).await[0].get(0)
    }
}
