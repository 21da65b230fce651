//! Hears of changes that others made in the same database, so that a cache can forget what they were about.

#[cfg(feature = "postgres")]
mod listen;
#[cfg(feature = "sqlite")]
mod poll;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::backend::Backend;
use super::{SqlError, SqlStore};
use crate::error_chain::error_chain;
use crate::key::KeyId;
use crate::store::CachedStore;

/// What somebody else changed. It can only make a cache forget.
#[expect(unnameable_types, reason = "part of a sealed trait")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Key(KeyId),
    Anything,
}

impl Change {
    /// Whatever is not the id of one key may be about any.
    fn parse(text: Option<&str>) -> Self {
        text.and_then(|text| text.parse().ok()).map_or(Self::Anything, Self::Key)
    }
}

/// Why the feed has ended.
#[expect(unnameable_types, reason = "part of a sealed trait")]
#[derive(Debug)]
pub enum Silence {
    /// The connection is gone.
    Lost(SqlError),
    /// Nothing arrives although the connection is there.
    Unheard,
    /// The pool is set up for a pooler, through which nothing would arrive.
    Pooled,
    /// Nothing has ever arrived: what stands between us and the database swallows it.
    Swallowed,
}

impl Silence {
    /// How long to wait before the next attempt.
    const fn pause(&self) -> Duration {
        match self {
            Self::Lost(_) | Self::Unheard => Duration::from_millis(250),
            Self::Pooled | Self::Swallowed => Duration::from_secs(60),
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(error) => write!(f, "{}", error_chain(error)),
            Self::Unheard => f.write_str("the connection that listens is silent"),
            Self::Pooled => {
                f.write_str("a pool without a statement cache is one behind a pooler, which swallows LISTEN")
            }
            Self::Swallowed => f.write_str(
                "nothing is heard at all, as if a pooler swallowed LISTEN (PgBouncer in transaction mode does)",
            ),
        }
    }
}

impl<E: Into<SqlError>> From<E> for Silence {
    fn from(error: E) -> Self {
        Self::Lost(error.into())
    }
}

/// A database that tells of changes.
#[expect(unnameable_types, reason = "sealed: it is public only as the bound of a public type")]
pub trait Feed: Backend {
    /// Calls `changed` for every change, first with [`Change::Anything`] once it hears of them: whatever came
    /// before was missed.
    fn follow(
        &self,
        changed: impl Fn(Change) + Send + Sync,
    ) -> impl Future<Output = Result<Infallible, Silence>> + Send;
}

impl<B: Feed> CachedStore<SqlStore<B>> {
    /// Listens to what other processes change in the database, and forgets what it was about. Runs until it is
    /// dropped: spawn it beside the server.
    ///
    /// Postgres notifies through a connection of its own, typically within milliseconds; a heartbeat every 5
    /// seconds finds a connection that has died silently. An SQLite file is looked at ten times a second. While
    /// nothing can be heard, entries serve to their time to live, and once it can be again, everything is
    /// forgotten once. Behind a pooler that swallows `LISTEN`, the log says so, and the time to live is what
    /// remains.
    ///
    /// ```no_run
    /// # #[cfg(feature = "postgres")]
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_api_key::{ApiKeyLayer, CachedStore, PostgresStore};
    ///
    /// let keys = CachedStore::new(PostgresStore::connect("postgres://app@db.internal/app").await?);
    /// tokio::spawn(keys.watch());
    /// let layer = ApiKeyLayer::new(keys);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// On a runtime other than tokio's, or one without its timer.
    pub fn watch(&self) -> impl Future<Output = Infallible> + Send + use<B> {
        let cache = self.clone();
        async move {
            let (hearing, mut told) = (AtomicBool::new(false), false);
            loop {
                let changed = |change| {
                    if !hearing.swap(true, Ordering::Relaxed) {
                        log::info!("hearing of changes that other processes make to keys");
                    }
                    cache.forget(change);
                };
                let Err(silence) = cache.get_ref().backend.follow(changed).await;
                // Once for each time that it was lost, and not for each attempt since.
                if hearing.swap(false, Ordering::Relaxed) || !told {
                    log::warn!("changes that other processes make are noticed after the time to live: {silence}");
                    told = true;
                }
                tokio::time::sleep(silence.pause()).await;
            }
        }
    }

    fn forget(&self, change: Change) {
        match change {
            Change::Key(id) => self.invalidate_key(id),
            Change::Anything => self.flush(),
        }
    }
}
