//! A table that a layer enforces.

use std::sync::atomic::{AtomicBool, Ordering};

use http::Uri;

use super::RouteTable;
use super::pattern::prefix_of_rest;
use crate::auth::{Authorizer, Entry, RouteClass};
#[cfg(feature = "axum")]
use crate::axum::original_uri;
use crate::rejection::reason::Rejection;
use crate::request::{MatchedRoute, RequestHead};
use crate::scope::{Access, Requirement};

/// A table, and whether its layer has logged that it is in the wrong place.
pub(super) struct Enforced {
    table: RouteTable,
    logged: AtomicBool,
}

impl Enforced {
    pub(super) const fn new(table: RouteTable) -> Self {
        Self { table, logged: AtomicBool::new(false) }
    }

    /// Returns whether an outer router has removed a prefix that the table lists.
    fn misses_prefix(&self, request: RequestHead<'_>) -> bool {
        let Some(original) = unread_original(request) else { return false };
        let Some(prefix) = removed_prefix(original.path(), request.path()) else { return false };
        let lines = self.table.lines(request.method(), original.path());
        let mut patterns = lines.into_iter().flatten().map(|line| &*self.table.routes[line.index()].pattern);
        let Some(pattern) = patterns.find(|pattern| !swallows(pattern, prefix)) else { return false };
        if !self.logged.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the route table lists {pattern:?}, and this ApiKeyLayer is inside a router that removed the prefix \
                 {prefix:?}: requests to such routes get 404; call path_from(tower_api_key::axum::original_uri) on the \
                 layer, or list the paths without the prefix and call path_from(|_| None)"
            );
        }
        true
    }
}

impl Authorizer for Enforced {
    fn classify(&self, request: RequestHead<'_>) -> RouteClass {
        if is_rewritten(request) || self.misses_prefix(request) {
            return RouteClass::Ambiguous;
        }
        self.table.classify(request.method(), request.path())
    }

    fn authorize(&self, route: RouteClass, access: &Access) -> Result<(), Rejection> {
        self.table.authorize(route, access)
    }

    fn unmet(&self, route: RouteClass, access: &Access) -> Option<Requirement> {
        self.table.unmet(route, access)
    }

    fn pattern(&self, entry: Entry) -> &MatchedRoute {
        &self.table.routes[entry.index()].matched
    }
}

/// Returns axum's original target where the layer does not read it and the path differs.
fn unread_original(request: RequestHead<'_>) -> Option<&Uri> {
    if request.has_path_from() {
        return None;
    }
    original_uri(request.extensions()).filter(|original| original.path() != request.path())
}

/// Returns whether the path that the inner service gets is not the end of the path that the table reads. A slash at the end
/// of either does not count.
fn is_rewritten(request: RequestHead<'_>) -> bool {
    if !request.has_path_from() {
        return false;
    }
    let (read, target) = (request.path(), request.uri().path());
    without_slash(read).strip_suffix(without_slash(target)).is_none()
}

/// Returns what is before this end of the path.
fn removed_prefix<'a>(path: &'a str, end: &str) -> Option<&'a str> {
    without_slash(path).strip_suffix(without_slash(end)).filter(|prefix| !prefix.is_empty())
}

fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// Returns whether the rest of a pattern such as `/{*rest}` begins within this prefix: the line may be meant for the path
/// without the prefix.
fn swallows(pattern: &str, prefix: &str) -> bool {
    let slashes = |path: &str| path.matches('/').count();
    prefix_of_rest(pattern).is_some_and(|before| slashes(before) < slashes(prefix))
}

#[cfg(not(feature = "axum"))]
const fn original_uri(_: &http::Extensions) -> Option<&Uri> {
    None
}
