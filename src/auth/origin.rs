use std::sync::Arc;

use bytes::Bytes;
use http::Response;

use super::authorize::RouteClass;
use super::config::{Config, ThreadConfig};
use super::handler_rejection::HandlerRejection;
use crate::decision::authorize;
use crate::key::KeyId;
use crate::observe::{Nesting, Outer};
use crate::rejection::reason::Rejection;
use crate::rejection::{Responder, Unmet};
use crate::request::{MatchedRoute, RequestHead};
use crate::scope::{Access, Requirement};

/// The layer that accepted the request. Inner layers and handlers reject in its form, and it reports that they did.
#[derive(Clone)]
pub(super) struct Origin {
    config: ThreadConfig,
    /// `None` if the layer reports nothing and is inside no other one.
    nesting: Option<Arc<Nesting>>,
    route: RouteClass,
    /// What inner layers require of the key.
    inner: Option<Arc<Required>>,
}

/// The requirement of an inner layer, and those of the layers around it.
pub(super) struct Required {
    pub(super) requirement: Requirement,
    pub(super) and: Option<Arc<Required>>,
}

impl Origin {
    pub(super) const fn new(config: ThreadConfig, route: RouteClass, nesting: Option<Arc<Nesting>>) -> Self {
        Self { config, nesting, route, inner: None }
    }

    /// Reports what inner layers and handlers make of the accepted request.
    pub(super) fn report_to(&mut self, nesting: &Arc<Nesting>) {
        self.nesting = Some(Arc::clone(nesting));
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) const fn shared_config(&self) -> &ThreadConfig {
        &self.config
    }

    pub(super) const fn route(&self) -> RouteClass {
        self.route
    }

    pub(super) const fn inner(&self) -> Option<&Arc<Required>> {
        self.inner.as_ref()
    }

    /// Notes that an inner layer requires this, for as long as the response is open.
    pub(super) fn note_required(&mut self, required: &Arc<Required>) {
        self.inner = Some(match self.inner.take() {
            None => Arc::clone(required),
            earlier => Arc::new(Required { requirement: required.requirement.clone(), and: earlier }),
        });
    }

    /// Returns the request as the layer has seen it.
    pub(super) fn head<'r>(&'r self, request: RequestHead<'r>) -> RequestHead<'r> {
        request.with_path_from(self.config.path_from).with_matched_route(self.matched_route())
    }

    /// Returns what this layer and those around it have done for a request with this key.
    pub(super) fn outer(&self, key: Option<KeyId>) -> Outer {
        Outer::new(self.config.usage.clone().zip(key), self.nesting.clone())
    }

    /// Returns the pattern of the route, if a layer has accepted the request.
    pub(super) fn pattern(origin: Option<&Self>) -> Option<&str> {
        Some(origin?.matched_route()?.as_str())
    }

    /// Requires this of a caller in a handler. Without a layer, a rejection has the documented form.
    pub(super) fn require(
        origin: Option<&Self>,
        access: &Access,
        requirement: &Requirement,
        request: RequestHead<'_>,
    ) -> Result<(), HandlerRejection> {
        authorize(access, requirement).map_err(|denial| {
            let unmet = Unmet::new(requirement, access);
            Self::rejected(origin, denial.into(), Some(unmet), request)
        })
    }

    /// Rejects a request in a handler.
    pub(super) fn rejected(
        origin: Option<&Self>,
        rejection: Rejection,
        unmet: Option<Unmet>,
        request: RequestHead<'_>,
    ) -> HandlerRejection {
        let response = match origin {
            Some(origin) => origin.explain(rejection, unmet.as_ref(), request),
            None => Responder::documented().explain(rejection, unmet.as_ref(), request),
        };
        let nesting = origin.and_then(|origin| origin.nesting.clone());
        HandlerRejection::new(rejection, unmet, response, nesting)
    }

    pub(super) fn explain(
        &self,
        rejection: Rejection,
        unmet: Option<&Unmet>,
        request: RequestHead<'_>,
    ) -> Response<Bytes> {
        self.config.responder.explain(rejection, unmet, self.head(request))
    }

    pub(super) fn note(&self, rejection: Rejection) {
        if let Some(nesting) = &self.nesting {
            nesting.note(rejection, None);
        }
    }

    pub(super) fn reject(&self, rejection: Rejection, request: RequestHead<'_>) -> Response<Bytes> {
        self.note(rejection);
        self.explain(rejection, None, request)
    }

    fn matched_route(&self) -> Option<&MatchedRoute> {
        self.config.pattern(self.route.entry())
    }
}
