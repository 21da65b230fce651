//! Lookups of many keys that are due at the same time.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use super::CacheError;
use crate::key::KeyRecord;

/// What a lookup found.
pub(super) type Answer = Result<Option<Arc<KeyRecord>>, CacheError>;

/// One question to the store about several keys. It belongs to no lookup: each one that waits for its answer drives it.
#[derive(Clone)]
pub(super) struct Batch(Shared<BoxFuture<'static, Arc<[Answer]>>>);

/// The part of one lookup in a batch.
pub(super) struct Share {
    batch: Batch,
    at: usize,
}

impl Batch {
    /// The batch has an answer for each share of it, in their order.
    pub(super) fn new(answers: impl Future<Output = Vec<Answer>> + Send + 'static) -> Self {
        Self(answers.map(Arc::from).boxed().shared())
    }

    pub(super) fn share(&self, at: usize) -> Share {
        Share { batch: self.clone(), at }
    }
}

impl Share {
    pub(super) async fn answer(self) -> Answer {
        self.batch.0.await[self.at].clone()
    }
}
