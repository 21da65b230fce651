use std::convert::Infallible;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row, TypeInfo, ValueRef};

use super::{Change, Feed, Silence};
use crate::store::sql::SqlError;
use crate::store::sql::backend::{Rows, Value, query, values};
use crate::store::sql::sqlite::Sqlite;

const INTERVAL: Duration = Duration::from_millis(100);

/// Changes with every commit through another connection, and costs next to nothing to ask for.
const DATA_VERSION: &str = "PRAGMA data_version";

/// The first and the last change that are still listed; zeros where there is none.
const RANGE: &str = "SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM tower_api_key_changes";

const SINCE: &str = "SELECT key FROM tower_api_key_changes WHERE seq > $1 AND seq <= $2";

impl Feed for Sqlite {
    async fn follow(&self, changed: impl Fn(Change) + Send + Sync) -> Result<Infallible, Silence> {
        // `data_version` speaks of other connections than its own, so this one writes nothing.
        let options = (*self.pool.connect_options()).clone().create_if_missing(false).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let mut version = version(&mut connection).await?;
        let (_, mut seen) = range(&mut connection).await?;
        changed(Change::Anything);
        loop {
            tokio::time::sleep(INTERVAL).await;
            let latest = self::version(&mut connection).await?;
            if latest == version {
                continue;
            }
            version = latest;
            // A commit of anything else, such as usage or the application's own tables, leaves this as it was.
            let (first, last) = range(&mut connection).await?;
            if last < seen || first > seen + 1 {
                changed(Change::Anything);
            } else if last > seen {
                let rows = fetch(&mut connection, SINCE, vec![seen.into(), last.into()]).await?;
                rows.iter().for_each(|row| changed(Change::parse(row.first().and_then(Value::text))));
            }
            seen = last;
        }
    }
}

async fn version(connection: &mut SqliteConnection) -> Result<i64, SqlError> {
    crate::store::sql::int(&fetch(connection, DATA_VERSION, vec![]).await?)
}

async fn range(connection: &mut SqliteConnection) -> Result<(i64, i64), SqlError> {
    match fetch(connection, RANGE, vec![]).await?.first().map(Vec::as_slice) {
        Some([Value::Int(Some(first)), Value::Int(Some(last))]) => Ok((*first, *last)),
        _ => Err(SqlError::bad_row("tower_api_key_changes")),
    }
}

async fn fetch(
    connection: &mut SqliteConnection,
    statement: &'static str,
    values: Vec<Value>,
) -> Result<Rows, sqlx::Error> {
    let rows = query!(statement, values).fetch_all(connection).await?;
    values!(rows)
}
