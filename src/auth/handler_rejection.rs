use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;

use crate::observe::Nesting;
use crate::rejection::Unmet;
use crate::rejection::reason::Rejection;

/// A request that a handler rejects, in the form of the layer that authenticated its key. Made by
/// [`ApiKey::require`](crate::ApiKey::require) and [`ApiKey::reject`](crate::ApiKey::reject).
///
/// A handler of axum returns it, with the `axum` feature. Any other one returns [`respond`](Self::respond).
#[derive(thiserror::Error)]
#[error("a handler rejects the request: {rejection}")]
#[must_use = "a rejection has no effect until the handler returns it"]
pub struct HandlerRejection {
    rejection: Rejection,
    unmet: Option<Box<Unmet>>,
    response: Box<Response<Bytes>>,
    nesting: Option<Arc<Nesting>>,
}

impl HandlerRejection {
    pub(super) fn new(
        rejection: Rejection,
        unmet: Option<Unmet>,
        response: Response<Bytes>,
        nesting: Option<Arc<Nesting>>,
    ) -> Self {
        Self { rejection, unmet: unmet.map(Box::new), response: Box::new(response), nesting }
    }

    /// Returns the reason.
    #[must_use]
    pub const fn rejection(&self) -> Rejection {
        self.rejection
    }

    /// Reports the rejection to the layer, and returns the response.
    #[must_use]
    pub fn respond(self) -> Response<Bytes> {
        if let Some(nesting) = &self.nesting {
            nesting.note(self.rejection, self.unmet.as_deref());
        }
        *self.response
    }
}

impl fmt::Debug for HandlerRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerRejection").field("rejection", &self.rejection).finish_non_exhaustive()
    }
}
