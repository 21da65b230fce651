use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::authorize::RouteClass;
use super::check::Check;
use super::config::ThreadConfig;
use super::identity::ApiKey;
use super::legacy::Candidate;
use super::limit::{Answered, LimitCaller, Pending, Unanswered, answer};
use super::lookup::{self, Awaited};
use crate::identity::Identity;
use crate::key::KeyDigest;
use crate::observe::LegacyCheck;
use crate::rejection::reason::Rejection;

/// What a request waits for: the store, or a limiter. It has one deadline for both.
pub(super) enum Waiting {
    Store(lookup::Waiting),
    Limiter(BoxFuture<'static, Counted>),
}

/// What a request keeps while it waits.
#[derive(Clone, Copy)]
pub(super) struct Paused {
    pub(super) route: RouteClass,
    /// Since when it waits.
    pub(super) since: Option<Instant>,
}

/// What a wait has ended with.
pub(super) enum WaitedFor {
    Lookup(Awaited),
    Count(Counted),
}

/// The answer of a limiter.
pub(super) struct Counted {
    pub(super) answer: Result<Answered, Unanswered>,
    pub(super) next: Next,
}

/// The next step of a request that a limiter has been asked about.
pub(super) enum Next {
    /// The requirements of the route and of this layer. The clock may have been read.
    Authorize { key: ApiKey, read: Option<SystemTime> },
    /// The same requirements, of an identity.
    Identity(Identity),
    /// A request without a key is accepted.
    Anonymous,
    /// A failed attempt is rejected.
    Reject(Rejection),
}

impl Waiting {
    pub(super) fn for_store(check: &mut Check<'_>, digest: KeyDigest) -> Self {
        let config = check.config;
        check.paused.since = (config.limit.is_some() || config.failures.is_some()).then(Instant::now);
        Self::Store(Arc::clone(&config.store).find(digest, config.lookup_timeout))
    }

    /// A key that the store has no record of, or none in memory, is offered to the verifier of legacy keys.
    #[cold]
    pub(super) fn for_legacy(check: &mut Check<'_>, candidate: Candidate, is_unknown: bool) -> Self {
        check.paused.since = Some(Instant::now());
        Self::Store(find_or_verify(Arc::clone(check.thread_config), candidate, is_unknown).boxed())
    }

    /// The request may have waited already.
    pub(super) fn for_limiter(check: &mut Check<'_>, pending: Pending, next: Next) -> Self {
        let since = *check.paused.since.get_or_insert_with(Instant::now);
        let left = check.config.lookup_timeout.map(|timeout| timeout.saturating_sub(since.elapsed()));
        let counted = answer(pending, left).map(|answer| Counted { answer, next });
        Self::Limiter(counted.boxed())
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<WaitedFor> {
        match self {
            Self::Store(lookup) => Pin::new(lookup).poll(cx).map(WaitedFor::Lookup),
            Self::Limiter(counted) => Pin::new(counted).poll(cx).map(WaitedFor::Count),
        }
    }
}

impl Default for Paused {
    fn default() -> Self {
        Self { route: RouteClass::Unlisted(None), since: None }
    }
}

impl Next {
    pub(super) const fn caller(&self) -> LimitCaller<'_> {
        match self {
            Self::Authorize { key, .. } => LimitCaller::Key(key),
            Self::Identity(identity) => LimitCaller::Identity(identity),
            Self::Anonymous => LimitCaller::Anonymous,
            Self::Reject(_) => LimitCaller::Unknown,
        }
    }
}

/// Asks the store, unless it has answered already, and then the verifier of legacy keys. One deadline holds for both.
async fn find_or_verify(config: ThreadConfig, candidate: Candidate, is_unknown: bool) -> Awaited {
    let (began, digest, timeout) = (Instant::now(), candidate.digest, config.lookup_timeout);
    let mut awaited = match is_unknown {
        true => Awaited { digest, found: Ok(None), legacy: None },
        false => Arc::clone(&config.store).find(digest, timeout).await,
    };
    if let (Ok(None), Some(legacy)) = (&awaited.found, &config.legacy) {
        if !legacy.is_remembered(&digest) {
            let left = timeout.map(|timeout| timeout.saturating_sub(began.elapsed()));
            awaited.found = Arc::clone(legacy).verify(candidate, left).await;
        }
        awaited.legacy = Some(match &awaited.found {
            Ok(Some(_)) => LegacyCheck::Imported,
            Ok(None) => LegacyCheck::NotFound,
            Err(_) => LegacyCheck::Failed,
        });
    }
    awaited
}
