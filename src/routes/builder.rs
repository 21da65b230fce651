use http::Method;
use http::uri::PathAndQuery;

use super::path::is_ambiguous_path;
use super::table::Matcher;
use super::{Otherwise, Route, RouteProblem, RouteTable, RouteTableError, Rule};
use crate::scope::{Catalogue, Requirement};

/// Gathers the lines of a [`RouteTable`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct RouteTableBuilder {
    otherwise: Otherwise,
    routes: Vec<Route>,
    catalogue: Option<Catalogue>,
}

impl RouteTableBuilder {
    pub(super) const fn new(otherwise: Otherwise) -> Self {
        Self { otherwise, routes: Vec::new(), catalogue: None }
    }

    /// A route that takes a key which meets this.
    pub fn route(mut self, method: Method, pattern: impl Into<String>, requirement: impl Into<Requirement>) -> Self {
        let rule = Rule::Requires(requirement.into());
        self.routes.push(Route { method, pattern: pattern.into(), rule });
        self
    }

    /// A route that takes no key: exactly this method and pattern. A key that is sent all the same is neither
    /// looked up nor passed on.
    pub fn public(mut self, method: Method, pattern: impl Into<String>) -> Self {
        self.routes.push(Route { method, pattern: pattern.into(), rule: Rule::Public });
        self
    }

    /// Refuses to build a table that asks for a scope which is not in this catalogue.
    pub fn catalogue(mut self, catalogue: Catalogue) -> Self {
        self.catalogue = Some(catalogue);
        self
    }

    /// Checks the lines and makes the table.
    ///
    /// # Errors
    /// When a pattern is malformed, cannot be the path of a request that passes, or conflicts with another one; a
    /// line is there twice; a line is for `HEAD`; a scope is not in the catalogue; a requirement can be met by no
    /// key. The error names the line.
    pub fn build(self) -> Result<RouteTable, RouteTableError> {
        let Self { otherwise, mut routes, catalogue } = self;
        routes.sort_by(|a, b| a.pattern.cmp(&b.pattern));
        let mut listed = Matcher::default();
        for lines in Lines::of(&routes) {
            for (nth, route) in lines.routes.iter().enumerate() {
                let checked = route.check(catalogue.as_ref(), &lines.routes[..nth]);
                checked.map_err(|problem| route.error(problem))?;
            }
            let methods = lines.routes.iter().map(|route| route.method.clone()).zip(lines.first..).collect();
            let inserted = listed.insert(lines.pattern, methods);
            inserted.map_err(|problem| lines.routes[0].error(problem))?;
        }
        let slashes = routes.iter().any(Route::takes_a_slash);
        Ok(RouteTable { routes, otherwise, listed, slashes })
    }
}

/// The lines that share a pattern.
struct Lines<'a> {
    pattern: &'a str,
    routes: &'a [Route],
    /// The number of the first one.
    first: usize,
}

impl<'a> Lines<'a> {
    /// Of lines that are sorted by pattern.
    fn of(routes: &'a [Route]) -> impl Iterator<Item = Self> {
        let mut first = 0;
        routes.chunk_by(|a, b| a.pattern == b.pattern).map(move |routes| {
            let lines = Self { pattern: &routes[0].pattern, routes, first };
            first += routes.len();
            lines
        })
    }
}

impl Route {
    /// Whether the line makes sense beside those that stand before it and have the same pattern.
    fn check(&self, catalogue: Option<&Catalogue>, before: &[Self]) -> Result<(), RouteProblem> {
        let Self { method, pattern, rule } = self;
        if method == Method::HEAD {
            return Err(RouteProblem::Head);
        }
        let is_path = PathAndQuery::try_from(pattern.as_str()).is_ok_and(|parsed| parsed.path() == pattern);
        if !pattern.starts_with('/') || !is_path {
            return Err(RouteProblem::NoPath);
        }
        if is_ambiguous_path(pattern) {
            return Err(RouteProblem::Ambiguous);
        }
        if pattern.split('/').any(|segment| segment.starts_with([':', '*'])) {
            return Err(RouteProblem::OldSyntax);
        }
        if before.iter().any(|other| other.method == *method) {
            return Err(RouteProblem::Twice);
        }
        let Rule::Requires(requirement) = rule else { return Ok(()) };
        if requirement.is_unmeetable() {
            return Err(RouteProblem::Unmeetable);
        }
        let checked = catalogue.map_or(Ok(()), |catalogue| catalogue.check_all(requirement.scopes()));
        checked.map_err(RouteProblem::UnknownScope)
    }

    fn error(&self, problem: RouteProblem) -> RouteTableError {
        RouteTableError { method: self.method.clone(), pattern: self.pattern.clone(), problem }
    }
}
