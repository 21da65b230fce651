//! Which line decides about a path.

use std::collections::BTreeMap;

use http::Method;
use matchit::InsertError;

use super::path::odd_escapes;
use super::pattern::{prefix_of_rest, without_names};
use super::twins::{Shapes, before_added_slash, has_whole_segments};
use super::{Route, RouteTableError, RouteTableErrorKind};
use crate::auth::Entry;

/// Finds the line of a path, and that of its twin: the same path with the trailing slash that it lacks, or without the one
/// that it has. It is the matcher that axum uses.
#[derive(Clone, Default)]
pub(super) struct Matcher {
    exact: Patterns<(Methods, Twins)>,
    /// The patterns that match a path with a slash added to it, without that slash. `None` where a segment is text and a
    /// parameter: `/a{b}/` matches `/a/`, and `/a{b}` does not match `/a`.
    slashed: Option<Patterns<Methods>>,
    /// Without the prefixes that catch-alls cover.
    as_written: ByMethod,
}

type Methods = Vec<(Method, Entry)>;

/// Whether the twin of a path can be listed by a line without `{*rest}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Twins {
    /// By none.
    None,
    Possible,
}

/// What each pattern has, and the lines of all by method.
#[derive(Clone)]
struct Patterns<T> {
    all: matchit::Router<T>,
    by_method: ByMethod,
}

/// For each method the lines of the patterns that list it.
#[derive(Clone, Default)]
struct ByMethod(Vec<(Method, matchit::Router<Entry>)>);

/// The line for a method and a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The most specific pattern lists the method.
    Listed(Entry, Twins),
    /// The most specific pattern does not list the method. This is the line of the most specific one that does.
    Hidden(Entry),
    /// No pattern that matches the path lists the method.
    Nothing,
}

impl Matcher {
    /// Returns the matcher of these lines, which are sorted by pattern.
    pub(super) fn new(routes: &[Route]) -> Result<Self, RouteTableError> {
        let mut groups = groups(routes)?;
        let as_written = ByMethod::new(&groups, routes)?;
        cover_prefixes(&mut groups, routes);
        let slashed = groups.iter().filter_map(|Group { pattern, methods }| {
            let pattern = before_added_slash(pattern)?.to_owned();
            Some(Group { pattern, methods: methods.clone() })
        });
        let is_simple = groups.iter().all(|group| has_whole_segments(&group.pattern));
        let slashed = match is_simple {
            true => Some(Patterns::new(slashed.collect(), routes, |_, methods| methods)?),
            false => None,
        };
        let specific =
            |Group { methods, .. }: &&Group| methods.iter().any(|(_, line)| !routes[line.index()].takes_a_rest);
        let shapes = Shapes::new(groups.iter().filter(specific).map(|group| &*group.pattern));
        let twins = |pattern: &str| match !is_simple || shapes.may_match_twin(pattern) {
            true => Twins::Possible,
            false => Twins::None,
        };
        let twins: Vec<_> = groups.iter().map(|group| twins(&group.pattern)).collect();
        let exact = Patterns::new(groups, routes, |at, methods| (methods, twins[at]))?;
        Ok(Self { exact, slashed, as_written })
    }

    /// Returns the line for this method and path.
    pub(super) fn find(&self, method: &Method, path: &str) -> Found {
        let Ok(found) = self.exact.all.at(path) else { return Found::Nothing };
        let (methods, twins) = found.value;
        match listed(methods, method) {
            Some(line) => Found::Listed(line, *twins),
            None => self.exact.by_method.find(method, path).map_or(Found::Nothing, Found::Hidden),
        }
    }

    /// Returns the line for this method and the twin of this path.
    pub(super) fn find_twin(&self, method: &Method, path: &str) -> Option<Entry> {
        match path.strip_suffix('/') {
            Some("") => None,
            Some(without) => self.find(method, without).line(),
            None => match &self.slashed {
                Some(slashed) => {
                    let found = slashed.all.at(path).ok()?;
                    listed(found.value, method).or_else(|| slashed.by_method.find(method, path))
                }
                None => self.find(method, &format!("{path}/")).line(),
            },
        }
    }

    /// Returns the line for this method and path where no catch-all covers its prefix.
    pub(super) fn find_as_written(&self, method: &Method, path: &str) -> Option<Entry> {
        self.as_written.find(method, path)
    }

    /// Returns the methods that the most specific pattern lists.
    pub(super) fn methods(&self, path: &str) -> &[(Method, Entry)] {
        self.exact.all.at(path).map_or(&[], |found| &found.value.0)
    }

    /// Returns whether only the parameters of the most specific pattern have encoded characters that a decoder takes for
    /// syntax or for plain text, and none of them has a dot segment when it is decoded.
    #[cold]
    pub(super) fn encodes_only_parameters(&self, path: &str) -> bool {
        let Ok(found) = self.exact.all.at(path) else { return false };
        let in_parameters: Option<usize> = found.params.iter().map(|(_, value)| odd_escapes(value)).sum();
        in_parameters.is_some() && in_parameters == odd_escapes(path)
    }
}

impl<T> Patterns<T> {
    /// Returns the patterns of these groups, each with what `value` makes of its number and methods.
    fn new(groups: Vec<Group>, routes: &[Route], value: impl Fn(usize, Methods) -> T) -> Result<Self, RouteTableError> {
        let by_method = ByMethod::new(&groups, routes)?;
        let mut all = matchit::Router::new();
        for (at, Group { pattern, methods }) in groups.into_iter().enumerate() {
            let first = methods[0].1.index();
            insert(&mut all, &pattern, value(at, methods)).map_err(|kind| routes[first].error(kind))?;
        }
        Ok(Self { all, by_method })
    }
}

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Self { all: matchit::Router::new(), by_method: ByMethod::default() }
    }
}

fn listed(methods: &Methods, method: &Method) -> Option<Entry> {
    methods.iter().find(|(listed, _)| listed == method).map(|(_, line)| *line)
}

impl ByMethod {
    fn new(groups: &[Group], routes: &[Route]) -> Result<Self, RouteTableError> {
        let mut all = Self::default();
        for Group { pattern, methods } in groups {
            for (method, line) in methods {
                insert(all.patterns_of(method), pattern, *line).map_err(|kind| routes[line.index()].error(kind))?;
            }
        }
        Ok(all)
    }

    fn find(&self, method: &Method, path: &str) -> Option<Entry> {
        let (_, patterns) = self.0.iter().find(|(listed, _)| listed == method)?;
        patterns.at(path).ok().map(|found| *found.value)
    }

    fn patterns_of(&mut self, method: &Method) -> &mut matchit::Router<Entry> {
        let at = self.0.iter().position(|(listed, _)| listed == method).unwrap_or_else(|| {
            self.0.push((method.clone(), matchit::Router::new()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}

impl Found {
    /// Returns the line, hidden or not.
    pub(super) const fn line(self) -> Option<Entry> {
        match self {
            Self::Listed(line, _) | Self::Hidden(line) => Some(line),
            Self::Nothing => None,
        }
    }
}

/// The lines of a pattern.
struct Group {
    pattern: String,
    methods: Methods,
}

/// Returns the lines by pattern, in their order.
fn groups(routes: &[Route]) -> Result<Vec<Group>, RouteTableError> {
    let mut patterns = matchit::Router::new();
    let mut lines = (0..).map(Entry::new);
    let groups = routes.chunk_by(|a, b| a.pattern == b.pattern).map(|routes| {
        let Route { pattern, .. } = &routes[0];
        insert(&mut patterns, pattern, ()).map_err(|kind| routes[0].error(kind))?;
        let methods = routes.iter().map(|route| route.method.clone()).zip(&mut lines).collect();
        Ok(Group { pattern: pattern.clone(), methods })
    });
    groups.collect()
}

/// Lets each line such as `/api/{*path}` that requires a key decide about `/api` and `/api/` too, which no other line names.
fn cover_prefixes(groups: &mut Vec<Group>, routes: &[Route]) {
    let mut known: BTreeMap<_, _> =
        groups.iter().enumerate().map(|(at, group)| (without_names(&group.pattern), at)).collect();
    for (line, route) in (0..).map(Entry::new).zip(routes).filter(|(_, route)| route.rule.requirement().is_some()) {
        let Some(prefix) = prefix_of_rest(&route.pattern) else { continue };
        let with_slash = format!("{prefix}/");
        // The prefix of `/{*path}` is the root alone.
        for pattern in [prefix, &with_slash].into_iter().filter(|pattern| !pattern.is_empty()) {
            let at = *known.entry(without_names(pattern)).or_insert(groups.len());
            if at == groups.len() {
                groups.push(Group { pattern: pattern.to_owned(), methods: Vec::new() });
            }
            let methods = &mut groups[at].methods;
            if methods.iter().all(|(method, _)| *method != route.method) {
                methods.push((route.method.clone(), line));
            }
        }
    }
}

fn insert<T>(patterns: &mut matchit::Router<T>, pattern: &str, value: T) -> Result<(), RouteTableErrorKind> {
    patterns.insert(pattern, value).map_err(|error| match error {
        InsertError::Conflict { with } => RouteTableErrorKind::Conflict { with },
        error => RouteTableErrorKind::Malformed { reason: error.to_string() },
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::routes::{RouteTable, Unlisted};
    use crate::scope::Requirement;

    fn pattern() -> impl Strategy<Value = String> {
        let segment = select(vec!["a", "b", "{x}", "a{x}", "{{a}}", "a", "b", "{x}", ""]);
        let end = select(vec!["", "/", "/{*rest}"]);
        (vec(segment, 0..4), end).prop_map(|(segments, end)| match format!("/{}{end}", segments.join("/")) {
            pattern if pattern.contains("//") => "/".to_owned(),
            pattern => pattern,
        })
    }

    proptest! {
        /// A table is asked about a path with a slash added to it without making that path.
        #[test]
        fn twin_is_what_the_changed_path_finds(
            lines in vec((select(vec![Method::GET, Method::PUT]), pattern()), 1..8),
            path in vec(select(vec!["a", "b", "ab", "{a}"]), 1..4),
            slash in any::<bool>(),
        ) {
            let table = lines.into_iter().fold(RouteTable::builder().unlisted(Unlisted::Deny), |table, (method, pattern)| {
                table.route(method, pattern, Requirement::any_key())
            });
            let Ok(RouteTable { routes, listed, .. }) = table.build() else { return Err(TestCaseError::reject("a conflict")) };
            let (without, with) = (format!("/{}", path.join("/")), format!("/{}/", path.join("/")));
            let (path, other) = if slash { (with, without) } else { (without, with) };
            let twin = listed.find_twin(&Method::GET, &path);
            prop_assert_eq!(twin, listed.find(&Method::GET, &other).line());
            if let Found::Listed(_, Twins::None) = listed.find(&Method::GET, &path) {
                prop_assert!(twin.is_none_or(|twin| routes[twin.index()].takes_a_rest), "{:?}", twin);
            }
        }
    }
}
