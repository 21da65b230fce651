//! Which line decides about a path.

use http::Method;
use matchit::InsertError;

use super::pattern::prefix_of_rest;
use super::tree::Tree;
use super::twins::Shapes;
use super::{Route, RouteTableError, RouteTableErrorKind};
use crate::auth::Entry;

/// Finds the line of a path, and that of its twin: the same path with the trailing slash that it lacks, or without the one
/// that it has.
#[derive(Clone, Default)]
pub(super) struct Matcher {
    patterns: Tree<Pattern>,
}

/// The lines of a pattern.
#[derive(Clone, Default)]
struct Pattern {
    lines: Vec<Line>,
    twins: Twins,
}

/// A line, for one of the patterns that it decides about.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) method: Method,
    pub(super) entry: Entry,
    /// Whether the pattern is that of the line, and not a prefix that its catch-all covers.
    is_own: bool,
}

/// Whether the twin of a path can be listed by a line without `{*rest}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Twins {
    /// By none.
    None,
    #[default]
    Possible,
}

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
        check_patterns(routes)?;
        let mut patterns = Tree::default();
        for (entry, Route { method, pattern, .. }) in entries(routes) {
            list(&mut patterns, pattern, Line { method: method.clone(), entry, is_own: true });
        }
        let covered = cover_prefixes(&mut patterns, routes);
        // What a catch-all covers is no more specific than the catch-all.
        let is_specific = |route: &&Route| !route.takes_a_rest;
        let shapes = Shapes::new(routes.iter().filter(is_specific).map(|route| &*route.pattern));
        let all = routes.iter().map(|route| &route.pattern).chain(&covered);
        for pattern in all.filter(|pattern| !shapes.may_match_twin(pattern)) {
            patterns.value(pattern).twins = Twins::None;
        }
        Ok(Self { patterns })
    }

    /// Returns the line for this method and path.
    pub(super) fn find(&self, method: &Method, path: &str) -> Found {
        let Some(found) = self.patterns.find(path, false, Some) else { return Found::Nothing };
        match found.line(method) {
            Some(line) => Found::Listed(line.entry, found.twins),
            None => self.line(method, path, false).map_or(Found::Nothing, Found::Hidden),
        }
    }

    /// Returns the line for this method and the twin of this path.
    pub(super) fn find_twin(&self, method: &Method, path: &str) -> Option<Entry> {
        match path.strip_suffix('/') {
            Some("") => None,
            Some(without) => self.line(method, without, false),
            None => self.line(method, path, true),
        }
    }

    /// Returns the line for this method and path where no catch-all covers its prefix.
    pub(super) fn find_as_written(&self, method: &Method, path: &str) -> Option<Entry> {
        self.line_if(method, path, false, |line| line.is_own)
    }

    /// Returns the lines of the most specific pattern.
    pub(super) fn lines(&self, path: &str) -> &[Line] {
        self.patterns.find(path, false, Some).map_or(&[], |pattern| &pattern.lines)
    }

    /// Returns the line of the most specific pattern that lists the method, for the path or the path and one more `slash`.
    fn line(&self, method: &Method, path: &str, slash: bool) -> Option<Entry> {
        self.line_if(method, path, slash, |_| true)
    }

    fn line_if(&self, method: &Method, path: &str, slash: bool, accept: impl Fn(&Line) -> bool) -> Option<Entry> {
        let accepted = |pattern: &Pattern| Some(pattern.line(method).filter(|line| accept(line))?.entry);
        self.patterns.find(path, slash, accepted)
    }
}

impl Pattern {
    fn line(&self, method: &Method) -> Option<&Line> {
        self.lines.iter().find(|line| line.method == *method)
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

fn entries(routes: &[Route]) -> impl Iterator<Item = (Entry, &Route)> {
    (0..).map(Entry::new).zip(routes)
}

/// Checks the patterns and that no two of them are equally specific, by the matcher that axum uses.
fn check_patterns(routes: &[Route]) -> Result<(), RouteTableError> {
    let mut patterns = matchit::Router::new();
    routes.chunk_by(|a, b| a.pattern == b.pattern).try_for_each(|routes| {
        let checked = patterns.insert(&routes[0].pattern, ());
        checked.map_err(|error| {
            routes[0].error(match error {
                InsertError::Conflict { with } => RouteTableErrorKind::Conflict { with },
                error => RouteTableErrorKind::Malformed { reason: error.to_string() },
            })
        })
    })
}

/// Lets each line such as `/api/{*path}` that requires a key decide about `/api` and `/api/` too, which no other line names.
/// Returns these prefixes.
fn cover_prefixes(patterns: &mut Tree<Pattern>, routes: &[Route]) -> Vec<String> {
    let mut covered = Vec::new();
    for (entry, route) in entries(routes).filter(|(_, route)| route.rule.requirement().is_some()) {
        let Some(prefix) = prefix_of_rest(&route.pattern) else { continue };
        // The prefix of `/{*path}` is the root alone.
        for pattern in [prefix.to_owned(), format!("{prefix}/")].into_iter().filter(|pattern| !pattern.is_empty()) {
            list(patterns, &pattern, Line { method: route.method.clone(), entry, is_own: false });
            covered.push(pattern);
        }
    }
    covered
}

/// Adds a line to those of the pattern, unless one of them has its method.
fn list(patterns: &mut Tree<Pattern>, pattern: &str, line: Line) {
    let lines = &mut patterns.value(pattern).lines;
    if lines.iter().all(|other| other.method != line.method) {
        lines.push(line);
    }
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
