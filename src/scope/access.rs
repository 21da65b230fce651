use super::{Scope, ScopeSet};

/// What a key may do.
///
/// Full access is a variant of its own, never an empty list of scopes: `Access::Scoped(ScopeSet::empty())` grants nothing.
///
/// ```
/// use tower_api_key::{Access, scope::avala};
///
/// let access = Access::scoped([avala::TASKS_READ]);
/// assert!(access.allows(&avala::TASKS_READ));
/// assert!(!access.allows(&avala::DATASETS_READ));
/// assert!(Access::Full.allows(&avala::DATASETS_READ));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a third kind of access must break every match on it")]
pub enum Access {
    /// Everything the organization may do.
    Full,
    /// These scopes and nothing else.
    Scoped(ScopeSet),
}

impl Access {
    /// Returns access to these scopes and nothing else.
    pub fn scoped(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self::Scoped(scopes.into_iter().collect())
    }

    /// Applies the documented rule of the form in which a person creates a key: "no scopes selected" means full access.
    ///
    /// Call this only for a choice that a person made and confirmed, never for a list that was stored, parsed or filtered.
    /// Everywhere else, no scopes means no access.
    ///
    /// ```
    /// use tower_api_key::{Access, scope::avala};
    ///
    /// assert_eq!(Access::full_if_none_selected([]), Access::Full);
    /// let one = Access::full_if_none_selected([avala::TASKS_READ]);
    /// assert_eq!(one, Access::scoped([avala::TASKS_READ]));
    /// ```
    pub fn full_if_none_selected(scopes: impl IntoIterator<Item = Scope>) -> Self {
        match scopes.into_iter().collect::<ScopeSet>() {
            none if none.is_empty() => Self::Full,
            some => Self::Scoped(some),
        }
    }

    /// Returns whether the access includes this scope.
    #[must_use]
    pub fn allows(&self, scope: &Scope) -> bool {
        match self {
            Self::Full => true,
            Self::Scoped(scopes) => scopes.contains(scope),
        }
    }

    /// Returns whether it is full access.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full)
    }

    /// Returns the scopes of scoped access, `None` for full access.
    #[must_use]
    pub const fn scopes(&self) -> Option<&ScopeSet> {
        match self {
            Self::Full => None,
            Self::Scoped(scopes) => Some(scopes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::avala::{DATASETS_READ, TASKS_READ};

    #[test]
    fn access_without_scopes_is_not_full() {
        let (none, one) = (Access::scoped([]), Access::scoped([TASKS_READ]));
        for (access, is_full, tasks, datasets) in
            [(&Access::Full, true, true, true), (&none, false, false, false), (&one, false, true, false)]
        {
            assert_eq!(access.is_full(), is_full);
            assert_eq!((access.allows(&TASKS_READ), access.allows(&DATASETS_READ)), (tasks, datasets));
        }
        assert_eq!(Access::Full.scopes(), None);
        assert_eq!(one.scopes(), Some(&ScopeSet::from([TASKS_READ])));
        assert_eq!(Access::full_if_none_selected([]), Access::Full);
        assert_eq!(Access::full_if_none_selected([TASKS_READ]), one);
    }
}
