use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};

use super::identity::{Anonymous, ApiKey};
use super::settings::Settings;
use crate::event::Report;
use crate::rejection::Rejection;

/// Refuses requests beside an [`ApiKeyLayer`](crate::ApiKeyLayer), in its form and with one event in its hook: for
/// layers that stand around it.
#[derive(Clone)]
pub(crate) struct Refuser(Arc<Settings>);

impl Refuser {
    pub(super) fn new(settings: &Arc<Settings>) -> Self {
        Self(Arc::clone(settings))
    }

    /// The layer that let the request in reports about it. Where none has, the event is ours to emit.
    pub(crate) fn refuse<B>(&self, rejection: Rejection, request: &mut Request<B>) -> Response<Bytes> {
        refuse_inside(rejection, request).unwrap_or_else(|| self.refuse_outside(rejection, request))
    }

    fn refuse_outside<B>(&self, rejection: Rejection, request: &mut Request<B>) -> Response<Bytes> {
        let Self(settings) = self;
        let digest = settings.source.take(request.headers_mut()).ok();
        let response = settings.refuse(rejection, request);
        if let Some(hook) = &settings.hook {
            let mut report = Report::begin(hook, request);
            report.digest = digest;
            report.rejection = Some(rejection);
            report.finish(Some(response.status()));
        }
        response
    }
}

/// Refuses a request that an [`ApiKeyLayer`](crate::ApiKeyLayer) has let in, as that layer would have. `None` where
/// there is no such layer.
pub(crate) fn refuse_inside<B>(rejection: Rejection, request: &Request<B>) -> Option<Response<Bytes>> {
    let extensions = request.extensions();
    if let Some(key) = extensions.get::<ApiKey>() {
        return Some(key.refuse(rejection, request));
    }
    let anonymous = extensions.get::<Anonymous>()?;
    Some(anonymous.refuse(rejection, request))
}

impl fmt::Debug for Refuser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refuser").finish_non_exhaustive()
    }
}
