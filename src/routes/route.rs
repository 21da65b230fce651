use std::fmt;

use http::Method;

use super::RoutePattern;
use super::pattern::prefix_of_rest;
use crate::request::MatchedRoute;
use crate::scope::Requirement;

/// A line of a [`RouteTable`](super::RouteTable).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The method. `GET` includes `HEAD`.
    pub method: Method,
    /// The pattern of the path.
    pub pattern: String,
    /// What the route requires.
    pub rule: Rule,
    /// Whether its parameters may have [encoded characters](super::RoutePattern::with_encoded_parameters).
    pub encoded_parameters: bool,
    pub(super) matched: MatchedRoute,
    /// Whether its last segment is `{*rest}`.
    pub(super) takes_a_rest: bool,
}

/// What a route requires.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "code that prints rules must consider a third one")]
pub enum Rule {
    /// No key.
    Public,
    /// A key that meets the requirement.
    Requires(Requirement),
}

/// What a layer does with a request to a route that is not in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "code that prints them must consider a fourth one")]
pub enum Unlisted {
    /// Responds 404 (401 without a valid key). The default.
    #[default]
    Deny,
    /// Requires full access.
    FullAccess,
    /// Accepts any valid key.
    ///
    /// A route that is missing in the table is then open to every customer.
    InsecureAnyKey,
}

impl Route {
    pub(super) fn new(method: Method, pattern: RoutePattern, rule: Rule) -> Self {
        let RoutePattern { text, encoded_parameters } = pattern;
        let matched = MatchedRoute::new(&text);
        let takes_a_rest = prefix_of_rest(&text).is_some();
        Self { method, pattern: text, rule, encoded_parameters, matched, takes_a_rest }
    }
}

impl Rule {
    pub(super) const fn requirement(&self) -> Option<&Requirement> {
        match self {
            Self::Public => None,
            Self::Requires(requirement) => Some(requirement),
        }
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

impl fmt::Display for Unlisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deny => "denied",
            Self::FullAccess => "full access",
            Self::InsecureAnyKey => "any key",
        })
    }
}
