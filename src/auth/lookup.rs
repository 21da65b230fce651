//! Asks a store, and turns whatever goes wrong into an outage.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::error_chain::panic_text;
use crate::key::{KeyDigest, KeyRecord};
use crate::rejection::Outage;
use crate::store::{BoxError, KeyStore, Lookup};

pub(super) type Found = Result<Option<Arc<KeyRecord>>, LookupError>;

/// The store gave no answer, and this is why.
pub(super) struct LookupError {
    pub(super) outage: Outage,
    pub(super) cause: BoxError,
}

/// A [`KeyStore`] of any type, guarded: it neither hangs nor panics.
pub(super) trait GuardedStore: Send + Sync {
    fn find_now(&self, digest: &KeyDigest) -> Result<Lookup, LookupError>;
    fn find(self: Arc<Self>, digest: KeyDigest, timeout: Option<Duration>) -> BoxFuture<'static, Found>;
}

impl<S: KeyStore> GuardedStore for S {
    fn find_now(&self, digest: &KeyDigest) -> Result<Lookup, LookupError> {
        catch_unwind(AssertUnwindSafe(|| KeyStore::find_now(self, digest))).map_err(panicked)
    }

    fn find(self: Arc<Self>, digest: KeyDigest, timeout: Option<Duration>) -> BoxFuture<'static, Found> {
        // One box holds all of it. The timer is made inside the guard as well: where tokio has none, making it
        // panics.
        let guarded = AssertUnwindSafe(async move {
            let find = async { KeyStore::find(&*self, &digest).await.map_err(failed) };
            match timeout {
                Some(limit) => {
                    tokio::time::timeout(limit, find).await.unwrap_or_else(|elapsed| Err(timed_out(elapsed)))
                }
                None => find.await,
            }
        });
        Box::pin(guarded.catch_unwind().map(|found| found.unwrap_or_else(|panic| Err(panicked(panic)))))
    }
}

fn failed(error: impl Into<BoxError>) -> LookupError {
    LookupError { outage: Outage::Failed, cause: error.into() }
}

fn timed_out(error: tokio::time::error::Elapsed) -> LookupError {
    LookupError { outage: Outage::TimedOut, cause: error.into() }
}

#[expect(clippy::needless_pass_by_value, reason = "so that it can be named where a panic is mapped")]
fn panicked(panic: Box<dyn Any + Send>) -> LookupError {
    let cause = format!("the key store panicked: {}", panic_text(&*panic));
    LookupError { outage: Outage::Panicked, cause: cause.into() }
}
