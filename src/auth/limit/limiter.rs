use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures::future::join_all;

use super::LimitState;
use crate::BoxError;
use crate::auth::identity::ApiKey;
use crate::identity::Identity;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;

/// Counts requests against a limit.
///
/// [`LimitRule`](crate::throttle::LimitRule) of the feature `throttle` is one. A limiter of your own rejects in the
/// form of the layer too:
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::time::Duration;
/// use tower_api_key::auth::{Attempt, Limit, LimitCaller, LimitState, Limiter};
/// use tower_api_key::request::RequestHead;
/// # use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// /// Accepts this many requests of all keys together, ever.
/// struct Trial(AtomicU32);
///
/// impl Limiter for Trial {
///     fn try_acquire(&self, _: RequestHead<'_>, _: LimitCaller<'_>) -> Attempt {
///         let forever = Limit::new(10, Duration::MAX);
///         match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
///             Ok(left) => Attempt::Allowed(LimitState::new(forever, left - 1, Duration::MAX)),
///             Err(_) => Attempt::Limited(LimitState::new(forever, 0, Duration::MAX)),
///         }
///     }
/// }
///
/// ApiKeyLayer::new(MemoryStore::new()).limit(Trial(AtomicU32::new(10)));
/// ```
pub trait Limiter: Send + Sync + 'static {
    /// Counts one more request, if it is within the limit. Must not block. A panic propagates to the caller; a request is
    /// never accepted because of one.
    fn try_acquire(&self, request: RequestHead<'_>, caller: LimitCaller<'_>) -> Attempt;
}

/// Who made a request that is counted.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum LimitCaller<'a> {
    /// The holder of this valid key.
    Key(&'a ApiKey),
    /// Who an outer authenticator has established, for a request without a key.
    Identity(&'a Identity),
    /// A client without a key, where the layer accepts anonymous requests.
    Anonymous,
    /// A client that no layer has authenticated.
    Unknown,
}

/// The answer of a [`Limiter`].
#[non_exhaustive]
pub enum Attempt {
    /// The request has no limit. Its response has no headers about one.
    Unlimited,
    /// The request is within the limit, and is counted.
    Allowed(LimitState),
    /// The request is beyond the limit, gets a 429, and is not counted.
    Limited(LimitState),
    /// The request is rejected for another reason.
    Rejected(Rejection),
    /// The answer must be awaited. A request that is dropped meanwhile may be counted. An error is a 503.
    Pending(Pending),
}

/// An answer that must be awaited.
pub(crate) type Pending = Pin<Box<dyn Future<Output = Result<Attempt, BoxError>> + Send>>;

/// Returns a limiter that asks both. It asks the second one only if the first one has not rejected the request at once.
pub(in crate::auth) fn both(first: Arc<dyn Limiter>, second: Arc<dyn Limiter>) -> Arc<dyn Limiter> {
    Arc::new(Both(first, second))
}

struct Both(Arc<dyn Limiter>, Arc<dyn Limiter>);

impl Limiter for Both {
    fn try_acquire(&self, request: RequestHead<'_>, caller: LimitCaller<'_>) -> Attempt {
        let first = self.0.try_acquire(request, caller);
        if matches!(first, Attempt::Limited(_) | Attempt::Rejected(_)) {
            return first;
        }
        join(first, self.1.try_acquire(request, caller))
    }
}

/// Returns the rejection of one of them, or else the state of the closer limit.
fn join(first: Attempt, second: Attempt) -> Attempt {
    match (first, second) {
        (rejected @ (Attempt::Limited(_) | Attempt::Rejected(_)), _)
        | (_, rejected @ (Attempt::Limited(_) | Attempt::Rejected(_))) => rejected,
        (Attempt::Unlimited, other) | (other, Attempt::Unlimited) => other,
        (Attempt::Allowed(first), Attempt::Allowed(second)) => Attempt::Allowed(first.closer(second)),
        (first, second) => Attempt::Pending(Box::pin(async {
            let both = join_all([resolve(first), resolve(second)]).await;
            let mut answers = both.into_iter();
            let mut next = || answers.next().unwrap_or(Ok(Attempt::Unlimited));
            Ok(join(next()?, next()?))
        })),
    }
}

/// Returns an answer that need not be awaited.
pub(super) async fn resolve(mut attempt: Attempt) -> Result<Attempt, BoxError> {
    while let Attempt::Pending(pending) = attempt {
        attempt = pending.await?;
    }
    Ok(attempt)
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("Unlimited"),
            Self::Allowed(state) => f.debug_tuple("Allowed").field(state).finish(),
            Self::Limited(state) => f.debug_tuple("Limited").field(state).finish(),
            Self::Rejected(rejection) => f.debug_tuple("Rejected").field(rejection).finish(),
            Self::Pending(_) => f.debug_tuple("Pending").finish_non_exhaustive(),
        }
    }
}
