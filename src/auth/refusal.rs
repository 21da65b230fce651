use std::fmt;

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, Request, Response, Uri, Version};

use crate::rejection::{Challenge, Rejection};

/// A request without its body. The credential is not in it.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    method: &'a Method,
    uri: &'a Uri,
    version: Version,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    pub(crate) fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> &'a Method {
        self.method
    }

    /// The target as the layer sees it.
    #[must_use]
    pub const fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The path of the target, neither decoded nor normalised.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.uri.path()
    }

    /// The HTTP version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The headers, without the credential unless the layer [keeps](crate::ApiKeyLayer::keep_header) it.
    #[must_use]
    pub const fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// What layers further out have added.
    #[must_use]
    pub const fn extensions(&self) -> &'a Extensions {
        self.extensions
    }
}

/// Does not show headers, which may hold other people's credentials.
impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead").field("method", self.method).field("path", &self.path()).finish_non_exhaustive()
    }
}

/// A request that is being refused, as a [renderer](crate::ApiKeyLayer::render_with) sees it.
#[derive(Clone, Copy)]
pub struct Refusal<'a> {
    pub(super) rejection: Rejection,
    pub(super) head: RequestHead<'a>,
    pub(super) challenge: &'a Challenge,
}

impl<'a> Refusal<'a> {
    /// Why. Do not tell clients more than [`Rejection::detail`] does, or they learn which keys exist.
    #[must_use]
    pub const fn rejection(&self) -> Rejection {
        self.rejection
    }

    /// The request.
    #[must_use]
    pub const fn request(&self) -> RequestHead<'a> {
        self.head
    }

    /// The documented reply, to change or to replace.
    #[must_use]
    pub fn response(&self) -> Response<Bytes> {
        self.rejection.response(self.challenge)
    }
}

impl fmt::Debug for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal").field("rejection", &self.rejection).field("request", &self.head).finish()
    }
}
