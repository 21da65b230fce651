use std::fmt;
use std::future::Future;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Row, TypeInfo, ValueRef};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::backend::{Rows, Value, query, values};

/// How long a connection has to show that it is still there before its place in the pool is given to another.
const PROOF_OF_LIFE: Duration = Duration::from_secs(2);

/// How long a statement may take. A lookup takes as long as its layer says, if that is less.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection of the pool, and perhaps a transaction on it, which is undone unless it is committed.
///
/// The driver's own guard gives a connection back without a limit of time. A peer that is gone without a word would
/// keep its place in the pool for ever, and ten of them all of it.
#[expect(unnameable_types, reason = "part of a sealed trait")]
pub struct Lease {
    /// Taken only when this is dropped.
    connection: Option<PoolConnection<sqlx::Postgres>>,
    /// Where the connection is given back: whoever drops this may be outside of any runtime.
    runtime: Handle,
    named_statements: bool,
    in_transaction: bool,
}

impl Lease {
    /// With named statements, the connection prepares each once; without, each time, and never by a name.
    pub(super) async fn take(pool: &PgPool, named_statements: bool) -> Result<Self, sqlx::Error> {
        let connection = Some(pool.acquire().await?);
        Ok(Self { connection, runtime: Handle::current(), named_statements, in_transaction: false })
    }

    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        // From before it is sent: nobody knows when it has arrived.
        self.in_transaction = true;
        in_time(execute(self.connection(), "BEGIN")).await
    }

    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        in_time(execute(self.connection(), "COMMIT")).await?;
        self.in_transaction = false;
        Ok(())
    }

    pub(super) async fn fetch(&mut self, statement: &'static str, values: Vec<Value>) -> Result<Rows, sqlx::Error> {
        in_time(self.fetch_unhurried(statement, values)).await
    }

    /// Without a limit of time: for what waits for others.
    pub(super) async fn fetch_unhurried(
        &mut self,
        statement: &'static str,
        values: Vec<Value>,
    ) -> Result<Rows, sqlx::Error> {
        let query = query!(statement, values).persistent(self.named_statements);
        let rows = query.fetch_all(self.connection()).await?;
        values!(rows)
    }

    /// Several statements without values, without a limit of time.
    pub(super) async fn run_script(&mut self, script: &'static str) -> Result<(), sqlx::Error> {
        execute(self.connection(), script).await
    }

    fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_deref_mut().expect("it is taken only when this is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let _runtime = self.runtime.enter();
        self.runtime.spawn(give_back(connection, self.in_transaction));
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("in_transaction", &self.in_transaction).finish_non_exhaustive()
    }
}

/// Whatever it was doing is over when it is back in the pool. If it does not end in time, the connection is closed.
async fn give_back(mut connection: PoolConnection<sqlx::Postgres>, in_transaction: bool) {
    if in_transaction {
        let rolled_back = timeout(PROOF_OF_LIFE, execute(&mut connection, "ROLLBACK")).await;
        if !matches!(rolled_back, Ok(Ok(()))) {
            drop(connection.detach());
            return;
        }
    }
    // What the driver would do, but with an end. A connection that has not answered by then is dropped with this.
    let _ = timeout(PROOF_OF_LIFE, connection.return_to_pool()).await;
}

/// By the simple protocol, which prepares nothing.
async fn execute(connection: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

async fn in_time<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(STATEMENT_TIMEOUT, statement).await.unwrap_or_else(|elapsed| Err(sqlx::Error::Io(elapsed.into())))
}
