use std::fmt;

use http::Method;

use crate::scope::Requirement;

/// A line of a [`RouteTable`](crate::RouteTable).
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

/// What a route asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a third rule would have to be considered by everybody who prints them")]
pub enum Rule {
    /// Nothing, not even a key.
    Public,
    /// A key that meets this.
    Requires(Requirement),
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

impl Route {
    /// Whether its last segment is `{*rest}`.
    pub(super) fn takes_a_rest(&self) -> bool {
        self.pattern.rsplit('/').next().is_some_and(|last| last.starts_with("{*"))
    }

    /// Whether it can match a path that ends with a slash, other than the root.
    pub(super) fn takes_a_slash(&self) -> bool {
        self.takes_a_rest() || (self.pattern != "/" && self.pattern.ends_with('/'))
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

impl fmt::Display for Otherwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deny => "denied",
            Self::FullAccess => "full access",
            Self::AnyKey => "any key",
        })
    }
}
