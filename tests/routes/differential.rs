//! Generated tables and targets: the route that axum runs is compared with what the table required of the key.

use axum::Router;
use axum::routing::{MethodFilter, on};
use futures::executor::block_on;
use http::{Method, Uri, Version};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::test_runner::{Config, TestError, TestRunner};
use tower::{Layer, ServiceExt};
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::routes::{RouteTable, Rule, Unlisted};
use tower_api_key::{Access, ApiKeyLayer, MemoryStore, Requirement, Scope};
use tower_http::normalize_path::NormalizePathLayer;

use super::lenient;
use super::world::request;

const SCOPES: [Scope; 3] = [Scope::from_static("one"), Scope::from_static("two"), Scope::from_static("three")];

/// A router, the table of the same routes, and a request.
#[derive(Clone, Debug)]
struct Case {
    lines: Vec<Line>,
    unlisted: Unlisted,
    inside: Inside,
    method: Method,
    target: String,
    access: Option<Access>,
}

#[derive(Clone, Debug)]
struct Line {
    method: Method,
    pattern: String,
    rule: Rule,
}

/// The layer between the table and the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Nothing,
    Trims,
    Appends,
}

/// Decides from the table alone whether a request with this access may go on to the router.
type Decide = fn(&Case, &RouteTable) -> bool;

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(20_000) })]

    #[test]
    fn no_request_reaches_handler_requiring_more(case in case()) {
        check(&case, by_the_layer)?;
    }
}

/// Tables that people write by hand. The harness must find the fault of each.
#[test]
fn harness_detects_naive_tables() {
    let naive: [(&str, Decide); 6] = [
        ("prefixes", by_prefix),
        ("decoded and normalized first", by_normalized_path),
        ("ignores the layers inside", by_pattern),
        ("HEAD is a method of its own, and open", by_method),
        ("lower case", by_lower_case),
        ("the first entry that matches", by_order),
    ];
    for (name, decide) in naive {
        let mut runner = TestRunner::new(Config { cases: 200_000, failure_persistence: None, ..Config::default() });
        let result = runner.run(&case(), |case| check(&case, decide));
        assert!(matches!(result, Err(TestError::Fail(..))), "{name}: {result:?}");
    }
}

/// A request that passes the table meets the requirement of the handler that runs. The reverse holds for plain requests: a
/// table that rejects every request fails too.
fn check(case: &Case, decide: Decide) -> Result<(), TestCaseError> {
    let passes = decide(case, &table(case));
    let Some(ran) = run(case, case.inside) else { return Ok(()) };
    let Line { pattern, rule, .. } = &case.lines[ran];
    if pattern.contains("{*") && run(case, Inside::Nothing).is_some_and(|own| own != ran) {
        // A rewrite may move a path from its own route to one with `{*rest}`.
        return Ok(());
    }
    let meets = match (rule, &case.access) {
        (Rule::Public, _) => true,
        (Rule::Requires(_), None) => false,
        (Rule::Requires(requirement), Some(access)) => requirement.is_met_by(access),
    };
    prop_assert!(!passes || meets, "reached {:?}", case.lines[ran]);
    if case.is_plain() {
        prop_assert!(passes || !meets, "rejected {:?}", case.lines[ran]);
    }
    Ok(())
}

/// The entry whose handler the router runs without a table.
fn run(case: &Case, inside: Inside) -> Option<usize> {
    let response = match inside {
        Inside::Nothing => block_on(router(case).oneshot(case.request())),
        Inside::Trims => {
            block_on(NormalizePathLayer::trim_trailing_slash().layer(router(case)).oneshot(case.request()))
        }
        Inside::Appends => {
            block_on(NormalizePathLayer::append_trailing_slash().layer(router(case)).oneshot(case.request()))
        }
    };
    response.unwrap().extensions().get::<Ran>().map(|ran| ran.0)
}

#[derive(Clone, Copy)]
struct Ran(usize);

/// In the order of the entries, whereas a table sorts them.
fn router(case: &Case) -> Router {
    case.lines.iter().enumerate().fold(Router::new(), |router, (at, line)| {
        let filter = MethodFilter::try_from(line.method.clone()).unwrap();
        router.route(&line.pattern, on(filter, async move || axum::Extension(Ran(at))))
    })
}

fn table(case: &Case) -> RouteTable {
    of_lines(&case.lines, case.unlisted).unwrap()
}

fn of_lines(lines: &[Line], unlisted: Unlisted) -> Result<RouteTable, tower_api_key::routes::RouteTableError> {
    let builder = lines.iter().fold(RouteTable::builder().unlisted(unlisted), |builder, line| match &line.rule {
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

    /// Whether the request has one reading, and no entry differs from another one in its trailing slash. Then each key that
    /// meets the requirement must be accepted.
    fn is_plain(&self) -> bool {
        let path = self.path();
        let plain = |segment: &str| !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let one_form = self.lines.iter().all(|line| !line.pattern.ends_with('/') && !line.pattern.contains('*'));
        self.inside == Inside::Nothing && one_form && path.split('/').skip(1).all(plain) && self.target.starts_with('/')
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

fn by_the_layer(case: &Case, table: &RouteTable) -> bool {
    let keys = MemoryStore::new();
    if let Some(access) = &case.access {
        let digest = KeyDigest::hash(b"key");
        keys.add(KeyRecord::new(KeyId::from_u128(1), digest, "acme".parse().unwrap(), access.clone())).unwrap();
    }
    let passed = Router::new().fallback(async || axum::Extension(Ran(0)));
    let service = ApiKeyLayer::new(keys).routes(table.clone()).layer(passed);
    block_on(service.oneshot(case.request())).unwrap().extensions().get::<Ran>().is_some()
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
    let lines = prop::collection::vec((method(), pattern(), rule()), 1..8).prop_map(|lines| {
        // Entries that are valid together with the ones before.
        lines.into_iter().fold(Vec::new(), |mut lines, (method, pattern, rule)| {
            lines.push(Line { method, pattern, rule });
            if of_lines(&lines, Unlisted::Deny).is_err() {
                lines.pop();
            }
            lines
        })
    });
    let lines = lines.prop_filter("a table with an entry", |lines| !lines.is_empty());
    let unlisted = select(vec![Unlisted::Deny, Unlisted::FullAccess, Unlisted::InsecureAnyKey]);
    let inside = select(vec![Inside::Nothing, Inside::Trims, Inside::Appends]);
    let method = select(vec![Method::GET, Method::HEAD, Method::POST, Method::OPTIONS]);
    let access = prop_oneof![
        Just(None),
        Just(Some(Access::Full)),
        subsequence(SCOPES.to_vec(), 0..=SCOPES.len()).prop_map(|scopes| Some(Access::scoped(scopes))),
    ];
    let of_a_line = prop::option::of((any::<Index>(), any::<bool>()));
    (lines, unlisted, inside, method, (target(), of_a_line), access).prop_map(
        |(lines, unlisted, inside, method, (target, of_a_line), access)| {
            let of_a_line = of_a_line.map(|(line, toggled)| path_of(&line.get::<Line>(&lines).pattern, toggled));
            Case { lines, unlisted, inside, method, target: of_a_line.unwrap_or(target), access }
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
    select(vec![Method::GET, Method::GET, Method::POST])
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = select(vec!["a", "b", "A", "ab", "{x}", "{y}", "a{x}", "b:a", "{{a}}"]);
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

/// The version decides what an authority in the target means: requests made here are of HTTP/1.1.
#[test]
fn generated_requests_are_valid_http_1() {
    assert_eq!(request(&Method::GET, "/", "").version(), Version::HTTP_11);
}
