use std::collections::VecDeque;
use std::time::Duration;

use futures::{Stream, stream};
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Connection, Row, TypeInfo, ValueRef};

use super::{SqlFeedError, invalidation};
use crate::store::sql::database::{Rows, Value, query, values};
use crate::store::sql::sqlite::Sqlite;
use crate::store::sql::{SqlError, SqlStore, int};
use crate::store::{ChangeFeed, FeedEvent, Invalidation};

const INTERVAL: Duration = Duration::from_millis(100);

/// Changes with every commit through another connection, and costs next to nothing to read.
const DATA_VERSION: &str = "PRAGMA data_version";

/// The first and the last change that are still listed, or zeros.
const RANGE: &str = "SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM tower_api_key_changes";

const SINCE: &str = "SELECT subject FROM tower_api_key_changes WHERE seq > $1 AND seq <= $2";

impl ChangeFeed for SqlStore<Sqlite> {
    type Error = SqlFeedError;

    async fn listen(&self) -> Result<impl Stream<Item = Result<FeedEvent, SqlFeedError>> + Send, SqlFeedError> {
        let poller = Poller::connect(self.pool()).await?;
        Ok(stream::try_unfold(poller, |mut poller| async move {
            let event = poller.next().await?;
            Ok(Some((event, poller)))
        }))
    }

    fn retry_after(&self, error: &SqlFeedError) -> Duration {
        error.retry_after()
    }
}

struct Poller {
    connection: SqliteConnection,
    /// The data version when the list of changes was last read.
    version: i64,
    /// The last change that was read.
    seen: i64,
    /// Changes that were read and not yet returned.
    pending: VecDeque<Invalidation>,
}

impl Poller {
    async fn connect(pool: &SqlitePool) -> Result<Self, SqlError> {
        // The data version ignores the commits of its own connection, so this one writes nothing.
        let options = (*pool.connect_options()).clone().create_if_missing(false).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let version = version(&mut connection).await?;
        let (_, seen) = range(&mut connection).await?;
        Ok(Self { connection, version, seen, pending: VecDeque::new() })
    }

    /// Returns the next change, or after a while that there is none.
    async fn next(&mut self) -> Result<FeedEvent, SqlError> {
        if self.pending.is_empty() {
            tokio::time::sleep(INTERVAL).await;
            self.poll().await?;
        }
        Ok(self.pending.pop_front().map_or(FeedEvent::Alive, FeedEvent::Change))
    }

    async fn poll(&mut self) -> Result<(), SqlError> {
        let version = version(&mut self.connection).await?;
        if version == self.version {
            return Ok(());
        }
        self.version = version;
        // One transaction, so that no commit between the two reads removes what the second one is to find.
        let mut snapshot = self.connection.begin().await?;
        // A commit to other tables, such as usage or the application's own, leaves the range as it was.
        let (first, last) = range(&mut snapshot).await?;
        if last < self.seen || first > self.seen + 1 {
            self.pending.push_back(Invalidation::All);
        } else if last > self.seen {
            let rows = fetch(&mut snapshot, SINCE, vec![self.seen.into(), last.into()]).await?;
            let missed = i64::try_from(rows.len()) != Ok(last - self.seen);
            self.pending.extend(rows.iter().map(|row| invalidation(row.first().and_then(Value::text))));
            // A change was removed by hand.
            self.pending.extend(missed.then_some(Invalidation::All));
        }
        snapshot.rollback().await?;
        self.seen = last;
        Ok(())
    }
}

async fn version(connection: &mut SqliteConnection) -> Result<i64, SqlError> {
    int(&fetch(connection, DATA_VERSION, vec![]).await?, "no data version returned")
}

async fn range(connection: &mut SqliteConnection) -> Result<(i64, i64), SqlError> {
    match fetch(connection, RANGE, vec![]).await?.first().map(Vec::as_slice) {
        Some([Value::Int(Some(first)), Value::Int(Some(last))]) => Ok((*first, *last)),
        _ => Err(SqlError::invalid_row("tower_api_key_changes cannot be read")),
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
