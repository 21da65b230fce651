use std::fmt;

use super::{Access, Scope, ScopeSet};

/// What a route asks of the key that calls it.
///
/// ```
/// use tower_api_key::{Access, Requirement, scope::avala};
///
/// // The documented rule for tasks: `tasks.read` or `projects.read`.
/// let tasks = Requirement::any_of([avala::TASKS_READ, avala::PROJECTS_READ]);
/// assert!(tasks.is_met_by(&Access::scoped([avala::PROJECTS_READ])));
/// assert!(!tasks.is_met_by(&Access::scoped([avala::DATASETS_READ])));
/// assert!(tasks.is_met_by(&Access::Full));
///
/// let manage = Requirement::full_access();
/// assert!(!manage.is_met_by(&Access::scoped(avala::ALL)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    FullAccess,
    Scopes { all: ScopeSet, any: Option<ScopeSet> },
}

impl Requirement {
    /// Any valid key will do, one without a single scope too.
    #[must_use]
    pub const fn any_key() -> Self {
        Self(Kind::Scopes { all: ScopeSet::empty(), any: None })
    }

    /// Only a key with full access: what managing keys should ask for.
    #[must_use]
    pub const fn full_access() -> Self {
        Self(Kind::FullAccess)
    }

    /// Each of these scopes. All of nothing is [any key](Self::any_key).
    pub fn all_of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self(Kind::Scopes { all: scopes.into_iter().collect(), any: None })
    }

    /// At least one of these scopes. Any of nothing is met by no key, not even one with full access.
    pub fn any_of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self::all_and_any_of([], scopes)
    }

    /// Each of `all`, and at least one of `any` beside them.
    pub fn all_and_any_of(all: impl IntoIterator<Item = Scope>, any: impl IntoIterator<Item = Scope>) -> Self {
        Self(Kind::Scopes { all: all.into_iter().collect(), any: Some(any.into_iter().collect()) })
    }

    /// Every scope it names.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        let sets = match &self.0 {
            Kind::FullAccess => [None, None],
            Kind::Scopes { all, any } => [Some(all), any.as_ref()],
        };
        sets.into_iter().flatten().flat_map(ScopeSet::iter)
    }

    /// The sets of scopes of which a limited key needs one. For full access, one set that says nothing.
    #[cfg(feature = "openapi")]
    pub(crate) fn alternatives(&self) -> Vec<Vec<&Scope>> {
        match &self.0 {
            Kind::FullAccess => vec![vec![]],
            Kind::Scopes { all, any: None } => vec![all.iter().collect()],
            Kind::Scopes { all, any: Some(any) } => any.iter().map(|one| all.iter().chain([one]).collect()).collect(),
        }
    }

    /// Whether no key at all can meet it: any of nothing.
    #[must_use]
    pub fn is_unmeetable(&self) -> bool {
        matches!(&self.0, Kind::Scopes { any: Some(none), .. } if none.is_empty())
    }

    /// Whether a key with this access may pass.
    #[must_use]
    #[inline]
    pub fn is_met_by(&self, access: &Access) -> bool {
        match (&self.0, access) {
            (Kind::FullAccess, access) => access.is_full(),
            (Kind::Scopes { .. }, Access::Full) => !self.is_unmeetable(),
            (Kind::Scopes { all, any }, Access::Scoped(have)) => {
                have.contains_all(all) && any.as_ref().is_none_or(|any| have.contains_any(any))
            }
        }
    }
}

/// One scope is a requirement of that scope.
impl From<Scope> for Requirement {
    fn from(scope: Scope) -> Self {
        Self::all_of([scope])
    }
}

/// A sentence for documentation: `datasets.read`, `any of tasks.read, projects.read`, `full access`, `any key`.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |scopes: &ScopeSet| scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(", ");
        match &self.0 {
            Kind::FullAccess => f.write_str("full access"),
            Kind::Scopes { .. } if self.is_unmeetable() => f.write_str("nobody"),
            Kind::Scopes { all, any: None } if all.is_empty() => f.write_str("any key"),
            Kind::Scopes { all, any: None } => f.write_str(&list(all)),
            Kind::Scopes { all, any: Some(any) } if all.is_empty() => write!(f, "any of {}", list(any)),
            Kind::Scopes { all, any: Some(any) } => write!(f, "{} and any of {}", list(all), list(any)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::avala::{EXPORTS_CREATE, PROJECTS_READ, TASKS_READ};

    #[test]
    fn is_told_in_words_and_names_its_scopes() {
        let either = [TASKS_READ, PROJECTS_READ];
        for (requirement, words, scopes) in [
            (Requirement::any_key(), "any key", ""),
            (Requirement::full_access(), "full access", ""),
            (Requirement::any_of([]), "nobody", ""),
            (Requirement::all_and_any_of([TASKS_READ], []), "nobody", "tasks.read"),
            (TASKS_READ.into(), "tasks.read", "tasks.read"),
            (Requirement::all_of(either.clone()), "projects.read, tasks.read", "projects.read tasks.read"),
            (Requirement::any_of(either.clone()), "any of projects.read, tasks.read", "projects.read tasks.read"),
            (
                Requirement::all_and_any_of([EXPORTS_CREATE], either),
                "exports.create and any of projects.read, tasks.read",
                "exports.create projects.read tasks.read",
            ),
        ] {
            assert_eq!(requirement.to_string(), words);
            assert_eq!(requirement.scopes().map(Scope::as_str).collect::<Vec<_>>().join(" "), scopes);
            assert_eq!(requirement.is_unmeetable(), words == "nobody");
            assert_eq!(requirement.is_met_by(&Access::Full), words != "nobody");
        }
    }
}
