use std::collections::BTreeMap;
use std::fmt;

use http::{Method, Request};

use super::path::is_ambiguous;
use crate::decision::RouteVerdict;
use crate::scope::{Catalogue, Requirement, UnknownScope};

/// What each route asks of a key: `(method, pattern)` to a [`Requirement`], public routes by name, and one
/// decision for everything that nobody listed.
///
/// An [`ApiKeyLayer`](crate::ApiKeyLayer::routes) enforces it from outside, whatever router is inside, so that a
/// route which was forgotten is refused instead of open. Patterns are those of axum 0.8: `/datasets/{uid}/`,
/// `/files/{*path}`. List full paths, with the prefix of a nested router. A trailing slash matters, and so does
/// the case of letters.
///
/// `HEAD` asks for what `GET` asks for. A target that a router could read differently than this table does, such
/// as `//`, `..`, `%2f`, `;` or an encoded letter, does not exist to a good key, and neither does a path that
/// differs from a listed one only in its trailing slash.
///
/// ```
/// use http::Method;
/// use tower_api_key::{ApiKeyLayer, MemoryStore, Otherwise, Requirement, RouteTable, scope::avala};
///
/// let table = RouteTable::builder(Otherwise::Deny)
///     .catalogue(avala::catalogue())
///     .public(Method::POST, "/signup/")
///     .route(Method::GET, "/datasets/", avala::DATASETS_READ)
///     .route(Method::POST, "/datasets/", avala::DATASETS_WRITE)
///     .route(Method::GET, "/tasks/{uid}/", Requirement::any_of([avala::TASKS_READ, avala::PROJECTS_READ]))
///     .build()?;
/// assert_eq!(table.to_string().lines().nth(2), Some("| `GET` | `/datasets/` | datasets.read |"));
/// let layer = ApiKeyLayer::new(MemoryStore::new()).routes(table);
/// # Ok::<(), tower_api_key::RouteTableError>(())
/// ```
#[derive(Clone)]
pub struct RouteTable {
    routes: Vec<Route>,
    otherwise: Otherwise,
    /// For each pattern the rules of its methods. The matcher that axum uses.
    matcher: matchit::Router<Vec<(Method, Rule)>>,
}

/// What a layer does with a request to a route that is not in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a fourth answer would have to be considered by everybody who prints them")]
pub enum Otherwise {
    /// To a good key it does not exist: 404. The safest choice.
    Deny,
    /// It takes full access.
    FullAccess,
    /// Any valid key may pass.
    AnyKey,
}

/// What a route asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a third rule would have to be considered by everybody who prints them")]
pub enum Rule {
    /// Nothing, not even a key.
    Public,
    /// A key that meets this.
    Requires(Requirement),
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The method. `GET` stands for `HEAD` too.
    pub method: Method,
    /// The pattern of the path.
    pub pattern: String,
    /// What it asks for.
    pub rule: Rule,
}

impl RouteTable {
    /// A table whose lines follow, and which decides so about everything else.
    pub const fn builder(otherwise: Otherwise) -> RouteTableBuilder {
        RouteTableBuilder { otherwise, routes: Vec::new(), catalogue: None }
    }

    /// The lines, sorted by pattern, and those of a pattern in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// What happens to a route that is not in the table.
    #[must_use]
    pub const fn otherwise(&self) -> Otherwise {
        self.otherwise
    }

    pub(crate) fn verdict<B>(&self, request: &Request<B>) -> RouteVerdict<'_> {
        if is_ambiguous(request) {
            return RouteVerdict::NotFound;
        }
        let (method, path) = (request.method(), request.uri().path());
        let method = if method == Method::HEAD { &Method::GET } else { method };
        match self.matcher.at(path) {
            Ok(found) => match found.value.iter().find(|(listed, _)| listed == method) {
                Some((_, Rule::Public)) => RouteVerdict::Public,
                Some((_, Rule::Requires(requirement))) => RouteVerdict::Requires(requirement),
                None => self.unlisted(),
            },
            Err(_) if self.is_listed_but_for_the_slash(path) => RouteVerdict::NotFound,
            Err(_) => self.unlisted(),
        }
    }

    fn unlisted(&self) -> RouteVerdict<'_> {
        static FULL_ACCESS: Requirement = Requirement::full_access();
        static ANY_KEY: Requirement = Requirement::any_key();
        match self.otherwise {
            Otherwise::Deny => RouteVerdict::NotFound,
            Otherwise::FullAccess => RouteVerdict::Requires(&FULL_ACCESS),
            Otherwise::AnyKey => RouteVerdict::Requires(&ANY_KEY),
        }
    }

    /// A layer further in may add or remove trailing slashes, and so reach a route with more to ask.
    fn is_listed_but_for_the_slash(&self, path: &str) -> bool {
        match path.strip_suffix('/') {
            Some(without) => !without.is_empty() && self.matcher.at(without).is_ok(),
            None => self.matcher.at(&format!("{path}/")).is_ok(),
        }
    }
}

/// The documentation of the API's scopes, as a Markdown table.
impl fmt::Display for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("| method | path | asks for |\n|---|---|---|\n")?;
        for Route { method, pattern, rule } in &self.routes {
            writeln!(f, "| `{method}` | `{pattern}` | {rule} |")?;
        }
        writeln!(f, "| any other | | {} |", self.otherwise)
    }
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteTable").field("routes", &self.routes).field("otherwise", &self.otherwise).finish()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("nothing"),
            Self::Requires(requirement) => requirement.fmt(f),
        }
    }
}

impl fmt::Display for Otherwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deny => "denied",
            Self::FullAccess => "full access",
            Self::AnyKey => "any key",
        })
    }
}

/// Gathers the lines of a [`RouteTable`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct RouteTableBuilder {
    otherwise: Otherwise,
    routes: Vec<Route>,
    catalogue: Option<Catalogue>,
}

impl RouteTableBuilder {
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
    /// When a pattern is malformed or conflicts with another one, a line is there twice, a line is for `HEAD`,
    /// a scope is not in the catalogue, or a requirement can be met by no key.
    pub fn build(self) -> Result<RouteTable, RouteTableError> {
        let Self { otherwise, mut routes, catalogue } = self;
        let mut patterns: BTreeMap<String, Vec<(Method, Rule)>> = BTreeMap::new();
        for route in &routes {
            route.check(catalogue.as_ref())?;
            let methods = patterns.entry(route.pattern.clone()).or_default();
            if methods.iter().any(|(method, _)| *method == route.method) {
                return Err(RouteTableError::Twice { method: route.method.clone(), pattern: route.pattern.clone() });
            }
            methods.push((route.method.clone(), route.rule.clone()));
        }
        let mut matcher = matchit::Router::new();
        for (pattern, methods) in patterns {
            let inserted = matcher.insert(pattern.clone(), methods);
            inserted.map_err(|error| RouteTableError::Pattern { pattern, reason: error.to_string() })?;
        }
        routes.sort_by(|a, b| a.pattern.cmp(&b.pattern));
        Ok(RouteTable { routes, otherwise, matcher })
    }
}

impl Route {
    fn check(&self, catalogue: Option<&Catalogue>) -> Result<(), RouteTableError> {
        let Self { method, pattern, rule } = self;
        if method == Method::HEAD {
            return Err(RouteTableError::Head { pattern: pattern.clone() });
        }
        if !pattern.starts_with('/') {
            let reason = "a pattern begins with a slash".to_owned();
            return Err(RouteTableError::Pattern { pattern: pattern.clone(), reason });
        }
        let Rule::Requires(requirement) = rule else { return Ok(()) };
        if requirement.is_unmeetable() {
            return Err(RouteTableError::Unmeetable { method: method.clone(), pattern: pattern.clone() });
        }
        let checked = catalogue.map_or(Ok(()), |catalogue| catalogue.check_all(requirement.scopes()));
        checked.map_err(|source| RouteTableError::Scope { pattern: pattern.clone(), source })
    }
}

/// Why a table cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteTableError {
    /// A pattern is malformed, or conflicts with another one.
    #[error("the route {pattern:?}: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A method and pattern are there twice.
    #[error("the route {method} {pattern:?} is in the table twice")]
    Twice {
        /// The method.
        method: Method,
        /// The pattern.
        pattern: String,
    },
    /// A line is for `HEAD`, which asks for what `GET` asks for.
    #[error("the route HEAD {pattern:?}: HEAD asks for what GET asks for, and cannot be listed")]
    Head {
        /// The pattern.
        pattern: String,
    },
    /// A route asks for a scope that is not in the catalogue.
    #[error("the route {pattern:?}: {source}")]
    Scope {
        /// The pattern.
        pattern: String,
        /// The scope.
        source: UnknownScope,
    },
    /// A route asks for any of no scopes.
    #[error("the route {method} {pattern:?} asks for any of no scopes, which no key can meet")]
    Unmeetable {
        /// The method.
        method: Method,
        /// The pattern.
        pattern: String,
    },
}
