use std::sync::{Arc, Once};
use std::time::Duration;

use http::Extensions;
use http::header::{AUTHORIZATION, COOKIE};

use super::authorize::{Authorizer, Entry};
use super::credential::Sources;
use super::legacy::LegacyKeys;
use super::limit::Limiter;
use super::lookup::GuardedStore;
use super::per_thread::PerThread;
use super::streams::OpenStreams;
use crate::episode::Episode;
use crate::identity::Identity;
use crate::observe::Hooks;
use crate::padded::Padded;
use crate::rejection::Responder;
use crate::request::{MatchedRoute, PathFrom, RequestHead};
use crate::scope::Requirement;
use crate::store::StoreId;
use crate::time::Clock;
use crate::usage::UsageTracker;

/// The configuration of a layer, from which each thread takes its own copy.
pub(super) type Configs = Arc<PerThread<Config>>;

/// The copy of one thread, as its requests refer to it.
pub(super) type ThreadConfig = Arc<Padded<Config>>;

/// What a layer was configured with.
#[derive(Clone)]
pub(crate) struct Config {
    pub(super) store: Arc<dyn GuardedStore>,
    pub(super) store_id: StoreId,
    pub(super) source: Sources,
    /// With legacy keys, no credential takes the shortest way: see [`Sources::legacy`].
    pub(super) legacy: Option<Arc<dyn LegacyKeys>>,
    pub(super) requirement: Requirement,
    pub(super) require_fn: Option<RequireFn>,
    pub(super) path_from: Option<PathFrom>,
    pub(super) routes: Option<Arc<dyn Authorizer>>,
    pub(super) limit: Option<Arc<dyn Limiter>>,
    pub(super) failures: Option<Arc<dyn Limiter>>,
    pub(super) lookup_timeout: Option<Duration>,
    pub(super) clock: Arc<dyn Clock>,
    /// What the log has of lookups that failed.
    pub(super) outage: Arc<Episode>,
    /// What the log has of limiters that gave no answer.
    pub(super) limit_outage: Arc<Episode>,
    pub(super) hooks: Option<Hooks>,
    pub(super) usage: Option<UsageTracker>,
    pub(super) cache_control: bool,
    pub(super) identify: Option<Identify>,
    pub(super) anonymous: bool,
    pub(super) preflight: bool,
    pub(super) expose_route: bool,
    pub(super) responder: Responder,
    pub(super) streams: Arc<OpenStreams>,
    /// Whether the log has the line about requests without a `ClientInfo`.
    pub(super) missing_client: Arc<Once>,
}

impl Config {
    /// Returns whether this configuration finds the record that the `outer` one finds: in the same store, by a credential
    /// from the same sources and of the same formats.
    pub(super) fn finds_as(&self, outer: &Self) -> bool {
        self.store_id == outer.store_id && self.source.reads_as(&outer.source)
    }

    /// Names the request headers that a response may depend on, for shared caches.
    pub(super) fn name_credentials(&mut self) {
        let logins: &[_] = if self.identify.is_some() { &[AUTHORIZATION, COOKIE] } else { &[] };
        self.responder.credentials = self.source.headers(logins);
    }

    /// Returns the pattern of this entry of the route table.
    pub(super) fn pattern(&self, entry: Option<Entry>) -> Option<&MatchedRoute> {
        Some(self.routes.as_ref()?.pattern(entry?))
    }
}

/// Returns who an outer authenticator has established.
pub(super) type Identify = Arc<dyn Fn(&Extensions) -> Option<Identity> + Send + Sync>;

pub(super) type RequireFn = Arc<dyn Fn(RequestHead<'_>) -> Requirement + Send + Sync>;
