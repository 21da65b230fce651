use std::sync::Arc;
use std::{fmt, iter};

use http::Method;

use super::enforced::Enforced;
use super::matcher::{Found, Matcher, Twins};
use super::path::{Reading, hides_dot_segment, read};
use super::pattern::values;
use super::{Route, RouteTableBuilder, Unlisted};
use crate::ApiKeyLayer;
use crate::auth::{Entry, RouteClass};
use crate::decision::authorize;
use crate::rejection::reason::Rejection;
use crate::scope::{Access, Requirement};

/// A table of what each route requires: public, or a [`Requirement`]. Unlisted routes are denied by default.
///
/// [`ApiKeyLayer::routes`](crate::ApiKeyLayer::routes) enforces the table in front of any router. Wrap the finished router, as
/// below: a route that is added to the router later is then denied until the table lists it. `Router::layer` wraps only the
/// routes that were added before.
///
/// # Patterns
///
/// Patterns are those of axum 0.8: `/datasets/{uid}/`, `/files/{*path}`. List full paths, with the prefix of a nested
/// router. Trailing slashes and the case of letters matter. Of several patterns that match a path, the most specific one
/// applies, as in axum. `HEAD` requires what `GET` requires.
///
/// Some targets get 404 (401 without a valid key), because a router may read them differently: `//`, `..`, `%2f`, `;`, an
/// encoded letter, or another trailing slash than the listed route has. A line can
/// [accept encoded characters](super::RoutePattern::with_encoded_parameters) in its parameters.
///
/// If a path is listed with and without its trailing slash, a request must meet both lines, since an inner layer may change
/// one into the other. Put a layer that changes paths or methods in another way outside the `ApiKeyLayer`.
///
/// No line grants access to what another line protects:
///
/// - `/api/{*path}` with a requirement also covers `/api` and `/api/`, unless they are listed. A public one does not.
///   For any other method these two are unlisted, whatever less specific line lists it.
/// - If the most specific pattern does not list the method, a less specific line that lists the method adds its requirement.
///   With `GET /admin/{page}` and `POST /admin/users`, `GET /admin/users` requires what `GET /admin/{page}` requires, whatever
///   [`unlisted`](RouteTableBuilder::unlisted) accepts.
///
/// # Example
///
/// ```
/// use axum::{Router, routing::get};
/// use http::Method;
/// use tower::Layer;
/// use tower_api_key::routes::RouteTable;
/// use tower_api_key::scope::avala;
/// use tower_api_key::{ApiKeyLayer, MemoryStore, Requirement};
///
/// let table = RouteTable::builder()
///     .catalog(avala::catalog())
///     .public(Method::POST, "/signup/")
///     .route(Method::GET, "/datasets/", avala::DATASETS_READ)
///     .route(Method::POST, "/datasets/", avala::DATASETS_WRITE)
///     .route(Method::GET, "/tasks/{uid}/", Requirement::any_of([avala::TASKS_READ, avala::PROJECTS_READ]))
///     .build()?;
/// assert_eq!(table.to_string(), "\
/// | method | path | asks for |
/// |---|---|---|
/// | `GET` | `/datasets/` | datasets.read |
/// | `POST` | `/datasets/` | datasets.write |
/// | `POST` | `/signup/` | nothing |
/// | `GET` | `/tasks/{uid}/` | any of projects.read, tasks.read |
/// | any other | any other | denied |
/// ");
///
/// let router: Router = Router::new().route("/datasets/", get(|| async { "[]" }));
/// let guarded = ApiKeyLayer::new(MemoryStore::new()).routes(table).layer(router);
/// // A router again, for `axum::serve`.
/// let app: Router = Router::new().fallback_service(guarded);
/// # Ok::<(), tower_api_key::routes::RouteTableError>(())
/// ```
///
/// A route that comes after the layer does not compile:
///
/// ```compile_fail,E0599
/// # use axum::{Router, routing::get};
/// # use tower::Layer;
/// # use tower_api_key::routes::RouteTable;
/// # use tower_api_key::{ApiKeyLayer, MemoryStore};
/// # let table = RouteTable::builder().build().unwrap();
/// # let router: Router = Router::new();
/// let guarded = ApiKeyLayer::new(MemoryStore::new()).routes(table).layer(router);
/// guarded.route("/late", get(|| async { "open to everybody?" }));
/// ```
///
/// A public `/{*path}`, for the pages of a web site, also matches routes of the router that the table lacks. With such a line,
/// protect the rest of the API with `/api/{*path}` for [full access](Requirement::full_access).
#[derive(Clone)]
pub struct RouteTable {
    /// Sorted by pattern.
    pub(super) routes: Vec<Route>,
    pub(super) unlisted: Unlisted,
    pub(super) listed: Matcher,
}

impl RouteTable {
    /// Returns a builder of a table that denies every route which is not added to it.
    pub const fn builder() -> RouteTableBuilder {
        RouteTableBuilder::new()
    }

    /// Returns the lines, sorted by pattern. Lines of one pattern keep the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// Returns how requests to unlisted routes are handled.
    #[must_use]
    pub const fn unlisted(&self) -> Unlisted {
        self.unlisted
    }

    /// Returns the methods that are listed for a path. `GET` includes `HEAD`. An ambiguous path has none.
    ///
    /// For the `Allow` header of services that answer 405 to authenticated clients, in a
    /// [`rejection_response`](crate::ApiKeyLayer::rejection_response).
    ///
    /// ```
    /// use http::Method;
    /// use tower_api_key::Requirement;
    /// use tower_api_key::routes::RouteTable;
    ///
    /// let table = RouteTable::builder()
    ///     .route(Method::GET, "/datasets/{uid}/", Requirement::any_key())
    ///     .build()?;
    /// assert!(table.methods("/datasets/1/").eq([&Method::GET]));
    /// assert_eq!(table.methods("/datasets/1/../").next(), None);
    /// # Ok::<(), tower_api_key::routes::RouteTableError>(())
    /// ```
    pub fn methods(&self, path: &str) -> impl Iterator<Item = &Method> {
        let reading = read(path);
        let lines = self.listed.lines(path).iter();
        lines.filter(move |line| self.accepts(reading, path, line.entry, None)).map(|line| &line.method)
    }

    /// Returns what the line with this number requires of a key. `None` when it is public.
    fn requirement(&self, line: Entry) -> Option<&Requirement> {
        self.routes[line.index()].rule.requirement()
    }

    /// Returns whether a key with this access meets the requirement of this line.
    #[inline]
    fn authorize_by_line(&self, line: Entry, access: &Access) -> Result<(), Rejection> {
        match self.requirement(line) {
            Some(requirement) => Ok(authorize(access, requirement)?),
            None => Ok(()),
        }
    }

    /// Returns whether a key with this access meets the requirements of these lines.
    fn authorize_by(&self, lines: [Option<Entry>; 3], access: &Access) -> Result<(), Rejection> {
        Ok(self.required(lines).try_for_each(|requirement| authorize(access, requirement))?)
    }

    /// Returns what these lines require of a key.
    fn required(&self, lines: [Option<Entry>; 3]) -> impl Iterator<Item = &Requirement> {
        lines.into_iter().flatten().filter_map(|line| self.requirement(line))
    }

    /// Returns whether a path with this reading is accepted by its line and that of its twin.
    fn accepts(&self, reading: Reading, path: &str, line: Entry, twin: Option<Entry>) -> bool {
        match reading {
            Reading::Plain => true,
            Reading::Encoded => {
                let chosen = |line: Entry| self.routes[line.index()].encoded_parameters;
                // No pattern has such a character, so only parameters do.
                chosen(line) && twin.is_none_or(chosen) && hides_no_dots(&self.routes[line.index()].pattern, path)
            }
            Reading::Ambiguous => false,
        }
    }

    /// Returns the line for this route and its twin.
    pub(super) fn lines(&self, method: &Method, path: &str) -> [Option<Entry>; 2] {
        let method = listed_method(method);
        [self.listed.find(method, path).line(), self.listed.find_twin(method, path)]
    }

    pub(super) fn classify(&self, method: &Method, path: &str) -> RouteClass {
        let reading = read(path);
        if reading == Reading::Ambiguous {
            return RouteClass::Ambiguous;
        }
        let method = listed_method(method);
        // An inner layer may add or remove a trailing slash, and so reach the route of another line.
        let (line, twin) = match self.listed.find(method, path) {
            Found::Listed(line, Twins::None) => (line, None),
            Found::Listed(line, Twins::Possible) => (line, self.listed.find_twin(method, path)),
            _ if reading == Reading::Encoded => return RouteClass::Ambiguous,
            hidden => {
                let twin = self.listed.find_twin(method, path);
                return if twin.is_some() { RouteClass::Ambiguous } else { RouteClass::Unlisted(hidden.line()) };
            }
        };
        // A net for every other path is not the twin of a more specific line.
        let twin = twin.filter(|twin| !self.routes[twin.index()].takes_a_rest);
        if !self.accepts(reading, path, line, twin) {
            return RouteClass::Ambiguous;
        }
        let twin = twin.filter(|twin| self.requirement(*twin).is_some());
        if twin.is_none() && self.requirement(line).is_none() {
            return RouteClass::Public(line);
        }
        let other = self.routes[line.index()].takes_a_rest.then(|| self.listed.find_as_written(method, path)).flatten();
        // Where a catch-all covers its prefix, a router runs the handler of the less specific line.
        RouteClass::Listed(line, [twin, other.filter(|other| *other != line)])
    }

    /// Returns the first requirement of the route that a key with this access does not meet.
    pub(super) fn unmet(&self, route: RouteClass, access: &Access) -> Option<Requirement> {
        let lines = match (route, self.unlisted) {
            (RouteClass::Listed(line, [twin, other]), _) => [Some(line), twin, other],
            (RouteClass::Unlisted(hidden), Unlisted::InsecureAnyKey) => [hidden, None, None],
            (RouteClass::Unlisted(_), Unlisted::FullAccess) => {
                return Some(Requirement::full_access()).filter(|required| !required.is_met_by(access));
            }
            _ => return None,
        };
        self.required(lines).find(|required| !required.is_met_by(access)).cloned()
    }

    pub(super) fn authorize(&self, route: RouteClass, access: &Access) -> Result<(), Rejection> {
        match (route, self.unlisted) {
            (RouteClass::Public(_), _) => Ok(()),
            // Most routes have one line.
            (RouteClass::Listed(line, [None, None]), _) => self.authorize_by_line(line, access),
            (RouteClass::Listed(line, [twin, other]), _) => self.authorize_by([Some(line), twin, other], access),
            (RouteClass::Unlisted(_), Unlisted::FullAccess) => Ok(authorize(access, &Requirement::full_access())?),
            (RouteClass::Unlisted(hidden), Unlisted::InsecureAnyKey) => self.authorize_by([hidden, None, None], access),
            (RouteClass::Ambiguous, _) | (RouteClass::Unlisted(_), Unlisted::Deny) => Err(Rejection::NotFound),
        }
    }
}

/// Returns whether neither the path nor one of its parameters has a segment `.` or `..` when it is decoded.
#[cold]
fn hides_no_dots(pattern: &str, path: &str) -> bool {
    iter::once(path).chain(values(pattern, path)).all(|text| !hides_dot_segment(text))
}

/// `HEAD` requires what `GET` requires.
fn listed_method(method: &Method) -> &Method {
    if method == Method::HEAD { &Method::GET } else { method }
}

impl ApiKeyLayer {
    /// Requires of each request what this table requires of its route, in addition to [`require`](Self::require) and
    /// [`require_fn`](Self::require_fn). Replaces an earlier table.
    ///
    /// A public route is called without a lookup. The key is removed from the request anyway, and the response is left as
    /// it is.
    pub fn routes(self, table: RouteTable) -> Self {
        self.authorizer(Arc::new(Enforced::new(table)))
    }
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteTable").field("routes", &self.routes).field("unlisted", &self.unlisted).finish()
    }
}
