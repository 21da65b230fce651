use std::fmt;
use std::sync::Arc;

use http::Method;

use super::enforced::Enforced;
use super::matcher::{Found, Matcher};
use super::path::{Reading, read};
use super::{Route, RouteTableBuilder, Unlisted};
use crate::ApiKeyLayer;
use crate::auth::RouteClass;
use crate::decision::authorize;
use crate::rejection::reason::Rejection;
use crate::scope::{Access, Requirement};

/// What each route asks of a key: `(method, pattern)` to a [`Requirement`], public routes by name, and one
/// decision for everything that nobody listed.
///
/// An [`ApiKeyLayer`](crate::ApiKeyLayer::routes) enforces it from outside, whatever router is inside. Wrap the
/// finished router, as below, and not with `Router::layer`: then no route can be added behind the layer's back, and
/// one that was forgotten in the table is refused instead of open.
///
/// Patterns are those of axum 0.8: `/datasets/{uid}/`, `/files/{*path}`. List full paths, with the prefix of a nested
/// router. A trailing slash matters, and so does the case of letters. Of several patterns that match a path, the most
/// specific one counts, as in axum; a route that is in the router alone is decided by a listed pattern that matches
/// its path, if there is one.
///
/// `HEAD` requires what `GET` requires. A target that a router could read differently than this table does, such as `//`,
/// `..`, `%2f`, `;` or an encoded letter, gets 404 (401 without a valid key), and so does one that differs from a listed
/// route only in its trailing slash. Where both forms are listed, a request must meet both lines, since an inner layer may
/// turn one into the other; a line such as `/files/{*path}` adds nothing to a more specific one. An inner layer that changes
/// a path or a method in any other way comes after the check, so put such a layer outside.
///
/// A line can [accept encoded characters](super::RoutePattern::with_encoded_parameters) in its parameters.
///
/// No line opens what another one covers:
///
/// - `/api/{*path}` with a requirement also covers `/api` and `/api/`, unless they are listed. A public one does not.
/// - Where the most specific pattern does not list the method, the route is unlisted, and a less specific line that lists
///   the method adds its requirement: beside `GET /admin/{page}` and `POST /admin/users`, `GET /admin/users` requires what
///   `GET /admin/{page}` requires, whatever [`unlisted`](RouteTableBuilder::unlisted) accepts.
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
/// A public `/{*path}`, for the pages of a web site, also matches what the router has and the table lacks. With such a line,
/// list a net for the API: `/api/{*path}` for [full access](Requirement::full_access).
#[derive(Clone)]
pub struct RouteTable {
    /// Sorted by pattern.
    pub(super) routes: Vec<Route>,
    pub(super) unlisted: Unlisted,
    pub(super) listed: Matcher,
    /// Whether a pattern can match a path that ends with a slash, other than the root.
    pub(super) slashes: bool,
}

impl RouteTable {
    /// Returns a builder of a table that denies every route which is not added to it.
    pub const fn builder() -> RouteTableBuilder {
        RouteTableBuilder::new()
    }

    /// The lines, sorted by pattern, and those of a pattern in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// What happens to a route that is not in the table.
    #[must_use]
    pub const fn unlisted(&self) -> Unlisted {
        self.unlisted
    }

    /// The methods that are listed for this path, of which `GET` stands for `HEAD` too: for the `Allow` header of a
    /// service that tells holders of a good key of a wrong method, as
    /// [`rejection_response`](crate::ApiKeyLayer::rejection_response) can. None for a path that is ambiguous.
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
        let lines = self.listed.methods(path).iter();
        lines.filter(move |(_, line)| self.accepts(reading, path, [Some(*line), None])).map(|(method, _)| method)
    }

    /// Returns the line of the same path with the trailing slash that it lacks, or without the one that it has.
    fn twin(&self, method: &Method, path: &str) -> Option<usize> {
        match path.strip_suffix('/') {
            Some("") => None,
            Some(without) => self.listed.find(method, without).line(),
            None if self.slashes => self.listed.find(method, &format!("{path}/")).line(),
            None => None,
        }
    }

    /// Returns what the line with this number requires of a key. `None` when it is public.
    fn requirement(&self, line: usize) -> Option<&Requirement> {
        self.routes[line].rule.requirement()
    }

    /// Returns whether a key with this access meets the requirements of these lines.
    fn authorize_by(&self, lines: [Option<usize>; 3], access: &Access) -> Result<(), Rejection> {
        Ok(self.required(lines).try_for_each(|requirement| authorize(access, requirement))?)
    }

    /// Returns what these lines require of a key.
    fn required(&self, lines: [Option<usize>; 3]) -> impl Iterator<Item = &Requirement> {
        lines.into_iter().flatten().filter_map(|line| self.requirement(line))
    }

    /// Returns whether a path with this reading is accepted by these lines.
    fn accepts(&self, reading: Reading, path: &str, lines: [Option<usize>; 2]) -> bool {
        match reading {
            Reading::Plain => true,
            Reading::Encoded => {
                let chosen = lines.into_iter().flatten().all(|line| self.routes[line].encoded_parameters);
                chosen && self.listed.encodes_only_parameters(path)
            }
            Reading::Ambiguous => false,
        }
    }

    /// Returns the line for this route and its twin.
    pub(super) fn lines(&self, method: &Method, path: &str) -> [Option<usize>; 2] {
        let method = listed_method(method);
        [self.listed.find(method, path).line(), self.twin(method, path)]
    }

    pub(super) fn classify(&self, method: &Method, path: &str) -> RouteClass {
        let reading = read(path);
        if reading == Reading::Ambiguous {
            return RouteClass::Ambiguous;
        }
        let method = listed_method(method);
        // An inner layer may add or remove a trailing slash, and so reach the route of another line.
        let twin = self.twin(method, path);
        let line = match self.listed.find(method, path) {
            Found::Listed(line) => line,
            _ if twin.is_some() || reading == Reading::Encoded => return RouteClass::Ambiguous,
            hidden => return RouteClass::Unlisted(hidden.line()),
        };
        // A net for every other path is not the twin of a more specific line.
        let twin = twin.filter(|twin| !self.routes[*twin].takes_a_rest());
        if !self.accepts(reading, path, [Some(line), twin]) {
            return RouteClass::Ambiguous;
        }
        let twin = twin.filter(|twin| self.requirement(*twin).is_some());
        if twin.is_none() && self.requirement(line).is_none() {
            return RouteClass::Public(line);
        }
        let other = self.routes[line].takes_a_rest().then(|| self.listed.find_as_written(method, path)).flatten();
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
            (RouteClass::Listed(line, [twin, other]), _) => self.authorize_by([Some(line), twin, other], access),
            (RouteClass::Unlisted(_), Unlisted::FullAccess) => Ok(authorize(access, &Requirement::full_access())?),
            (RouteClass::Unlisted(hidden), Unlisted::InsecureAnyKey) => self.authorize_by([hidden, None, None], access),
            (RouteClass::Ambiguous, _) | (RouteClass::Unlisted(_), Unlisted::Deny) => Err(Rejection::NotFound),
        }
    }
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
