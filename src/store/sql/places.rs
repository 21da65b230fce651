use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a connection that was idle may take to prove that it works.
const PROOF_OF_LIFE: Duration = Duration::from_secs(1);

/// A place in the pool. Taken for as long as the server may be busy with what is done there.
pub(super) type Place = OwnedSemaphorePermit;

type Connection = PoolConnection<sqlx::Postgres>;

/// The places of a pool, each for one connection that is used or being opened.
///
/// The driver drops a connection that is being opened when its caller goes away, and opens another one for the next caller.
/// When a server that stalled goes on, it would find all of them in its queue. Here, an attempt goes on without its caller.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) pool: PgPool,
    free: Arc<Semaphore>,
}

impl Places {
    pub(super) fn of(pool: PgPool) -> Self {
        let size = usize::try_from(pool.options().get_max_connections()).unwrap_or(Semaphore::MAX_PERMITS);
        Self { pool, free: Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS))) }
    }

    /// Waits for a place and a connection in it.
    pub(super) async fn take(&self) -> Result<(Connection, Place), sqlx::Error> {
        let waits = timeout(self.pool.options().get_acquire_timeout(), Arc::clone(&self.free).acquire_owned());
        let place = waits.await.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        // A connection that was idle answers at once or has died silently. A new one may be waiting for a server that stalls.
        let limit = if self.pool.num_idle() > 0 { PROOF_OF_LIFE } else { self.pool.options().get_acquire_timeout() };
        let pool = self.pool.clone();
        let acquire = async move {
            let connection = timeout(limit, pool.acquire()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
            Ok((connection, place))
        };
        Acquiring::new(acquire).await
    }
}

/// Goes on when its caller is gone, until there is a connection for the next one.
pub(super) struct Acquiring<T: Send + 'static> {
    future: Option<BoxFuture<'static, Result<T, sqlx::Error>>>,
    runtime: Handle,
}

impl<T: Send + 'static> Acquiring<T> {
    pub(super) fn new(future: impl Future<Output = Result<T, sqlx::Error>> + Send + 'static) -> Self {
        Self { future: Some(Box::pin(future)), runtime: Handle::current() }
    }
}

impl<T: Send + 'static> Future for Acquiring<T> {
    type Output = Result<T, sqlx::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.future else { return Poll::Pending };
        let polled = future.as_mut().poll(cx);
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Acquiring<T> {
    fn drop(&mut self) {
        if let Some(future) = self.future.take() {
            self.runtime.spawn(async move { drop(future.await) });
        }
    }
}
