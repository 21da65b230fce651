use std::iter::once;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

use super::CacheError;
use super::batch::{Answer, Batch, Share};
use super::entries::{Asked, Entries};
use super::refresh::Schedule;
use crate::flights::{Flights, Landing};
use crate::key::{KeyDigest, KeyRecord};
use crate::store::{Changes, Invalidation, KeyStore, Lookup, Subscriber};
use crate::turns::{Displaced, Given};

type Turns = crate::turns::Turns<KeyDigest, Share>;
type Turn = crate::turns::Turn<KeyDigest, Share>;
type Place = crate::turns::Place<KeyDigest, Share>;

/// What all handles to a cache share.
pub(super) struct Inner<S> {
    pub(super) store: S,
    pub(super) entries: Entries,
    pub(super) flights: Flights<Asked, Handle>,
    pub(super) known: Turns,
    pub(super) first_seen: Turns,
    pub(super) schedule: Schedule,
    /// Where caches in front of this one subscribe.
    pub(super) changes: Changes,
    /// Forgets what the store publishes, for as long as this is kept.
    pub(super) _subscriber: Arc<Subscriber>,
}

pub(super) type Flight = Shared<BoxFuture<'static, Answer>>;

/// How another request joins a lookup.
pub(super) struct Handle {
    flight: WeakShared<BoxFuture<'static, Answer>>,
    place: Place,
}

impl<S> Inner<S> {
    /// Forgets what this change made obsolete. Caches in front of this one do so afterwards: until then, they could ask
    /// this one again.
    pub(super) fn forget(&self, change: &Invalidation) {
        self.entries.forget(change.clone());
        self.changes.publish(change);
    }
}

impl<S: KeyStore> Inner<S> {
    /// Returns the lookup of this key that is under way, or starts one.
    pub(super) fn flight(self: &Arc<Self>, digest: KeyDigest) -> Flight {
        let now = self.entries.ask();
        self.flights.join_or_start(
            digest,
            now,
            |&began| self.entries.may_share(began, now),
            |handle| handle.flight.upgrade().inspect(|_| handle.place.renew()),
            |landing| {
                let place = if self.entries.knows(&digest) { self.known.place() } else { self.first_seen.place() };
                let flight = Arc::clone(self).fly(digest, place.clone(), landing).boxed().shared();
                (Handle { flight: flight.downgrade().expect("it has not been polled yet"), place }, flight)
            },
        )
    }

    /// Looks the key up and remembers the answer. The lookup belongs to no request: each request that waits drives it.
    async fn fly(self: Arc<Self>, digest: KeyDigest, place: Place, landing: Landing<Asked, Handle>) -> Answer {
        let _landing = landing;
        // The lookup of another request may have ended since this one found nothing.
        if let Some(found) = self.remembered(&digest) {
            return Ok(found);
        }
        let found = match place.take(digest).await.map_err(|Displaced| CacheError::Crowded)? {
            Given::Turn(turn) => match self.remembered(&digest) {
                // Or while this one waited for its turn.
                Some(found) => found,
                None => Arc::clone(&self).lead(digest, turn).await?,
            },
            Given::Share(share) => share.answer().await?,
        };
        if found.is_some() {
            self.entries.uses().mark(&digest);
        }
        Ok(found)
    }

    /// Looks the key up, and with it those that wait.
    async fn lead(self: Arc<Self>, digest: KeyDigest, mut turn: Turn) -> Answer {
        let others = turn.take_along(self.store.max_batch().saturating_sub(1));
        if others.is_empty() {
            let answer = self.look_up(&digest).await;
            if matches!(answer, Ok(Some(_))) {
                turn.found_key();
            }
            return answer;
        }
        let digests: Vec<_> = once(digest).chain(others.iter().map(|other| *other.key())).collect();
        let batch = Batch::new(async move {
            let _turn = turn;
            self.look_up_many(&digests).await
        });
        for (at, other) in (1..).zip(others) {
            other.share(batch.share(at));
        }
        batch.share(0).answer().await
    }

    async fn look_up(&self, digest: &KeyDigest) -> Answer {
        let asked = self.entries.ask();
        let found = AssertUnwindSafe(async { self.store.find(digest).await }).catch_unwind().await;
        let found = found.map_err(|panic| CacheError::of_panic(&*panic))?.map_err(CacheError::of)?;
        self.remember(digest, found.as_ref(), asked);
        Ok(found)
    }

    /// Returns an answer for each of these, in their order. One that fails keeps none of the others from its answer.
    async fn look_up_many(&self, digests: &[KeyDigest]) -> Vec<Answer> {
        let asked = self.entries.ask();
        let found = AssertUnwindSafe(async { self.store.find_many(digests).await }).catch_unwind().await;
        let found =
            found.map_err(|panic| CacheError::of_panic(&*panic)).and_then(|found| found.map_err(CacheError::of));
        let mut found = match found {
            Ok(found) => found.into_iter(),
            Err(error) => return vec![Err(error); digests.len()],
        };
        let answers = digests.iter().map(|digest| {
            let missing = || CacheError::of("the store returned fewer results than it was asked for");
            let found = found.next().ok_or_else(missing)?.map_err(CacheError::of)?;
            self.remember(digest, found.as_ref(), asked);
            Ok(found)
        });
        answers.collect()
    }

    /// As [`look_up_many`](Self::look_up_many), but for one as a single lookup.
    pub(super) async fn look_up_all(&self, digests: &[KeyDigest]) -> Vec<Answer> {
        match digests {
            [digest] => vec![self.look_up(digest).await],
            _ => self.look_up_many(digests).await,
        }
    }

    fn remember(&self, digest: &KeyDigest, found: Option<&Arc<KeyRecord>>, asked: Asked) {
        // The record of another key is a mistake of the store, which the next lookup need not repeat.
        if found.is_none_or(|record| record.digest() == digest) && self.entries.remember(*digest, found.cloned(), asked)
        {
            self.schedule.add(digest, asked);
        }
    }

    /// Returns the answer that is remembered.
    fn remembered(&self, digest: &KeyDigest) -> Option<Option<Arc<KeyRecord>>> {
        match self.entries.find(digest) {
            Lookup::Found(record) => Some(Some(record)),
            Lookup::NotFound => Some(None),
            Lookup::Pending => None,
        }
    }
}
