use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row, TypeInfo, ValueRef};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};

use super::ACQUIRE_TIMEOUT;
use super::database::{Rows, Value, query, values};
use super::places::{Acquiring, Place, Places};
use super::slots::{Own, Slots};
use crate::key::KeyDigest;

/// How long an idle connection has to prove that it works before it is closed.
const PROOF_OF_LIFE: Duration = Duration::from_secs(2);

/// How much later than the server ends a statement its answer may arrive. A connection without an answer by then is closed.
const GRACE: Duration = Duration::from_millis(500);

/// The limit for a statement that the server does not end by itself.
pub(super) const UNLIMITED: Duration = Duration::from_secs(10);

/// How a transaction begins: in one message, whatever it sets.
pub(super) struct Begin {
    pub(super) statements: &'static str,
    /// When the server ends a statement of this transaction.
    pub(super) limit: Duration,
}

/// A connection of the pool, possibly with a transaction, which is rolled back unless it is committed.
///
/// The driver's own guard returns a connection without a time limit. A peer that has vanished silently would keep its place
/// in the pool for ever, and ten of them would keep the whole pool.
#[expect(unnameable_types, reason = "part of a sealed trait")]
pub struct Lease {
    /// Taken only when this is dropped.
    connection: Option<(Leased, Place)>,
    /// Where the connection is returned: the lease may be dropped outside of any runtime.
    runtime: Handle,
    named_statements: bool,
    in_transaction: bool,
    /// When the server ends a statement that is sent now.
    limit: Duration,
    /// When the answer to the statement under way must be here.
    due: Option<Instant>,
}

impl Lease {
    /// With named statements, a connection prepares each statement once; without, each time and without a name.
    pub(super) async fn take(places: &Places, named_statements: bool, limit: Duration) -> Result<Self, sqlx::Error> {
        let (connection, place) = places.take().await?;
        Ok(Self::of(Leased::Pooled(connection), place, named_statements, limit))
    }

    /// Opens a connection for lookups in this place.
    pub(super) async fn open(
        slots: &Arc<Slots>,
        place: Place,
        named_statements: bool,
        limit: Duration,
    ) -> Result<Self, sqlx::Error> {
        let slots = Arc::clone(slots);
        Acquiring::new(async move {
            let opened = timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(&slots.options)).await;
            let own = Own::new(opened.unwrap_or(Err(sqlx::Error::PoolTimedOut))?);
            Ok(Self::of(Leased::Own(own, slots), place, named_statements, limit))
        })
        .await
    }

    pub(super) fn of(connection: Leased, place: Place, named_statements: bool, limit: Duration) -> Self {
        let (connection, runtime) = (Some((connection, place)), Handle::current());
        Self { connection, runtime, named_statements, in_transaction: false, limit, due: None }
    }

    pub(super) async fn begin(&mut self, begin: &Begin) -> Result<(), sqlx::Error> {
        // Set before it is sent, since it may have arrived when this is dropped.
        self.in_transaction = true;
        self.run(begin.statements).await?;
        self.limit = begin.limit;
        Ok(())
    }

    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.run("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn run(&mut self, statements: &'static str) -> Result<(), sqlx::Error> {
        let due = self.start();
        let done = in_time(due, execute(self.connection(), statements)).await;
        self.answered(done.as_ref().err());
        done
    }

    pub(super) async fn fetch(&mut self, statement: &'static str, values: Vec<Value>) -> Result<Rows, sqlx::Error> {
        let due = self.start();
        let rows = in_time(due, self.fetch_unhurried(statement, values)).await;
        self.answered(rows.as_ref().err());
        rows
    }

    /// Runs a statement whose one value is an array of digests.
    pub(super) async fn fetch_by_digests(
        &mut self,
        statement: &'static str,
        digests: &[KeyDigest],
    ) -> Result<Rows, sqlx::Error> {
        let due = self.start();
        let digests: Vec<&[u8]> = digests.iter().map(|digest| &digest.as_bytes()[..]).collect();
        let query = sqlx::query(statement).bind(digests).persistent(self.named_statements);
        let rows = in_time(due, async { query.fetch_all(self.connection()).await }).await;
        self.answered(rows.as_ref().err());
        values!(rows?)
    }

    /// Runs statements without values in one message.
    pub(super) async fn fetch_text(&mut self, statements: String) -> Result<Rows, sqlx::Error> {
        let due = self.start();
        let query = sqlx::raw_sql(AssertSqlSafe(statements));
        let rows = in_time(due, async { query.fetch_all(self.connection()).await }).await;
        self.answered(rows.as_ref().err());
        values!(rows?)
    }

    /// Notes that a statement is sent. If this is dropped before there is an answer, the connection is busy until then.
    fn start(&mut self) -> Instant {
        let due = Instant::now() + self.limit + GRACE;
        self.due = Some(due);
        due
    }

    /// Without a time limit: for statements that wait for others.
    pub(super) async fn fetch_unhurried(
        &mut self,
        statement: &'static str,
        values: Vec<Value>,
    ) -> Result<Rows, sqlx::Error> {
        let query = query!(statement, values).persistent(self.named_statements);
        let rows = query.fetch_all(self.connection()).await?;
        values!(rows)
    }

    /// Runs several statements without values and without a time limit.
    pub(super) async fn run_script(&mut self, script: &'static str) -> Result<(), sqlx::Error> {
        execute(self.connection(), script).await
    }

    /// Notes that the statement has ended. An error of the server is an answer too.
    fn answered(&mut self, error: Option<&sqlx::Error>) {
        if matches!(error, None | Some(sqlx::Error::Database(_))) {
            self.due = None;
        }
    }

    /// Closes a connection that the server has closed already.
    pub(super) fn close(mut self) {
        if let Some((connection, place)) = self.connection.take() {
            let _runtime = self.runtime.enter();
            connection.close();
            drop(place);
        }
    }

    fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("it is taken only when this is dropped").0.get()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((connection, place)) = self.connection.take() else { return };
        let _runtime = self.runtime.enter();
        let (due, in_transaction) = (self.due, self.in_transaction);
        match connection {
            // The usual end of a lookup: nothing to wait for.
            Leased::Own(own, slots) if due.is_none() && !in_transaction => slots.keep(own),
            connection => drop(self.runtime.spawn(async move {
                give_back(connection, due, in_transaction).await;
                drop(place);
            })),
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("in_transaction", &self.in_transaction).finish_non_exhaustive()
    }
}

/// A connection of the pool, or one for lookups.
pub(super) enum Leased {
    Pooled(PoolConnection<sqlx::Postgres>),
    Own(Own, Arc<Slots>),
}

impl Leased {
    fn get(&mut self) -> &mut PgConnection {
        match self {
            Self::Pooled(connection) => connection,
            Self::Own(own, _) => &mut own.connection,
        }
    }

    fn close(self) {
        match self {
            Self::Pooled(connection) => drop(connection.detach()),
            Self::Own(own, _) => drop(own),
        }
    }
}

/// Returns the connection, once the server has answered the statement that was given up. A connection without an answer when
/// it is `due` is closed: until then its place in the pool is taken, so that the server never has more statements under way
/// than the pool has places.
async fn give_back(mut connection: Leased, due: Option<Instant>, in_transaction: bool) {
    let end = due.unwrap_or_else(|| Instant::now() + PROOF_OF_LIFE);
    let settled = timeout_at(end, settle(connection.get(), due.is_some(), in_transaction)).await;
    match connection {
        connection if !matches!(settled, Ok(Ok(()))) => connection.close(),
        Leased::Own(own, slots) => return slots.keep(own),
        Leased::Pooled(mut connection) => {
            if timeout(PROOF_OF_LIFE, connection.return_to_pool()).await.is_ok() {
                return;
            }
        }
    }
    tracing::warn!("closed a connection to the key database, which did not answer in time");
}

/// Waits for the answer to a statement that was given up, and ends the transaction.
async fn settle(connection: &mut PgConnection, given_up: bool, in_transaction: bool) -> Result<(), sqlx::Error> {
    if given_up
        && let Err(error) = connection.ping().await
        // The error of that statement, which the driver would take for one of the connection.
        && !matches!(error, sqlx::Error::Database(_))
    {
        return Err(error);
    }
    if in_transaction { execute(connection, "ROLLBACK").await } else { Ok(()) }
}

/// Uses the simple protocol, which prepares nothing.
async fn execute(connection: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

async fn in_time<T>(due: Instant, statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout_at(due, statement).await.unwrap_or_else(|elapsed| Err(sqlx::Error::Io(elapsed.into())))
}
