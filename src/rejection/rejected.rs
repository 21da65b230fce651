use std::fmt;

use bytes::Bytes;
use http::Response;

use super::reason::Rejection;
use super::responder::Responder;
use super::response;
use super::unmet::Unmet;
use crate::client::ClientInfo;
use crate::request::RequestHead;
use crate::scope::{Requirement, Scope};

/// A request that is being rejected, as a [renderer](crate::ApiKeyLayer::rejection_response) sees it.
#[derive(Clone, Copy)]
pub struct RejectedRequest<'a> {
    rejection: Rejection,
    head: RequestHead<'a>,
    unmet: Option<&'a Unmet>,
    responder: &'a Responder,
}

impl<'a> RejectedRequest<'a> {
    pub(super) const fn new(
        rejection: Rejection,
        unmet: Option<&'a Unmet>,
        head: RequestHead<'a>,
        responder: &'a Responder,
    ) -> Self {
        Self { rejection, head, unmet, responder }
    }

    /// Returns the reason. Do not show clients more than [`Rejection::detail`] does, or they learn which keys exist.
    #[must_use]
    pub const fn rejection(&self) -> Rejection {
        self.rejection
    }

    /// Returns the requirement that the key does not meet, if that is the reason.
    #[must_use]
    pub fn requirement(&self) -> Option<&'a Requirement> {
        self.unmet.map(Unmet::requirement)
    }

    /// Returns the scopes that the key lacks, if that is the reason. Of scopes of which any one would do, it returns all.
    #[must_use]
    pub fn missing_scopes(&self) -> &'a [Scope] {
        self.unmet.map_or(&[], Unmet::missing)
    }

    /// Returns the id of the request: the value of the [configured](crate::ApiKeyLayer::request_id_header) header, if that
    /// is visible ASCII. A client may have chosen it.
    #[must_use]
    pub fn request_id(&self) -> Option<&'a str> {
        self.head.headers().get(self.responder.request_id.as_ref()?)?.to_str().ok()
    }

    /// Returns the client, if a [`ClientInfoLayer`](crate::transport::ClientInfoLayer) is outside.
    #[must_use]
    pub fn client(&self) -> Option<ClientInfo> {
        self.head.extensions().get().copied()
    }

    /// Returns the request.
    #[must_use]
    pub const fn request(&self) -> RequestHead<'a> {
        self.head
    }

    /// Returns the pattern of the route table's line that decided about the request. `None` without a table, and where no
    /// line names the route.
    #[must_use]
    pub fn matched_route(&self) -> Option<&'a str> {
        self.head.matched_route()
    }

    /// Returns the documented response, to change or to replace.
    #[must_use]
    pub fn response(&self) -> Response<Bytes> {
        response::documented(&self.rejection, &self.responder.challenge)
    }
}

impl fmt::Debug for RejectedRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectedRequest").field("rejection", &self.rejection).field("request", &self.head).finish()
    }
}
