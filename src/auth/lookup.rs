//! Asks a store, and turns every failure into an outage.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::BoxError;
use crate::error_chain::panic_text;
use crate::key::{KeyDigest, KeyRecord};
use crate::observe::LegacyCheck;
use crate::rejection::Outage;
use crate::store::{Changes, KeyStore, Lookup};

/// A lookup that is under way.
pub(super) type Waiting = BoxFuture<'static, Awaited>;

/// What a store found after a while, and what that is checked against.
pub(super) struct Awaited {
    pub(super) digest: KeyDigest,
    pub(super) found: Result<Option<Arc<KeyRecord>>, Box<LookupError>>,
    /// What the verifier of legacy keys made of the key, if it was asked.
    pub(super) legacy: Option<LegacyCheck>,
}

/// What a store answers at once.
pub(super) enum Answer {
    Found(Arc<KeyRecord>),
    NotFound,
    Pending,
    Failed(Box<LookupError>),
}

/// The store gave no answer, and this is why.
pub(super) struct LookupError {
    pub(super) outage: Outage,
    pub(super) cause: BoxError,
}

/// A [`KeyStore`] of any type with a timeout and without panics.
pub(super) trait GuardedStore: Send + Sync {
    fn try_find(&self, digest: &KeyDigest) -> Answer;
    fn find(self: Arc<Self>, digest: KeyDigest, timeout: Option<Duration>) -> Waiting;
    fn changes(&self) -> Option<&Changes>;
}

impl<S: KeyStore> GuardedStore for S {
    fn try_find(&self, digest: &KeyDigest) -> Answer {
        match catch_unwind(AssertUnwindSafe(|| KeyStore::try_find(self, digest))) {
            Ok(Lookup::Found(record)) => Answer::Found(record),
            Ok(Lookup::NotFound) => Answer::NotFound,
            Ok(Lookup::Pending) => Answer::Pending,
            Err(panic) => Answer::Failed(panicked(panic)),
        }
    }

    fn changes(&self) -> Option<&Changes> {
        KeyStore::changes(self)
    }

    fn find(self: Arc<Self>, digest: KeyDigest, timeout: Option<Duration>) -> Waiting {
        // One box holds all of it. The timer is made inside the guard as well: where tokio has none, making it
        // panics.
        let guarded = AssertUnwindSafe(async move {
            let mut find = pin!(async { KeyStore::find(&*self, &digest).await.map_err(failed) });
            let Some(limit) = timeout else { return find.await };
            // A store that answers at once needs no timer.
            if let Poll::Ready(found) = poll_fn(|cx| Poll::Ready(find.as_mut().poll(cx))).await {
                return found;
            }
            // It was polled a moment ago; polling it again at once would be in vain.
            let mut asked = true;
            let answer = poll_fn(|cx| if mem::take(&mut asked) { Poll::Pending } else { find.as_mut().poll(cx) });
            tokio::time::timeout(limit, answer).await.unwrap_or_else(|elapsed| Err(timed_out(elapsed)))
        });
        Box::pin(guarded.catch_unwind().map(move |found| {
            let found = found.unwrap_or_else(|panic| Err(panicked(panic)));
            Awaited { digest, found, legacy: None }
        }))
    }
}

fn failed(error: impl Into<BoxError>) -> Box<LookupError> {
    Box::new(LookupError { outage: Outage::Failed, cause: error.into() })
}

fn timed_out(error: tokio::time::error::Elapsed) -> Box<LookupError> {
    Box::new(LookupError { outage: Outage::TimedOut, cause: error.into() })
}

#[expect(clippy::needless_pass_by_value, reason = "so that it can be named where a panic is mapped")]
fn panicked(panic: Box<dyn Any + Send>) -> Box<LookupError> {
    let cause = format!("the key store panicked: {}", panic_text(&*panic));
    Box::new(LookupError { outage: Outage::Panicked, cause: cause.into() })
}
