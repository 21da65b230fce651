use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;

use super::counter::{Counted, Counter, Counting};
use super::whom::{Counts, Whom};
use super::{Acquired, Hit, LimitStore, MemoryLimits, Subject};
use crate::auth::{Attempt, LimitCaller, LimitHeaders, Limiter, Limits};
use crate::hooks::call_each;
use crate::observe::{LimitEvent, LimitOutcome};
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;
use crate::{ApiKey, BoxError};

/// Whose requests are limited, to how many, and where they are counted.
///
/// By default it counts in this process: clones of a rule share the counts, and two rules have their own. Give it to
/// [`ApiKeyLayer::limit`](crate::ApiKeyLayer::limit), [`ApiKeyLayer::throttle_failures`](crate::ApiKeyLayer::throttle_failures)
/// or [`ThrottleLayer::new`](super::ThrottleLayer::new).
///
/// ```
/// use tower_api_key::scope::avala;
/// use tower_api_key::throttle::{Limit, LimitRule, Limits};
/// use tower_api_key::{ApiKey, ApiKeyLayer, MemoryStore};
///
/// /// Organizations that export have more.
/// fn plan(key: &ApiKey) -> Limits {
///     match key.allows(&avala::EXPORTS_CREATE) {
///         true => [Limit::per_minute(1_000), Limit::per_day(100_000)].into(),
///         false => [Limit::per_minute(100), Limit::per_day(5_000)].into(),
///     }
/// }
///
/// let rule = LimitRule::per_key(Limit::per_minute(100))
///     .plan(plan)
///     .cost(|request| if request.path().starts_with("/search/") { 5 } else { 1 });
/// ApiKeyLayer::new(MemoryStore::new()).limit(rule);
/// ```
#[derive(Clone)]
#[must_use = "a rule limits nothing until it is given to a layer"]
pub struct LimitRule {
    parts: Arc<Parts>,
}

#[derive(Clone)]
struct Parts {
    name: &'static str,
    whom: Whom,
    limits: Arc<Limits>,
    plan: Option<Arc<PlanFn>>,
    cost: Option<Arc<CostFn>>,
    counter: Counter,
    shadow: bool,
    headers: LimitHeaders,
    hooks: Vec<Arc<HookFn>>,
}

type PlanFn = dyn Fn(&ApiKey) -> Limits + Send + Sync;
type CostFn = dyn Fn(RequestHead<'_>) -> u32 + Send + Sync;
type HookFn = dyn Fn(&LimitEvent<'_>) + Send + Sync;

impl LimitRule {
    /// Counts by the id of the API key. The [identity](crate::auth::Identity) of an outer authenticator has a count of its own,
    /// by its organization and actor. Anonymous requests count by
    /// [`ClientInfo::network`](crate::client::ClientInfo::network), or all together where no
    /// [`ClientInfoLayer`](crate::transport::ClientInfoLayer) is outside.
    ///
    /// In a [`ThrottleLayer`](super::ThrottleLayer) it requires an outer [`ApiKeyLayer`](crate::ApiKeyLayer): without it the
    /// response is 500, and the log names the missing layer.
    pub fn per_key(limits: impl Into<Limits>) -> Self {
        Self::new(limits, Whom::Key)
    }

    /// Counts by the organization of the API key, the identities of an organization together in a count of their own, and
    /// otherwise as [`per_key`](Self::per_key).
    pub fn per_organization(limits: impl Into<Limits>) -> Self {
        Self::new(limits, Whom::Organization)
    }

    /// Counts by [`ClientInfo::network`](crate::client::ClientInfo::network), IPv6 by its /64. All clients without an
    /// [`address`](crate::client::ClientInfo::address) share one count. Requires an outer
    /// [`ClientInfoLayer`](crate::transport::ClientInfoLayer): without its `ClientInfo` the response is 500, and the log names
    /// the missing layer.
    pub fn per_client(limits: impl Into<Limits>) -> Self {
        Self::new(limits, Whom::Client)
    }

    /// Counts by what this function returns. A request for which it returns `None` is not counted.
    ///
    /// Outside the [`ApiKeyLayer`](crate::ApiKeyLayer), the key is still among the headers: do not count by it, or each invalid
    /// key gets a count of its own.
    ///
    /// ```
    /// use tower_api_key::auth::LimitCaller;
    /// use tower_api_key::throttle::{Limit, LimitRule, Subject};
    ///
    /// let per_region = LimitRule::by(Limit::per_minute(100), |request, caller| match caller {
    ///     LimitCaller::Key(_) => Some(Subject::text(request.headers().get("x-region")?.to_str().ok()?)),
    ///     _ => None,
    /// });
    /// ```
    pub fn by<F>(limits: impl Into<Limits>, subject: F) -> Self
    where
        F: Fn(RequestHead<'_>, LimitCaller<'_>) -> Option<Subject> + Send + Sync + 'static,
    {
        Self::new(limits, Whom::Function(Arc::new(subject)))
    }

    /// Takes the limits of a request with a key from this function: plans by scope, organization or anything else of the
    /// record. Other requests keep the limits of the constructor. [`Limits::NONE`] is a key without a limit. A key whose limits
    /// change counts from zero. Replaces an earlier function.
    pub fn plan(self, plan: impl Fn(&ApiKey) -> Limits + Send + Sync + 'static) -> Self {
        self.with(|parts| parts.plan = Some(Arc::new(plan)))
    }

    /// Counts a request as this many: a search may count as five. One that costs nothing is always accepted. One that costs
    /// more than the limit never is. Replaces an earlier function.
    pub fn cost(self, cost: impl Fn(RequestHead<'_>) -> u32 + Send + Sync + 'static) -> Self {
        self.with(|parts| parts.cost = Some(Arc::new(cost)))
    }

    /// Counts in this store. Rules with the same store share counts, unless their [`name`](Self::name)s differ. Replaces an
    /// earlier store.
    ///
    /// While the store does not answer, this process counts by itself with the same limits: it never accepts more than them.
    /// The log has one line when the store is away, and one when it is back. Meanwhile one request a second asks it.
    pub fn store(self, store: impl LimitStore) -> Self {
        self.with(|parts| parts.counter = Counter::new(Arc::new(store)))
    }

    /// Responds 503 while the store does not answer, in place of counting in this process. Call it after
    /// [`store`](Self::store).
    pub fn reject_when_away(self) -> Self {
        self.with(|parts| parts.counter = parts.counter.clone().without_local())
    }

    /// Names the rule in events, in the log, and in the keys of a shared store.
    pub fn name(self, name: &'static str) -> Self {
        self.with(|parts| parts.name = name)
    }

    /// Counts and reports to the hooks, but rejects nothing, shows no headers, and accepts requests while the store is away:
    /// to try a limit on real traffic.
    pub fn shadow(self) -> Self {
        self.with(|parts| parts.shadow = true)
    }

    /// Shows the limit in these headers, in place of the `X-RateLimit-` ones.
    pub fn headers(self, headers: LimitHeaders) -> Self {
        self.with(|parts| parts.headers = headers)
    }

    /// Calls this hook for each request that was counted or limited. A second hook is called after the first. It runs on the
    /// request's own task and must not block.
    ///
    /// ```
    /// use tower_api_key::observe::LimitOutcome;
    /// use tower_api_key::throttle::{Limit, LimitRule};
    ///
    /// LimitRule::per_key(Limit::per_minute(100)).name("requests").on_count(|event| {
    ///     if event.outcome() == LimitOutcome::Limited {
    ///         eprintln!("{}: a client is limited", event.name());
    ///     }
    /// });
    /// ```
    pub fn on_count(self, hook: impl Fn(&LimitEvent<'_>) + Send + Sync + 'static) -> Self {
        self.with(|parts| parts.hooks.push(Arc::new(hook)))
    }

    fn new(limits: impl Into<Limits>, whom: Whom) -> Self {
        let parts = Parts {
            name: "",
            whom,
            limits: Arc::new(limits.into()),
            plan: None,
            cost: None,
            counter: Counter::new(Arc::new(MemoryLimits::new())),
            shadow: false,
            headers: LimitHeaders::default(),
            hooks: Vec::new(),
        };
        Self { parts: Arc::new(parts) }
    }

    fn with(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        change(Arc::make_mut(&mut self.parts));
        self
    }
}

impl Limiter for LimitRule {
    fn try_acquire(&self, request: RequestHead<'_>, caller: LimitCaller<'_>) -> Attempt {
        let parts = &*self.parts;
        let planned;
        let limits = match (&parts.plan, caller) {
            (Some(plan), LimitCaller::Key(key)) => {
                planned = plan(key);
                &planned
            }
            _ => &*parts.limits,
        };
        if limits.as_slice().is_empty() {
            return Attempt::Unlimited;
        }
        let subject = match parts.whom.of(request, caller) {
            Counts::By(subject) => subject,
            Counts::Unlimited => return Attempt::Unlimited,
            Counts::Misconfigured => return Attempt::Rejected(Rejection::Misconfigured),
        };
        let cost = parts.cost.as_ref().map_or(1, |cost| cost(request));
        let hit = Hit::of(parts.name, subject, *limits, cost);
        match parts.counter.try_count(&hit) {
            Some(acquired) => parts.answer(acquired, None, limits),
            None => self.count_slowly(hit),
        }
    }
}

impl LimitRule {
    /// Counts a hit that the store has not answered at once.
    #[inline(never)]
    fn count_slowly(&self, hit: Hit) -> Attempt {
        let limits = *hit.limits();
        match self.parts.counter.count(hit) {
            Counting::Done(counted) => self.parts.answer_or_fail(counted, &limits).unwrap_or_else(failed),
            Counting::Pending(counting) => {
                let parts = Arc::clone(&self.parts);
                Attempt::Pending(Box::pin(async move { parts.answer_or_fail(counting.await, &limits) }))
            }
        }
    }
}

/// An error that is known at once.
fn failed(error: BoxError) -> Attempt {
    Attempt::Pending(Box::pin(std::future::ready(Err(error))))
}

impl Parts {
    /// Reports what the store or this process has decided, and returns it. The store may have failed nonetheless.
    #[inline]
    fn answer(&self, acquired: Acquired, error: Option<&BoxError>, limits: &Limits) -> Attempt {
        let outcome = match acquired {
            Acquired::Allowed(_) => LimitOutcome::Allowed,
            Acquired::Limited(_) if self.shadow => LimitOutcome::WouldLimit,
            Acquired::Limited(_) => LimitOutcome::Limited,
        };
        self.report(outcome, error);
        if self.shadow {
            return Attempt::Unlimited;
        }
        let mut attempt = Attempt::from(acquired);
        if let Attempt::Allowed(state) | Attempt::Limited(state) = &mut attempt {
            let is_shared = || *limits == *self.limits;
            let policies = || if is_shared() { Arc::clone(&self.limits) } else { Arc::new(*limits) };
            state.show(self.headers, (limits.as_slice().len() > 1).then_some(policies));
        }
        attempt
    }

    fn answer_or_fail(&self, counted: Counted, limits: &Limits) -> Result<Attempt, BoxError> {
        let Counted { acquired, error } = counted;
        if let Some(acquired) = acquired {
            return Ok(self.answer(acquired, error.as_ref(), limits));
        }
        self.report(LimitOutcome::Failed, error.as_ref());
        match error {
            _ if self.shadow => Ok(Attempt::Unlimited),
            Some(error) => Err(error),
            None => Err("the limit store gave no answer".into()),
        }
    }

    #[inline]
    fn report(&self, outcome: LimitOutcome, error: Option<&BoxError>) {
        if !self.hooks.is_empty() {
            self.call_hooks(outcome, error);
        }
    }

    #[inline(never)]
    fn call_hooks(&self, outcome: LimitOutcome, error: Option<&BoxError>) {
        let event = LimitEvent::new(self.name, outcome, error.map(|error| &**error));
        if let Some(panic) = call_each(&self.hooks, |hook| hook(&event)).into_iter().next() {
            resume_unwind(panic);
        }
    }
}

impl fmt::Debug for LimitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { name, limits, shadow, .. } = &*self.parts;
        f.debug_struct("LimitRule")
            .field("name", name)
            .field("limits", limits)
            .field("shadow", shadow)
            .finish_non_exhaustive()
    }
}
