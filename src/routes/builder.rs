use http::Method;
use http::uri::PathAndQuery;

use super::matcher::Matcher;
use super::path::{Reading, read};
use super::pattern::{Piece, pieces};
use super::{Route, RoutePattern, RouteTable, RouteTableError, RouteTableErrorKind, Rule, Unlisted};
use crate::scope::{Requirement, ScopeCatalog};

/// The most parameters of a pattern, apart from `{*rest}`: the matcher panics on one more.
const MOST_PARAMETERS: usize = 25;

/// Gathers the lines of a [`RouteTable`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct RouteTableBuilder {
    unlisted: Unlisted,
    routes: Vec<Route>,
    catalog: Option<ScopeCatalog>,
}

impl RouteTableBuilder {
    pub(super) const fn new() -> Self {
        Self { unlisted: Unlisted::Deny, routes: Vec::new(), catalog: None }
    }

    /// Decides about routes that are not in the table, in place of an earlier choice. The default denies them.
    pub const fn unlisted(mut self, unlisted: Unlisted) -> Self {
        self.unlisted = unlisted;
        self
    }

    /// Adds a route that takes a key which meets this requirement.
    pub fn route(
        mut self,
        method: Method,
        pattern: impl Into<RoutePattern>,
        requirement: impl Into<Requirement>,
    ) -> Self {
        let rule = Rule::Requires(requirement.into());
        self.routes.push(Route::new(method, pattern.into(), rule));
        self
    }

    /// Adds a route that takes no key: exactly this method and pattern. A key that is sent anyway is neither looked up nor
    /// passed on.
    pub fn public(mut self, method: Method, pattern: impl Into<RoutePattern>) -> Self {
        self.routes.push(Route::new(method, pattern.into(), Rule::Public));
        self
    }

    /// Requires every scope of the table to be in this catalog, in place of an earlier one.
    pub fn catalog(mut self, catalog: ScopeCatalog) -> Self {
        self.catalog = Some(catalog);
        self
    }

    /// Checks the lines and makes the table.
    ///
    /// # Errors
    /// When a pattern is malformed, cannot be the path of a request that passes, or conflicts with another one; a
    /// line is there twice; a line is for `HEAD`; a scope is not in the catalog; a requirement can be met by no
    /// key. The error names the line.
    pub fn build(self) -> Result<RouteTable, RouteTableError> {
        let Self { unlisted, mut routes, catalog } = self;
        routes.sort_by(|a, b| a.pattern.cmp(&b.pattern));
        for lines in routes.chunk_by(|a, b| a.pattern == b.pattern) {
            for (nth, route) in lines.iter().enumerate() {
                let checked = route.check(catalog.as_ref(), &lines[..nth]);
                checked.map_err(|kind| route.error(kind))?;
            }
        }
        let listed = Matcher::new(&routes)?;
        Ok(RouteTable { routes, unlisted, listed })
    }
}

impl Route {
    /// Checks the line against the earlier ones with the same pattern.
    fn check(&self, catalog: Option<&ScopeCatalog>, before: &[Self]) -> Result<(), RouteTableErrorKind> {
        let Self { method, pattern, rule, .. } = self;
        if method == Method::HEAD {
            return Err(RouteTableErrorKind::Head);
        }
        let is_path = PathAndQuery::try_from(pattern.as_str()).is_ok_and(|parsed| parsed.path() == pattern);
        if !pattern.starts_with('/') || !is_path {
            return Err(RouteTableErrorKind::NoPath);
        }
        if read(pattern) != Reading::Plain {
            return Err(RouteTableErrorKind::Ambiguous);
        }
        if pattern.split('/').any(|segment| segment.starts_with([':', '*'])) {
            return Err(RouteTableErrorKind::OldSyntax);
        }
        // A router takes such a name, and a reader takes it for two segments.
        let is_odd = |piece| matches!(piece, Piece::Parameter(name) | Piece::Rest(name) if name.contains(['/', '{']));
        if pieces(pattern).any(is_odd) {
            let reason = "the name of a parameter has a slash or a brace".to_owned();
            return Err(RouteTableErrorKind::Malformed { reason });
        }
        if pieces(pattern).filter(|piece| matches!(piece, Piece::Parameter(_))).count() > MOST_PARAMETERS {
            let reason = format!("more than {MOST_PARAMETERS} parameters");
            return Err(RouteTableErrorKind::Malformed { reason });
        }
        if before.iter().any(|other| other.method == *method) {
            return Err(RouteTableErrorKind::Twice);
        }
        let Rule::Requires(requirement) = rule else { return Ok(()) };
        if requirement.is_unmeetable() {
            return Err(RouteTableErrorKind::Unmeetable);
        }
        let checked = catalog.map_or(Ok(()), |catalog| catalog.check_all(requirement.scopes()));
        checked.map_err(RouteTableErrorKind::UnknownScope)
    }

    pub(super) fn error(&self, kind: RouteTableErrorKind) -> RouteTableError {
        RouteTableError { method: self.method.clone(), pattern: self.pattern.clone(), kind }
    }
}
