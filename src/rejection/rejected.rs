use std::fmt;

use bytes::Bytes;
use http::Response;

use super::challenge::Challenge;
use super::reason::Rejection;
use super::response;
use crate::request::RequestHead;

/// A request that is being rejected, as a [renderer](crate::ApiKeyLayer::rejection_response) sees it.
#[derive(Clone, Copy)]
pub struct RejectedRequest<'a> {
    rejection: Rejection,
    head: RequestHead<'a>,
    challenge: &'a Challenge,
}

impl<'a> RejectedRequest<'a> {
    pub(super) const fn new(rejection: Rejection, head: RequestHead<'a>, challenge: &'a Challenge) -> Self {
        Self { rejection, head, challenge }
    }

    /// Returns the reason. Do not show clients more than [`Rejection::detail`] does, or they learn which keys exist.
    #[must_use]
    pub const fn rejection(&self) -> Rejection {
        self.rejection
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
        response::documented(&self.rejection, self.challenge)
    }
}

impl fmt::Debug for RejectedRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectedRequest").field("rejection", &self.rejection).field("request", &self.head).finish()
    }
}
