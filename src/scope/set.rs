use std::fmt;
use std::sync::Arc;

use super::Scope;
use super::documented::Documented;

/// A set of scopes. The five documented ones take a bit each, so that checking them costs next to nothing.
///
/// ```
/// use tower_api_key::{ScopeSet, Scope, scope::avala};
///
/// let set: ScopeSet = [avala::TASKS_READ, Scope::from_static("invoices.read")].into_iter().collect();
/// assert!(set.contains(&avala::TASKS_READ));
/// assert!(!set.contains(&avala::PROJECTS_READ));
/// assert_eq!(set.to_string(), "tasks.read invoices.read");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet {
    documented: Documented,
    /// Sorted, without repeats and without documented scopes; `None` when there is none, so that equal sets
    /// have one form. Behind one pointer, since most keys have none.
    other: Option<Arc<Box<[Scope]>>>,
}

impl ScopeSet {
    /// The most scopes one key may be issued with, and the most that is read from a stored record. Far more
    /// than a person would grant, and few enough that a check stays cheap.
    pub const MAX_LEN: usize = 256;

    /// A set without any scope.
    #[must_use]
    pub const fn empty() -> Self {
        Self { documented: Documented::EMPTY, other: None }
    }

    /// Whether there is no scope in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.documented.is_empty() && self.other.is_none()
    }

    /// How many scopes are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documented.len() + self.others().len()
    }

    /// Whether this scope is in it, byte for byte.
    #[must_use]
    pub fn contains(&self, scope: &Scope) -> bool {
        match Documented::of(scope) {
            Some(documented) => self.documented.contains_all(documented),
            None => self.has_other(scope),
        }
    }

    /// Whether every scope of `other` is in it. True of an empty `other`.
    #[must_use]
    #[inline]
    pub fn contains_all(&self, other: &Self) -> bool {
        self.documented.contains_all(other.documented) && (other.other.is_none() || self.has_all(other.others()))
    }

    /// Whether any scope of `other` is in it. False of an empty `other`.
    #[must_use]
    #[inline]
    pub fn contains_any(&self, other: &Self) -> bool {
        self.documented.contains_any(other.documented) || (other.other.is_some() && self.has_any(other.others()))
    }

    /// The scopes: the documented ones in the documentation's order, then the others sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.documented.iter().chain(self.others())
    }

    fn others(&self) -> &[Scope] {
        self.other.as_ref().map_or(&[], |other| other)
    }

    // Both out of line, so that they cost nothing where every scope is a documented one.
    #[inline(never)]
    fn has_all(&self, others: &[Scope]) -> bool {
        others.iter().all(|scope| self.has_other(scope))
    }

    #[inline(never)]
    fn has_any(&self, others: &[Scope]) -> bool {
        others.iter().any(|scope| self.has_other(scope))
    }

    fn has_other(&self, scope: &Scope) -> bool {
        self.others().binary_search(scope).is_ok()
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let (mut documented, mut other) = (Documented::EMPTY, Vec::new());
        for scope in scopes {
            match Documented::of(&scope) {
                Some(one) => documented = documented.with(one),
                None => other.push(scope),
            }
        }
        other.sort_unstable();
        other.dedup();
        Self { documented, other: (!other.is_empty()).then(|| Arc::new(other.into())) }
    }
}

impl<const N: usize> From<[Scope; N]> for ScopeSet {
    fn from(scopes: [Scope; N]) -> Self {
        scopes.into_iter().collect()
    }
}

/// The names with one space between them.
impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, scope) in self.iter().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopeSet({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn names() -> impl Strategy<Value = Vec<&'static str>> {
        let all = vec![
            "datasets.read",
            "datasets.write",
            "projects.read",
            "tasks.read",
            "exports.create",
            "a",
            "b.c",
            "datasets.reads",
            "Datasets.read",
            "*",
        ];
        proptest::sample::subsequence(all.clone(), 0..=all.len()).prop_shuffle()
    }

    proptest! {
        #[test]
        fn behaves_as_a_set_of_strings(a in names(), b in names()) {
            let set = |names: &[&'static str]| names.iter().map(|name| Scope::from_static(name)).collect::<ScopeSet>();
            let model = |names: &[&'static str]| names.iter().copied().collect::<BTreeSet<_>>();
            let (set_a, set_b, model_a, model_b) = (set(&a), set(&b), model(&a), model(&b));
            prop_assert_eq!(set_a.len(), model_a.len());
            prop_assert_eq!(set_a.is_empty(), model_a.is_empty());
            prop_assert_eq!(set_a.iter().map(Scope::as_str).collect::<BTreeSet<_>>(), model_a.clone());
            prop_assert_eq!(set_a.contains_all(&set_b), model_b.is_subset(&model_a));
            prop_assert_eq!(set_a.contains_any(&set_b), !model_b.is_disjoint(&model_a));
            prop_assert_eq!(set_a == set_b, model_a == model_b);
            for name in &b {
                prop_assert_eq!(set_a.contains(&Scope::new(name).unwrap()), model_a.contains(name));
            }
        }
    }

    #[test]
    fn is_shown_as_names_with_a_space_between_them() {
        for (names, shown) in [
            (&[][..], ""),
            (&["b.c"], "b.c"),
            (&["exports.create", "datasets.read"], "datasets.read exports.create"),
            (&["b.c", "tasks.read", "a", "datasets.write"], "datasets.write tasks.read a b.c"),
        ] {
            let set: ScopeSet = names.iter().map(|name| Scope::from_static(name)).collect();
            assert_eq!(set.to_string(), shown);
            assert_eq!(format!("{set:?}"), format!("ScopeSet({shown})"));
        }
    }
}
