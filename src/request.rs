//! A request without its body, as the decision, renderers and limits see it.

use std::fmt;
use std::sync::Arc;

use http::{Extensions, HeaderMap, Method, Request, Uri, Version};

/// A request without its body. The layer has removed the credential, unless it
/// [keeps](crate::ApiKeyLayer::keep_header) it.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    method: &'a Method,
    uri: &'a Uri,
    version: Version,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
    path_from: Option<PathFrom>,
    matched_route: Option<&'a MatchedRoute>,
}

/// The pattern of the route table's line that decided about a request, such as `/datasets/{uid}/`.
///
/// [`ApiKeyLayer::expose_route`](crate::ApiKeyLayer::expose_route) puts it into the extensions of the response.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MatchedRoute(Arc<str>);

impl MatchedRoute {
    #[cfg(feature = "routes")]
    pub(crate) fn new(pattern: &str) -> Self {
        Self(pattern.into())
    }

    /// Returns the pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MatchedRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MatchedRoute").field(&self.as_str()).finish()
    }
}

/// Finds the target whose path decides.
pub(crate) type PathFrom = fn(&Extensions) -> Option<&Uri>;

impl<'a> RequestHead<'a> {
    pub(crate) fn new<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
            path_from: None,
            matched_route: None,
        }
    }

    /// Reads the path where this function finds it.
    pub(crate) const fn with_path_from(self, path_from: Option<PathFrom>) -> Self {
        Self { path_from, ..self }
    }

    pub(crate) const fn with_matched_route(self, matched_route: Option<&'a MatchedRoute>) -> Self {
        Self { matched_route, ..self }
    }

    /// Returns whether a function decides where the path is read.
    #[cfg(feature = "routes")]
    pub(crate) const fn has_path_from(&self) -> bool {
        self.path_from.is_some()
    }

    /// Returns the head of a request that was taken apart.
    pub(crate) const fn of_parts(parts: &'a http::request::Parts) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            version: parts.version,
            headers: &parts.headers,
            extensions: &parts.extensions,
            path_from: None,
            matched_route: None,
        }
    }

    /// Returns the method.
    #[must_use]
    pub const fn method(&self) -> &'a Method {
        self.method
    }

    /// Returns the target as the layer sees it.
    #[must_use]
    pub const fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// Returns the path that a route table reads, neither decoded nor normalized: that of the target, or what
    /// [`path_from`](crate::ApiKeyLayer::path_from) finds.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.target().path()
    }

    /// Returns the target whose path that is.
    pub(crate) fn target(&self) -> &'a Uri {
        let found = self.path_from.and_then(|path_from| path_from(self.extensions));
        found.unwrap_or(self.uri)
    }

    /// Returns the pattern of the route table's line that decides about the request. `None` without a table, and where no
    /// line names the route.
    #[must_use]
    pub fn matched_route(&self) -> Option<&'a str> {
        self.matched_route.map(MatchedRoute::as_str)
    }

    /// Returns the HTTP version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Returns the headers.
    #[must_use]
    pub const fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// Returns the extensions, as outer layers have left them.
    #[must_use]
    pub const fn extensions(&self) -> &'a Extensions {
        self.extensions
    }
}

impl<'a> From<&'a http::request::Parts> for RequestHead<'a> {
    fn from(parts: &'a http::request::Parts) -> Self {
        Self::of_parts(parts)
    }
}

impl<'a, B> From<&'a Request<B>> for RequestHead<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Self::new(request)
    }
}

/// Shows no headers, which may hold other credentials.
impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead").field("method", self.method).field("path", &self.path()).finish_non_exhaustive()
    }
}
