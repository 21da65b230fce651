use std::fmt;
use std::future::Future;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Row, TypeInfo, ValueRef};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::database::{Rows, Value, query, values};

/// How long a connection has to prove that it works before it is closed.
const PROOF_OF_LIFE: Duration = Duration::from_secs(2);

/// A change reads the row again after it has waited for a lock. A stricter default of the database would fail it instead.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// How long a statement may take. A lookup takes no longer than its layer allows.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection of the pool, possibly with a transaction, which is rolled back unless it is committed.
///
/// The driver's own guard returns a connection without a time limit. A peer that has vanished silently would keep its place
/// in the pool for ever, and ten of them would keep the whole pool.
#[expect(unnameable_types, reason = "part of a sealed trait")]
pub struct Lease {
    /// Taken only when this is dropped.
    connection: Option<PoolConnection<sqlx::Postgres>>,
    /// Where the connection is returned: the lease may be dropped outside of any runtime.
    runtime: Handle,
    named_statements: bool,
    in_transaction: bool,
}

impl Lease {
    /// With named statements, a connection prepares each statement once; without, each time and without a name.
    pub(super) async fn take(pool: &PgPool, named_statements: bool) -> Result<Self, sqlx::Error> {
        let connection = Some(pool.acquire().await?);
        Ok(Self { connection, runtime: Handle::current(), named_statements, in_transaction: false })
    }

    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        // Set before it is sent, since it may have arrived when this is dropped.
        self.in_transaction = true;
        in_time(execute(self.connection(), BEGIN)).await
    }

    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        in_time(execute(self.connection(), "COMMIT")).await?;
        self.in_transaction = false;
        Ok(())
    }

    pub(super) async fn fetch(&mut self, statement: &'static str, values: Vec<Value>) -> Result<Rows, sqlx::Error> {
        in_time(self.fetch_unhurried(statement, values)).await
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

    fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_deref_mut().expect("it is taken only when this is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let _runtime = self.runtime.enter();
        self.runtime.spawn(return_to_pool(connection, self.in_transaction));
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("in_transaction", &self.in_transaction).finish_non_exhaustive()
    }
}

/// Ends the transaction and returns the connection. If that takes too long, the connection is closed.
async fn return_to_pool(mut connection: PoolConnection<sqlx::Postgres>, in_transaction: bool) {
    if in_transaction {
        let rolled_back = timeout(PROOF_OF_LIFE, execute(&mut connection, "ROLLBACK")).await;
        if !matches!(rolled_back, Ok(Ok(()))) {
            drop(connection.detach());
            return;
        }
    }
    // As the driver would, with a time limit. A connection that has not answered by then is dropped.
    let _ = timeout(PROOF_OF_LIFE, connection.return_to_pool()).await;
}

/// Uses the simple protocol, which prepares nothing.
async fn execute(connection: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

async fn in_time<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(STATEMENT_TIMEOUT, statement).await.unwrap_or_else(|elapsed| Err(sqlx::Error::Io(elapsed.into())))
}
