//! Which line decides about a path.

use std::collections::BTreeMap;

use http::Method;
use matchit::InsertError;

use super::path::odd_escapes;
use super::pattern::{prefix_of_rest, without_names};
use super::{Route, RouteTableError, RouteTableErrorKind};

/// For each pattern the numbers of its lines by method. It is the matcher that axum uses.
#[derive(Clone, Default)]
pub(super) struct Matcher {
    patterns: matchit::Router<Methods>,
    by_method: ByMethod,
    /// Without the prefixes that catch-alls cover.
    as_written: ByMethod,
}

type Methods = Vec<(Method, usize)>;

/// For each method the lines of the patterns that list it.
#[derive(Clone, Default)]
struct ByMethod(Vec<(Method, matchit::Router<usize>)>);

/// The line for a method and a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The most specific pattern lists the method.
    Listed(usize),
    /// The most specific pattern does not list the method. This is the line of the most specific one that does.
    Hidden(usize),
    /// No pattern that matches the path lists the method.
    Nothing,
}

impl Matcher {
    /// Returns the matcher of these lines, which are sorted by pattern.
    pub(super) fn new(routes: &[Route]) -> Result<Self, RouteTableError> {
        let mut groups = groups(routes)?;
        let as_written = ByMethod::new(&groups, routes)?;
        cover_prefixes(&mut groups, routes);
        let by_method = ByMethod::new(&groups, routes)?;
        let mut patterns = matchit::Router::new();
        for Group { pattern, methods } in groups {
            let first = methods[0].1;
            insert(&mut patterns, &pattern, methods).map_err(|kind| routes[first].error(kind))?;
        }
        Ok(Self { patterns, by_method, as_written })
    }

    /// Returns the line for this method and path.
    pub(super) fn find(&self, method: &Method, path: &str) -> Found {
        let Ok(found) = self.patterns.at(path) else { return Found::Nothing };
        match found.value.iter().find(|(listed, _)| listed == method) {
            Some((_, line)) => Found::Listed(*line),
            None => self.by_method.find(method, path).map_or(Found::Nothing, Found::Hidden),
        }
    }

    /// Returns the line for this method and path where no catch-all covers its prefix.
    pub(super) fn find_as_written(&self, method: &Method, path: &str) -> Option<usize> {
        self.as_written.find(method, path)
    }

    /// Returns the methods that the most specific pattern lists.
    pub(super) fn methods(&self, path: &str) -> &[(Method, usize)] {
        self.patterns.at(path).map_or(&[], |found| found.value)
    }

    /// Returns whether only the parameters of the most specific pattern have encoded characters that a decoder takes for
    /// syntax or for plain text, and none of them has a dot segment when it is decoded.
    #[cold]
    pub(super) fn encodes_only_parameters(&self, path: &str) -> bool {
        let Ok(found) = self.patterns.at(path) else { return false };
        let in_parameters: Option<usize> = found.params.iter().map(|(_, value)| odd_escapes(value)).sum();
        in_parameters.is_some() && in_parameters == odd_escapes(path)
    }
}

impl ByMethod {
    fn new(groups: &[Group], routes: &[Route]) -> Result<Self, RouteTableError> {
        let mut all = Self::default();
        for Group { pattern, methods } in groups {
            for (method, line) in methods {
                insert(all.patterns_of(method), pattern, *line).map_err(|kind| routes[*line].error(kind))?;
            }
        }
        Ok(all)
    }

    fn find(&self, method: &Method, path: &str) -> Option<usize> {
        let (_, patterns) = self.0.iter().find(|(listed, _)| listed == method)?;
        patterns.at(path).ok().map(|found| *found.value)
    }

    fn patterns_of(&mut self, method: &Method) -> &mut matchit::Router<usize> {
        let at = self.0.iter().position(|(listed, _)| listed == method).unwrap_or_else(|| {
            self.0.push((method.clone(), matchit::Router::new()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}

impl Found {
    /// Returns the line, hidden or not.
    pub(super) const fn line(self) -> Option<usize> {
        match self {
            Self::Listed(line) | Self::Hidden(line) => Some(line),
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
    let mut lines = 0..;
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
    for (line, route) in routes.iter().enumerate().filter(|(_, route)| route.rule.requirement().is_some()) {
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
