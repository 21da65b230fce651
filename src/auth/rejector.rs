use std::fmt;

use bytes::Bytes;
#[cfg(feature = "transport")]
use http::HeaderMap;
use http::{Request, Response};

use super::config::{Config, Configs};
use super::inside::reject_inside;
use crate::observe::Report;
#[cfg(feature = "transport")]
use crate::rejection::CredentialError;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;

/// Rejects requests in the form of an [`ApiKeyLayer`](crate::ApiKeyLayer) and with one event in its hooks, for layers
/// around it.
#[derive(Clone)]
pub(crate) struct Rejector(Configs);

impl Rejector {
    pub(super) const fn new(config: Configs) -> Self {
        Self(config)
    }

    fn config(&self) -> &Config {
        self.0.get()
    }

    /// Inside a layer, that layer reports the request. Outside, the event is emitted here.
    pub(crate) fn reject<B>(&self, rejection: Rejection, request: &mut Request<B>) -> Response<Bytes> {
        reject_inside(rejection, RequestHead::new(request)).unwrap_or_else(|| self.reject_outside(rejection, request))
    }

    /// Returns whether these headers have anything that the layer would take for a credential.
    #[cfg(feature = "transport")]
    pub(crate) fn has_credential(&self, headers: &HeaderMap) -> bool {
        self.config().source.take(&mut headers.clone()) != Err(CredentialError::Missing)
    }

    fn reject_outside<B>(&self, rejection: Rejection, request: &mut Request<B>) -> Response<Bytes> {
        let config = self.config();
        let digest = config.source.take(request.headers_mut()).ok();
        let head = RequestHead::new(request).with_path_from(config.path_from);
        let response = config.responder.respond(rejection, head);
        if let Some(hooks) = &config.hooks {
            let request_id = config.responder.request_id.as_ref();
            let mut report = Report::begin(Some(hooks), false, request_id, head);
            if let Some(facts) = report.facts() {
                facts.digest = digest;
            }
            report.finish_rejected(rejection, response.status());
        }
        response
    }
}

impl fmt::Debug for Rejector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejector").finish_non_exhaustive()
    }
}
