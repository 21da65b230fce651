use http::Method;

use crate::scope::UnknownScope;

/// A line for which a [`RouteTable`](super::RouteTable) cannot be built, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the route {method} {pattern:?} {kind}")]
pub struct RouteTableError {
    pub(super) method: Method,
    pub(super) pattern: String,
    pub(super) kind: RouteTableErrorKind,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteTableErrorKind {
    /// The pattern is not the path of any request: it begins with no slash, or has a query, a fragment, a space.
    #[error("has a pattern that is no path: a path begins with '/', and has no query, fragment or space")]
    NoPath,
    /// Every request to the pattern is rejected, since it has `//`, `..`, `;` or an encoded letter.
    #[error("can never be reached: paths with empty or dot segments, ';', '\\', or needlessly encoded are rejected")]
    Ambiguous,
    /// A segment begins with `:` or `*`, the parameters of axum before 0.8.
    #[error("has a segment that begins with ':' or '*': a parameter is {{name}}, and the rest of a path {{*name}}")]
    OldSyntax,
    /// The braces or the parameters make no sense.
    #[error("is malformed: {reason}")]
    Malformed {
        /// What is wrong with them.
        reason: String,
    },
    /// Another pattern matches the same paths, and neither is more specific.
    #[error("conflicts with the pattern {with:?}")]
    Conflict {
        /// The other pattern.
        with: String,
    },
    /// The method and pattern are there twice.
    #[error("is in the table twice")]
    Twice,
    /// The line is for `HEAD`, which asks for what `GET` asks for.
    #[error("cannot be listed: HEAD asks for what GET asks for")]
    Head,
    /// The line asks for a scope that is not in the catalog.
    #[error("cannot be met: {0}")]
    UnknownScope(UnknownScope),
    /// The line asks for any of no scopes.
    #[error("asks for any of no scopes, which no key can meet")]
    Unmeetable,
}

impl RouteTableError {
    /// Returns the method of the line.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the pattern of the line.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Returns what is wrong with it.
    #[must_use]
    pub const fn kind(&self) -> &RouteTableErrorKind {
        &self.kind
    }
}
