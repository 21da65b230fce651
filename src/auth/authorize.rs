//! What a layer asks a table of routes.

use std::num::NonZeroU32;

use crate::rejection::reason::Rejection;
use crate::request::{MatchedRoute, RequestHead};
use crate::scope::{Access, Requirement};

/// Decides which routes need a key, and what the key must be able to do.
pub(crate) trait Authorizer: Send + Sync {
    /// Returns the class of the route, before the key is looked up.
    fn classify(&self, request: RequestHead<'_>) -> RouteClass;

    /// Returns whether a valid key with this access may call a route of this class.
    fn authorize(&self, route: RouteClass, access: &Access) -> Result<(), Rejection>;

    /// Returns the first requirement of the route that a key with this access does not meet.
    fn unmet(&self, route: RouteClass, access: &Access) -> Option<Requirement>;

    /// Returns the pattern of this entry.
    fn pattern(&self, entry: Entry) -> &MatchedRoute;
}

/// The number of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry(NonZeroU32);

/// The class of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "routes"), expect(dead_code, reason = "without a route table, every route is unlisted"))]
pub(crate) enum RouteClass {
    /// It takes no key, by this entry.
    Public(Entry),
    /// It takes a key that meets the requirement of this entry and of the other ones.
    Listed(Entry, [Option<Entry>; 2]),
    /// The most specific pattern has no entry for the method, or no pattern matches. The entry of a less specific pattern
    /// adds its requirement.
    Unlisted(Option<Entry>),
    /// An inner router could read the target in another way.
    Ambiguous,
}

#[cfg(feature = "routes")]
impl Entry {
    /// Returns the entry with this index.
    pub(crate) fn new(index: usize) -> Self {
        let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("four billion entries are more than the memory holds"))
    }

    pub(crate) const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl RouteClass {
    /// Returns the entry of the route itself.
    pub(super) const fn entry(self) -> Option<Entry> {
        match self {
            Self::Public(entry) | Self::Listed(entry, _) => Some(entry),
            Self::Unlisted(_) | Self::Ambiguous => None,
        }
    }
}
