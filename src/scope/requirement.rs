use std::fmt;

use super::{Access, Scope, ScopeSet};

/// What a route requires of a key.
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
    /// Accepts any valid key, including one without scopes.
    #[must_use]
    pub const fn any_key() -> Self {
        Self(Kind::Scopes { all: ScopeSet::empty(), any: None })
    }

    /// Accepts only a key with full access. Routes that manage keys should require it.
    #[must_use]
    pub const fn full_access() -> Self {
        Self(Kind::FullAccess)
    }

    /// Requires each of these scopes. Without scopes, any key is accepted.
    pub fn all_of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self(Kind::Scopes { all: scopes.into_iter().collect(), any: None })
    }

    /// Requires at least one of these scopes. Without scopes, no key is accepted, not even one with full access.
    pub fn any_of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self::all_and_any_of([], scopes)
    }

    /// Requires each scope of `all`, and at least one of `any`.
    pub fn all_and_any_of(all: impl IntoIterator<Item = Scope>, any: impl IntoIterator<Item = Scope>) -> Self {
        Self(Kind::Scopes { all: all.into_iter().collect(), any: Some(any.into_iter().collect()) })
    }

    /// Returns every scope that the requirement names.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        let sets = match &self.0 {
            Kind::FullAccess => [None, None],
            Kind::Scopes { all, any } => [Some(all), any.as_ref()],
        };
        sets.into_iter().flatten().flat_map(ScopeSet::iter)
    }

    /// Returns the scopes that a key with this access lacks. Of scopes of which any one would do, it returns all.
    pub fn missing_scopes<'a>(&'a self, access: &'a Access) -> impl Iterator<Item = &'a Scope> {
        let (all, any) = match (&self.0, access) {
            (Kind::Scopes { all, any }, Access::Scoped(have)) => {
                (Some(all), any.as_ref().filter(|any| !have.contains_any(any)))
            }
            _ => (None, None),
        };
        [all, any].into_iter().flatten().flat_map(ScopeSet::iter).filter(|scope| !access.allows(scope))
    }

    /// Returns the sets of scopes of which a scoped key needs one. For full access, one empty set.
    #[cfg(feature = "openapi")]
    pub(crate) fn alternatives(&self) -> Vec<Vec<&Scope>> {
        match &self.0 {
            Kind::FullAccess => vec![vec![]],
            Kind::Scopes { all, any: None } => vec![all.iter().collect()],
            Kind::Scopes { all, any: Some(any) } => any.iter().map(|one| all.iter().chain([one]).collect()).collect(),
        }
    }

    /// Returns whether no key can meet the requirement: any of no scopes.
    #[must_use]
    pub fn is_unmeetable(&self) -> bool {
        matches!(&self.0, Kind::Scopes { any: Some(none), .. } if none.is_empty())
    }

    /// Returns whether a key with this access meets the requirement.
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

/// Requires this scope.
impl From<Scope> for Requirement {
    fn from(scope: Scope) -> Self {
        Self::all_of([scope])
    }
}

/// Writes the requirement for documentation: `datasets.read`, `any of projects.read, tasks.read`, `full access`, `any key`,
/// `no key`.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |scopes: &ScopeSet| scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(", ");
        match &self.0 {
            Kind::FullAccess => f.write_str("full access"),
            Kind::Scopes { .. } if self.is_unmeetable() => f.write_str("no key"),
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

    /// Cases: 165.
    #[test]
    fn missing_scopes_are_those_the_key_lacks() {
        let either = Requirement::all_and_any_of([EXPORTS_CREATE], [PROJECTS_READ, TASKS_READ]);
        for (requirement, has, missing) in [
            (&either, &[][..], "exports.create projects.read tasks.read"),
            (&either, &[TASKS_READ], "exports.create"),
            (&either, &[EXPORTS_CREATE], "projects.read tasks.read"),
            (&either, &[EXPORTS_CREATE, TASKS_READ], ""),
            (&Requirement::full_access(), &[TASKS_READ], ""),
            (&Requirement::any_of([]), &[TASKS_READ], ""),
        ] {
            let access = Access::scoped(has.iter().cloned());
            let scopes: Vec<_> = requirement.missing_scopes(&access).map(Scope::as_str).collect();
            assert_eq!(scopes.join(" "), missing, "{requirement} {has:?}");
            assert_eq!(requirement.missing_scopes(&Access::Full).count(), 0);
        }
    }

    #[test]
    fn requirement_is_shown_in_words() {
        let either = [TASKS_READ, PROJECTS_READ];
        for (requirement, words, scopes) in [
            (Requirement::any_key(), "any key", ""),
            (Requirement::full_access(), "full access", ""),
            (Requirement::any_of([]), "no key", ""),
            (Requirement::all_and_any_of([TASKS_READ], []), "no key", "tasks.read"),
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
            assert_eq!(requirement.is_unmeetable(), words == "no key");
            assert_eq!(requirement.is_met_by(&Access::Full), words != "no key");
        }
    }
}
