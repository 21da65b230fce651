use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::away::Away;
use super::store::AnyStore;
use super::{Acquired, Hit, MemoryLimits};
use crate::BoxError;

/// A store, and what counts while that is away.
#[derive(Clone)]
pub(super) struct Counter {
    store: Arc<dyn AnyStore>,
    /// Counts what this process accepts, so that it never accepts more than the limit while the store is away.
    local: Option<MemoryLimits>,
    away: Arc<Away>,
}

/// A hit was counted, or not. The store may have failed in either case.
pub(super) struct Counted {
    pub(super) acquired: Option<Acquired>,
    pub(super) error: Option<BoxError>,
}

/// The answer at once, or a future.
pub(super) enum Counting {
    Done(Counted),
    Pending(BoxFuture<'static, Counted>),
}

impl Counter {
    pub(super) fn new(store: Arc<dyn AnyStore>) -> Self {
        // The time of the runtime, as for every timeout.
        let local = MemoryLimits::new().with_clock(|| Instant::now().into_std());
        Self { store, local: Some(local), away: Arc::new(Away::new()) }
    }

    pub(super) fn without_local(self) -> Self {
        Self { local: None, ..self }
    }

    /// Counts a hit, if the store answers at once.
    pub(super) fn try_count(&self, hit: &Hit) -> Option<Acquired> {
        self.store.try_acquire(hit)
    }

    /// Counts a hit that the store has not answered at once.
    pub(super) fn count(&self, hit: Hit) -> Counting {
        let reserved = self.local.as_ref().map(|local| local.reserve(&hit));
        match reserved {
            // What this process has accepted is part of what all have.
            Some((limited @ Acquired::Limited(_), _)) => {
                Counting::Done(Counted { acquired: Some(limited), error: None })
            }
            reserved if self.away.asks() => Counting::Pending(Box::pin(self.clone().ask(Arc::new(hit), reserved))),
            Some((allowed, _)) => Counting::Done(Counted { acquired: Some(allowed), error: None }),
            None => {
                let error = "the limit store is away: it is asked once a second".into();
                Counting::Done(Counted { acquired: None, error: Some(error) })
            }
        }
    }

    async fn ask(self, hit: Arc<Hit>, reserved: Option<(Acquired, u64)>) -> Counted {
        match self.store.acquire(Arc::clone(&hit)).await {
            Ok(acquired) => {
                self.away.answered(hit.name());
                if let (Acquired::Limited(_), Some(local), Some((_, at))) = (&acquired, &self.local, reserved) {
                    local.release(&hit, at);
                }
                Counted { acquired: Some(acquired), error: None }
            }
            Err(error) => {
                let instead = if self.local.is_some() { "counting in this process" } else { "answering 503" };
                self.away.failed(hit.name(), instead, &error);
                Counted { acquired: reserved.map(|(allowed, _)| allowed), error: Some(error) }
            }
        }
    }
}
