use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::auth::authorize::RouteClass;
use crate::auth::config::ThreadConfig;
use crate::auth::identity::ApiKey;
use crate::auth::origin::Required;
use crate::client::ClientInfo;
use crate::decision::{Denial, authenticate, authorize};
use crate::key::KeyRecord;
use crate::rejection::Outage;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;
use crate::scope::{Access, Requirement};

/// What a stream was accepted with: it ends when its key would no longer be.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) config: ThreadConfig,
    /// The record with which the request was accepted.
    pub(super) accepted: Arc<KeyRecord>,
    route: RouteClass,
    /// What inner layers require.
    inner: Option<Arc<Required>>,
    computed: Computed,
    further: Vec<Requirement>,
    client: Client,
}

/// What the function of `require_fn` requires.
#[derive(Clone)]
enum Computed {
    Nothing,
    Requirement(Requirement),
    /// The request is not known any more: the key may lose no scope.
    Unknown,
}

/// The client of the request.
#[derive(Clone)]
enum Client {
    Address(Option<IpAddr>),
    /// The request is not known any more: the key may lose no network.
    Unknown,
}

impl Terms {
    /// Returns the terms of a request with this key, if a layer has authenticated it.
    pub(super) fn of(key: &ApiKey, request: Option<RequestHead<'_>>) -> Option<Self> {
        let origin = key.origin()?;
        let config = Arc::clone(origin.shared_config());
        let computed = match (&config.require_fn, request) {
            (None, _) => Computed::Nothing,
            (Some(_), None) => Computed::Unknown,
            (Some(require_fn), Some(request)) => Computed::Requirement(require_fn(origin.head(request))),
        };
        let client = match request {
            Some(request) => Client::Address(request.extensions().get().and_then(ClientInfo::address)),
            None => Client::Unknown,
        };
        Some(Self {
            accepted: Arc::clone(key.record()),
            route: origin.route(),
            inner: origin.inner().cloned(),
            computed,
            further: Vec::new(),
            client,
            config,
        })
    }

    pub(super) fn require(&mut self, requirement: Requirement) {
        self.further.push(requirement);
    }

    /// Returns why the stream must end, if the store has found this. A panic of the clock ends it too.
    pub(super) fn check(&self, found: Option<&KeyRecord>) -> Result<(), Rejection> {
        let checked = catch_unwind(AssertUnwindSafe(|| self.decide(found.ok_or(Denial::Unknown)?)));
        checked.unwrap_or(Err(Outage::Panicked.into()))
    }

    fn decide(&self, record: &KeyRecord) -> Result<(), Rejection> {
        let address = match self.client {
            Client::Address(address) => address,
            Client::Unknown => None,
        };
        match authenticate(self.accepted.digest(), record, || self.config.clock.now(), || address) {
            Ok(()) => {}
            // It is the last check, and it has accepted these networks.
            Err(Denial::NetworkNotAllowed) if self.has_kept_networks(record) => {}
            Err(denial) => return Err(denial.into()),
        }
        self.authorize(record.access())
    }

    fn has_kept_networks(&self, record: &KeyRecord) -> bool {
        matches!(self.client, Client::Unknown) && record.networks() == self.accepted.networks()
    }

    fn authorize(&self, access: &Access) -> Result<(), Rejection> {
        // Few keys ever lose a scope.
        if access == self.accepted.access() && self.further.is_empty() {
            return Ok(());
        }
        if let Some(routes) = &self.config.routes {
            routes.authorize(self.route, access)?;
        }
        authorize(access, &self.config.requirement)?;
        match &self.computed {
            Computed::Nothing => {}
            Computed::Requirement(requirement) => authorize(access, requirement)?,
            Computed::Unknown if access == self.accepted.access() => {}
            Computed::Unknown => return Err(Denial::InsufficientScope.into()),
        }
        let inner = std::iter::successors(self.inner.as_deref(), |required| required.and.as_deref());
        for requirement in inner.map(|required| &required.requirement).chain(&self.further) {
            authorize(access, requirement)?;
        }
        Ok(())
    }
}
