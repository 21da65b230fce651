//! One verification for all requests with one key, and one import.

use std::any::Any;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

use super::negatives::Negatives;
use super::{Candidate, LegacyFormat, LegacyKey, LegacyVerifier};
use crate::BoxError;
use crate::auth::lookup::LookupError;
use crate::episode::Episode;
use crate::error_chain::panic_text;
use crate::flights::{Flights, Landing};
use crate::key::{KeyDigest, KeyRecord};
use crate::manage::ManageError;
use crate::manage::manager::KeyManager;
use crate::rejection::Outage;
use crate::store::KeyBackend;
use crate::turns::{Displaced, OverloadLines, Place, Turns};

const OVERLOAD: OverloadLines = OverloadLines {
    begin: "legacy keys arrive faster than they are verified: the newest are verified first and others get a 503; known \
            keys are not affected",
    end: "legacy keys are verified as they arrive again",
};

/// The legacy keys of a layer, with a manager and a verifier of any type.
pub(in crate::auth) trait LegacyKeys: Send + Sync {
    /// Returns a copy of a presented key that may be offered to the verifier.
    fn candidate(&self, presented: &[u8]) -> Option<Candidate>;

    /// Returns whether the verifier has lately not found this key.
    fn is_remembered(&self, digest: &KeyDigest) -> bool;

    /// Has a key verified and imported that the store has no record of. Waits for this long at most.
    fn verify(self: Arc<Self>, candidate: Candidate, timeout: Option<Duration>) -> BoxFuture<'static, Verified>;

    /// What the log has of verifications that failed.
    fn outage(&self) -> &Episode;
}

/// The record of a key that was valid in the old table, or `None`.
pub(in crate::auth) type Verified = Result<Option<Arc<KeyRecord>>, Box<LookupError>>;

type Flown = Result<Option<Arc<KeyRecord>>, Failure>;
type Flight = Shared<BoxFuture<'static, Flown>>;

/// Why a verification failed, for all requests that wait for it.
#[derive(Clone)]
struct Failure {
    outage: Outage,
    cause: Arc<dyn Error + Send + Sync>,
}

/// How another request joins a verification.
struct Handle {
    flight: WeakShared<BoxFuture<'static, Flown>>,
    place: Place,
}

pub(in crate::auth) struct Verifications<B, V> {
    manager: KeyManager<B>,
    verifier: V,
    formats: Vec<LegacyFormat>,
    flights: Flights<(), Handle>,
    turns: Turns,
    negatives: Negatives,
    outage: Episode,
}

impl<B: KeyBackend, V: LegacyVerifier> Verifications<B, V> {
    pub(in crate::auth) fn new(manager: KeyManager<B>, verifier: V, formats: Vec<LegacyFormat>) -> Self {
        let limits = verifier.limits();
        Self {
            manager,
            verifier,
            formats,
            flights: Flights::default(),
            turns: Turns::new(limits.concurrency, limits.waiting, Some(OVERLOAD)),
            negatives: Negatives::new(limits.remembered, limits.remembered_for),
            outage: Episode::default(),
        }
    }

    /// Returns the verification of this key that is under way, or starts one. It belongs to no request: each request that
    /// waits drives it.
    fn flight(self: Arc<Self>, candidate: Candidate) -> Flight {
        let this = Arc::clone(&self);
        self.flights.join_or_start(
            candidate.digest,
            (),
            |()| true,
            |handle| handle.flight.upgrade().inspect(|_| handle.place.renew()),
            |landing| {
                let place = self.turns.place();
                let flight = AssertUnwindSafe(this.fly(candidate, place.clone(), landing)).catch_unwind();
                let flight = flight.map(|flown| flown.unwrap_or_else(|panic| Err(Failure::by_panic(&*panic))));
                let flight = flight.boxed().shared();
                (Handle { flight: flight.downgrade().expect("it has not been polled yet"), place }, flight)
            },
        )
    }

    async fn fly(self: Arc<Self>, candidate: Candidate, place: Place, landing: Landing<(), Handle>) -> Flown {
        let _landing = landing;
        let digest = candidate.digest;
        let turn = place.turn().await.map_err(|Displaced| Failure::by_displacement())?;
        // Another verification of the key may have ended since the request found no record.
        if let Some(record) = self.find(&digest).await? {
            return Ok(Some(record));
        }
        if self.negatives.has(&digest) {
            return Ok(None);
        }
        let verified = self.verifier.verify(LegacyKey::new(candidate, turn)).await;
        let Some((organization, key)) = verified.map_err(|error| Failure::of(error.into()))? else {
            self.negatives.add(digest);
            return Ok(None);
        };
        if *key.digest() != digest {
            let cause = "the verifier returned another key than it was given: make it with LegacyKey::import";
            return Err(Failure::of(cause.into()));
        }
        match self.manager.import(&organization, key).await {
            Ok(record) => Ok(Some(record)),
            // Another process was first, or the key was purged meanwhile: then its tombstone is found.
            Err(ManageError::AlreadyExists) => match self.find(&digest).await? {
                Some(record) => Ok(Some(record)),
                None => Err(Failure::of(ManageError::AlreadyExists.into())),
            },
            Err(error) => Err(Failure::of(format!("a legacy key cannot be imported: {error}").into())),
        }
    }

    async fn find(&self, digest: &KeyDigest) -> Flown {
        let found = self.manager.backend().find(digest).await;
        found.map_err(|error| Failure { outage: Outage::Failed, cause: error.into().into() })
    }
}

impl<B: KeyBackend, V: LegacyVerifier> LegacyKeys for Verifications<B, V> {
    fn candidate(&self, presented: &[u8]) -> Option<Candidate> {
        // The old table has no key in a format that this crate issues.
        if self.manager.rules().formats().any(|format| format.matches(presented)) {
            return None;
        }
        Candidate::of(presented, &self.formats)
    }

    fn is_remembered(&self, digest: &KeyDigest) -> bool {
        self.negatives.has(digest)
    }

    fn verify(self: Arc<Self>, candidate: Candidate, timeout: Option<Duration>) -> BoxFuture<'static, Verified> {
        // The timer is made inside the guard: where tokio has none, making it panics.
        let guarded = AssertUnwindSafe(async move {
            let flight = self.flight(candidate);
            match timeout {
                Some(timeout) => tokio::time::timeout(timeout, flight).await.unwrap_or_else(|elapsed| {
                    Err(Failure { outage: Outage::VerifierTimedOut, cause: Arc::new(elapsed) })
                }),
                None => flight.await,
            }
        });
        let flown = guarded.catch_unwind().map(|flown| flown.unwrap_or_else(|panic| Err(Failure::by_panic(&*panic))));
        flown
            .map(|flown| {
                flown.map_err(|Failure { outage, cause }| Box::new(LookupError { outage, cause: cause.into() }))
            })
            .boxed()
    }

    fn outage(&self) -> &Episode {
        &self.outage
    }
}

impl Failure {
    fn of(cause: BoxError) -> Self {
        Self { outage: Outage::VerifierFailed, cause: cause.into() }
    }

    fn by_panic(panic: &(dyn Any + Send)) -> Self {
        Self::of(format!("the verifier panicked: {}", panic_text(panic)).into())
    }

    fn by_displacement() -> Self {
        let cause: BoxError = "too many legacy keys at once: the key was not verified".into();
        Self { outage: Outage::VerifierBusy, cause: cause.into() }
    }
}
