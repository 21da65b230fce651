//! Generated tables and targets: the route that axum runs is compared with what the table required of the key.

use axum::Router;
use axum::routing::{MethodFilter, on};
use futures::executor::block_on;
use http::{Method, Uri};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::test_runner::{Config, TestError, TestRunner};
use tower::{Layer, ServiceExt};
use tower_api_key::axum::original_uri;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::routes::{RouteTable, Rule, Unlisted};
use tower_api_key::{Access, ApiKeyLayer, MemoryStore, Requirement, Scope};
use tower_http::normalize_path::NormalizePathLayer;

use super::lenient;
use super::world::request;

const SCOPES: [Scope; 3] = [Scope::from_static("one"), Scope::from_static("two"), Scope::from_static("three")];

/// A router, a table of most of its routes, and a request.
#[derive(Clone, Debug)]
struct Case {
    lines: Vec<Line>,
    unlisted: Unlisted,
    place: Place,
    inside: Inside,
    method: Method,
    target: String,
    access: Option<Access>,
}

/// A route of the router.
#[derive(Clone, Debug)]
struct Line {
    method: Method,
    pattern: String,
    rule: Rule,
    /// Whether the table has it.
    listed: bool,
}

/// Where the layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Around the finished router.
    Outside,
    /// In two places: inside `nest` around the routes below [`PREFIX`], and around all others.
    Nested,
    /// The same, without `path_from`.
    NestedWithoutSetter,
}

const PREFIX: &str = "/a";

/// The layer between the table and the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Nothing,
    Trims,
    Appends,
}

/// Returns the route that a request reaches.
type Reach = fn(&Case, &RouteTable) -> Option<usize>;

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(10_000) })]

    /// Cases: 134, 135, 136.
    #[test]
    fn no_request_reaches_handler_requiring_more(case in case()) {
        check(&case, by_the_layer)?;
    }
}

/// Tables that people write by hand, and the layer without each of its guards. The harness must find the fault of each.
#[test]
fn harness_detects_naive_tables() {
    let naive: [(&str, Reach); 9] = [
        ("prefixes", |case, table| run_if(case, by_prefix(case, table))),
        ("decoded and normalized first", |case, table| run_if(case, by_normalized_path(case, table))),
        ("ignores the layers inside", |case, table| run_if(case, by_pattern(case, table))),
        ("HEAD is a method of its own, and open", |case, table| run_if(case, by_method(case, table))),
        ("lower case", |case, table| run_if(case, by_lower_case(case, table))),
        ("the first entry that matches", |case, table| run_if(case, by_order(case, table))),
        ("the path that nest leaves", |case, table| run_if(case, by_stripped_path(case, table))),
        ("a catch-all does not cover its prefix", |case, _| {
            run_if(case, case.is_one_path() && by_covering(case, false, true))
        }),
        ("a pattern hides other methods", |case, _| run_if(case, case.is_one_path() && by_covering(case, true, false))),
    ];
    for (name, reach) in naive {
        let mut runner = TestRunner::new(Config { cases: 200_000, failure_persistence: None, ..Config::default() });
        let result = runner.run(&case(), |case| check(&case, reach));
        assert!(matches!(result, Err(TestError::Fail(..))), "{name}: {result:?}");
    }
}

/// The guards of the last two, together, are enough where no layer rewrites paths: the harness finds nothing.
#[test]
fn harness_accepts_a_table_with_its_guards() {
    let mut runner = TestRunner::new(Config { cases: 4_000, failure_persistence: None, ..Config::default() });
    let reach: Reach = |case, _| run_if(case, case.is_one_path() && by_covering(case, true, true));
    runner.run(&case(), |case| if case.is_one_path() { check(&case, reach) } else { Ok(()) }).unwrap();
}

/// A request that reaches a handler meets the requirement of its line, or of the line that covers it. The reverse holds for
/// plain requests: a table that rejects every request fails too.
fn check(case: &Case, reach: Reach) -> Result<(), TestCaseError> {
    let table = table(case);
    let reached = reach(case, &table);
    if let Some(reached) = reached {
        prop_assert!(case.meets_lines_of(reached), "reached {:?}", case.lines[reached]);
    }
    if let Some(ran) = run(case).filter(|ran| case.is_plain() && case.lines[*ran].listed) {
        prop_assert!(reached == Some(ran) || !case.meets(&case.lines[ran].rule), "rejected {:?}", case.lines[ran]);
    }
    Ok(())
}

/// The route whose handler runs without a table.
fn run(case: &Case) -> Option<usize> {
    ran(case, app(case, None))
}

fn run_if(case: &Case, passes: bool) -> Option<usize> {
    if passes { run(case) } else { None }
}

fn ran(case: &Case, app: Router) -> Option<usize> {
    block_on(app.oneshot(case.request())).unwrap().extensions().get::<Ran>().map(|ran| ran.0)
}

#[derive(Clone, Copy)]
struct Ran(usize);

/// The routers of the case, behind the layer if there is one.
fn app(case: &Case, layer: Option<&ApiKeyLayer>) -> Router {
    let guarded = |router: Router| match layer {
        Some(layer) => Router::new().fallback_service(layer.layer(router)),
        None => router,
    };
    if case.place == Place::Outside {
        return guarded(rewritten(case, router(case, |pattern| Some(pattern.to_owned()))));
    }
    let outer = guarded(rewritten(case, router(case, |pattern| below(pattern).is_none().then(|| pattern.to_owned()))));
    let inner = router(case, below);
    let app = match (case.inside, layer) {
        (Inside::Nothing, Some(layer)) => Router::new().nest(PREFIX, inner.layer(layer.clone())),
        (Inside::Nothing, None) => Router::new().nest(PREFIX, inner),
        _ => Router::new().nest_service(PREFIX, guarded(rewritten(case, inner))),
    };
    app.fallback_service(outer)
}

/// In the order of the entries, whereas a table sorts them.
fn router(case: &Case, pattern: impl Fn(&str) -> Option<String>) -> Router {
    case.lines.iter().enumerate().fold(Router::new(), |router, (at, line)| {
        let Some(pattern) = pattern(&line.pattern) else { return router };
        let filter = MethodFilter::try_from(line.method.clone()).unwrap();
        router.route(&pattern, on(filter, async move || axum::Extension(Ran(at))))
    })
}

fn rewritten(case: &Case, router: Router) -> Router {
    match case.inside {
        Inside::Nothing => router,
        Inside::Trims => Router::new().fallback_service(NormalizePathLayer::trim_trailing_slash().layer(router)),
        Inside::Appends => Router::new().fallback_service(NormalizePathLayer::append_trailing_slash().layer(router)),
    }
}

/// What `nest` leaves of a path or a pattern below [`PREFIX`].
fn below(path: &str) -> Option<String> {
    match path.strip_prefix(PREFIX)? {
        "" => Some("/".to_owned()),
        "/" => None,
        rest => rest.starts_with('/').then(|| rest.to_owned()),
    }
}

fn table(case: &Case) -> RouteTable {
    of_lines(case.lines.iter().filter(|line| line.listed), case.unlisted).unwrap()
}

fn of_lines<'a>(
    lines: impl IntoIterator<Item = &'a Line>,
    unlisted: Unlisted,
) -> Result<RouteTable, tower_api_key::routes::RouteTableError> {
    let builder = RouteTable::builder().unlisted(unlisted);
    let builder = lines.into_iter().fold(builder, |builder, line| match &line.rule {
        Rule::Public => builder.public(line.method.clone(), &*line.pattern),
        Rule::Requires(requirement) => builder.route(line.method.clone(), &*line.pattern, requirement.clone()),
    });
    builder.build()
}

impl Case {
    fn request(&self) -> axum::extract::Request {
        request(&self.method, &self.target, if self.access.is_some() { "key" } else { "" })
    }

    fn path(&self) -> String {
        self.target.parse::<Uri>().unwrap().path().to_owned()
    }

    /// Whether no layer rewrites the path.
    fn is_one_path(&self) -> bool {
        self.place == Place::Outside && self.inside == Inside::Nothing
    }

    /// The full path that the router gets.
    fn routed_path(&self) -> String {
        let path = self.path();
        let rewritten = |path: &str| match self.inside {
            Inside::Trims if path.trim_end_matches('/').is_empty() => "/".to_owned(),
            Inside::Trims => path.trim_end_matches('/').to_owned(),
            Inside::Appends if !path.ends_with('/') => format!("{path}/"),
            Inside::Nothing | Inside::Appends => path.to_owned(),
        };
        let nested = self.place != Place::Outside && self.inside != Inside::Nothing;
        match path.strip_prefix(PREFIX).filter(|rest| nested && (rest.is_empty() || rest.starts_with('/'))) {
            Some(rest) => match &*rewritten(if rest.is_empty() { "/" } else { rest }) {
                "/" => PREFIX.to_owned(),
                rest => format!("{PREFIX}{rest}"),
            },
            None => rewritten(&path),
        }
    }

    fn meets(&self, rule: &Rule) -> bool {
        match (rule, &self.access) {
            (Rule::Public, _) => true,
            (Rule::Requires(_), None) => false,
            (Rule::Requires(requirement), Some(access)) => requirement.is_met_by(access),
        }
    }

    /// Whether the request meets the line of this route, or the one that covers it.
    fn meets_lines_of(&self, ran: usize) -> bool {
        let (path, routed) = (self.path(), self.routed_path());
        let line = &self.lines[ran];
        let without_setter = self.place == Place::NestedWithoutSetter && below(&path).is_some();
        let (line, hidden) = match covering(self, &routed, true) {
            _ if line.listed => (line, false),
            Some(found) => found,
            // A request for a listed route, which a layer turned into one for a route that no line covers.
            None if path != routed => return true,
            // Without the setter, a table that lists none of the full path is one of paths without the prefix.
            None => return without_setter || self.may_go_unlisted(),
        };
        if without_setter && line.pattern == "/{*rest}" {
            return true;
        }
        let own = covering(self, &path, true).map(|(line, _)| &line.pattern);
        if path != routed && line.pattern.contains("{*") && own != Some(&line.pattern) {
            // A rewrite may move a path from its own route to one with `{*rest}`.
            return true;
        }
        self.meets(&line.rule) && (!hidden || self.may_go_unlisted())
    }

    fn may_go_unlisted(&self) -> bool {
        self.may(None)
    }

    /// Whether the request has one reading, and no entry differs from another one in its trailing slash. Then each key that
    /// meets the requirement must be accepted.
    fn is_plain(&self) -> bool {
        let path = self.path();
        let plain = |segment: &str| !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let one_form = self.lines.iter().all(|line| !line.pattern.ends_with('/') && !line.pattern.contains('*'));
        let one_path = self.inside == Inside::Nothing && self.place != Place::NestedWithoutSetter;
        one_path && one_form && path.split('/').skip(1).all(plain) && self.target != "*"
    }

    /// Whether the entry that matched accepts this request.
    fn may(&self, line: Option<&tower_api_key::routes::Route>) -> bool {
        let by = |requirement: &Requirement| self.access.as_ref().is_some_and(|access| requirement.is_met_by(access));
        match (line.map(|line| &line.rule), self.unlisted) {
            (Some(Rule::Public), _) => true,
            (Some(Rule::Requires(requirement)), _) => by(requirement),
            (None, Unlisted::Deny) => false,
            (None, Unlisted::FullAccess) => by(&Requirement::full_access()),
            (None, Unlisted::InsecureAnyKey) => by(&Requirement::any_key()),
        }
    }

    /// `HEAD` as `GET`.
    fn listed_method(&self) -> Method {
        if self.method == Method::HEAD { Method::GET } else { self.method.clone() }
    }
}

fn by_the_layer(case: &Case, table: &RouteTable) -> Option<usize> {
    let keys = MemoryStore::new();
    if let Some(access) = &case.access {
        let digest = KeyDigest::hash(b"key");
        keys.add(KeyRecord::new(KeyId::from_u128(1), digest, "acme".parse().unwrap(), access.clone())).unwrap();
    }
    let layer = ApiKeyLayer::new(keys).routes(table.clone());
    let layer = if case.place == Place::NestedWithoutSetter { layer } else { layer.path_from(original_uri) };
    ran(case, app(case, Some(&layer)))
}

/// The listed line that decides about a path, found by trying each one, and whether a more specific pattern hides it.
fn covering<'a>(case: &'a Case, path: &str, with_prefixes: bool) -> Option<(&'a Line, bool)> {
    let mut patterns: Vec<(String, &Line)> = Vec::new();
    for line in case.lines.iter().filter(|line| line.listed) {
        patterns.push((line.pattern.clone(), line));
        let prefix = line.pattern.strip_suffix("/{*rest}").filter(|_| with_prefixes && line.rule != Rule::Public);
        patterns.extend(prefix.filter(|prefix| !prefix.is_empty()).map(|prefix| (prefix.to_owned(), line)));
        patterns.extend(prefix.map(|prefix| (format!("{prefix}/"), line)));
    }
    patterns.retain(|(pattern, _)| {
        let mut one = matchit::Router::new();
        one.insert(pattern, ()).is_ok() && one.at(path).is_ok()
    });
    // A line of its own before a catch-all whose prefix it is.
    patterns.sort_by_key(|(pattern, line)| (specificity(pattern), *pattern != line.pattern));
    let most = patterns.first().map(|(pattern, _)| specificity(pattern));
    let (pattern, line) = patterns.iter().find(|(_, line)| line.method == case.listed_method())?;
    Some((*line, most != Some(specificity(pattern))))
}

/// Less is more specific: each segment is text, text and a parameter, a parameter, or the rest.
fn specificity(pattern: &str) -> Vec<u8> {
    let segment = |segment: &str| match segment.replace("{{", "").replace("}}", "").find('{') {
        None => 0,
        Some(0) if segment.starts_with("{*") => 3,
        Some(0) => 2,
        Some(_) => 1,
    };
    pattern.split('/').map(segment).collect()
}

/// By trying each line, with or without what a catch-all covers and what a more specific pattern hides.
fn by_covering(case: &Case, with_prefixes: bool, with_hidden: bool) -> bool {
    match covering(case, &case.path(), with_prefixes) {
        Some((line, true)) => case.may_go_unlisted() && (!with_hidden || case.meets(&line.rule)),
        Some((line, false)) => {
            // A router runs the handler of the less specific line at the prefix that a catch-all covers.
            let other = covering(case, &case.path(), false).filter(|(_, hidden)| !hidden);
            case.meets(&line.rule) && other.is_none_or(|(other, _)| case.meets(&other.rule))
        }
        None => case.may_go_unlisted(),
    }
}

fn by_stripped_path(case: &Case, table: &RouteTable) -> bool {
    let path = case.path();
    let path = below(&path).filter(|_| case.place != Place::Outside).unwrap_or(path);
    matched(case, table, &path, &case.listed_method())
}

fn by_prefix(case: &Case, table: &RouteTable) -> bool {
    let path = case.path();
    let prefix = |pattern: &str| pattern.split('{').next().unwrap_or_default().to_owned();
    let matching =
        table.iter().filter(|line| line.method == case.listed_method() && path.starts_with(&prefix(&line.pattern)));
    case.may(matching.max_by_key(|line| prefix(&line.pattern).len()))
}

fn by_normalized_path(case: &Case, table: &RouteTable) -> bool {
    matched(case, table, &lenient::normalized(&case.path()), &case.listed_method())
}

fn by_pattern(case: &Case, table: &RouteTable) -> bool {
    matched(case, table, &case.path(), &case.listed_method())
}

fn by_method(case: &Case, table: &RouteTable) -> bool {
    case.method == Method::HEAD || matched(case, table, &case.path(), &case.method)
}

fn by_lower_case(case: &Case, table: &RouteTable) -> bool {
    matched(case, table, &case.path().to_lowercase(), &case.listed_method())
}

fn by_order(case: &Case, table: &RouteTable) -> bool {
    let path = case.path();
    let matches = |pattern: &str| {
        let mut one = matchit::Router::new();
        one.insert(pattern, ()).is_ok() && one.at(&path).is_ok()
    };
    case.may(table.iter().find(|line| line.method == case.listed_method() && matches(&line.pattern)))
}

/// By axum's matcher alone.
fn matched(case: &Case, table: &RouteTable, path: &str, method: &Method) -> bool {
    let mut patterns = matchit::Router::new();
    for line in table.iter() {
        // Once for each pattern.
        let _ = patterns.insert(line.pattern.clone(), line.pattern.clone());
    }
    let pattern = patterns.at(path).ok().map(|found| found.value.clone());
    case.may(table.iter().find(|line| Some(&line.pattern) == pattern.as_ref() && line.method == *method))
}

fn case() -> impl Strategy<Value = Case> {
    let listed = prop::bool::weighted(0.8);
    let lines = prop::collection::vec((method(), pattern(), rule(), listed), 1..8).prop_map(|lines| {
        // Entries that are valid together with the ones before.
        lines.into_iter().fold(Vec::new(), |mut lines, (method, pattern, rule, listed)| {
            lines.push(Line { method, pattern, rule, listed });
            if of_lines(&lines, Unlisted::Deny).is_err() {
                lines.pop();
            }
            lines
        })
    });
    let lines = lines.prop_filter("a table with an entry", |lines| !lines.is_empty());
    let unlisted = select(vec![Unlisted::Deny, Unlisted::FullAccess, Unlisted::InsecureAnyKey]);
    let inside = select(vec![Inside::Nothing, Inside::Trims, Inside::Appends]);
    let place = select(vec![Place::Outside, Place::Outside, Place::Nested, Place::NestedWithoutSetter]);
    let method = select(vec![Method::GET, Method::HEAD, Method::POST, Method::OPTIONS]);
    let access = prop_oneof![
        Just(None),
        Just(Some(Access::Full)),
        subsequence(SCOPES.to_vec(), 0..=SCOPES.len()).prop_map(|scopes| Some(Access::scoped(scopes))),
    ];
    let of_a_line = prop::option::of((any::<Index>(), any::<bool>()));
    (lines, unlisted, (place, inside), method, (target(), of_a_line), access).prop_map(
        |(lines, unlisted, (place, inside), method, (target, of_a_line), access)| {
            let of_a_line = of_a_line.map(|(line, toggled)| path_of(&line.get::<Line>(&lines).pattern, toggled));
            Case { lines, unlisted, place, inside, method, target: of_a_line.unwrap_or(target), access }
        },
    )
}

/// A path that the pattern matches, or that path with the trailing slash that it lacks or without the one it has.
fn path_of(pattern: &str, toggled: bool) -> String {
    let path = pattern.replace("{x}", "a").replace("{y}", "b").replace("{*rest}", "a").replace("{{a}}", "{a}");
    match path.strip_suffix('/') {
        _ if !toggled => path,
        Some("") => path,
        Some(without) => without.to_owned(),
        None => path + "/",
    }
}

fn method() -> impl Strategy<Value = Method> {
    select(vec![Method::GET, Method::GET, Method::GET, Method::POST, Method::POST, Method::OPTIONS])
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = select(vec!["a", "a", "a", "b", "A", "ab", "{x}", "{y}", "a{x}", "b:a", "{{a}}"]);
    let end = select(vec!["", "", "/", "/", "/{*rest}"]);
    (prop::collection::vec(segment, 0..3), end).prop_map(|(segments, end)| {
        let path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        if path.is_empty() && end.is_empty() { "/".to_owned() } else { path + end }
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let [one, two, three] = SCOPES;
    select(vec![
        Rule::Public,
        Rule::Requires(Requirement::any_key()),
        Rule::Requires(one.clone().into()),
        Rule::Requires(two.clone().into()),
        Rule::Requires(Requirement::any_of([two.clone(), three.clone()])),
        Rule::Requires(Requirement::all_and_any_of([one], [two, three])),
        Rule::Requires(Requirement::full_access()),
    ])
}

/// Plain and hostile targets, of every form that a request can have.
fn target() -> impl Strategy<Value = String> {
    let plain = || select(vec!["a", "b", "A", "ab", "c"]);
    let odd = select(vec![
        "", ".", "..", "%61", "%41", "%2f", "%2e%2e", "%5c", "a;x", ";", "a%00", "a%20b", "%", "a\\b", "b:a", "{a}",
        "{x}", "a%7d", "\u{e9}", "%25", "%2561", "...", "~", "a%3bb", "%C3%A9",
    ]);
    let segments = prop::collection::vec(prop_oneof![4 => plain().boxed(), 1 => odd.boxed()], 0..4);
    let path = (segments, select(vec!["", "", "/", "//"]), select(vec!["", "?x=/../a//;%2f"]));
    let path = path.prop_map(|(segments, end, query)| {
        let path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        format!("{}{end}{query}", if path.is_empty() { "/" } else { &path })
    });
    let form = prop_oneof![20 => Just(""), 1 => Just("http://test")];
    let target = prop_oneof![
        30 => (form, path).prop_map(|(form, path)| format!("{form}{path}")),
        1 => Just("*".to_owned()),
    ];
    target.prop_filter("a target that the crate http accepts", |target| target.parse::<Uri>().is_ok())
}
