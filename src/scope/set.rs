use std::fmt;
use std::slice;
use std::sync::Arc;

use super::Scope;

/// A set of scopes. Its clones share one allocation.
///
/// ```
/// use tower_api_key::Scope;
/// use tower_api_key::scope::{ScopeSet, avala};
///
/// let set: ScopeSet = [avala::TASKS_READ, Scope::from_static("invoices.read")].into_iter().collect();
/// assert!(set.contains(&avala::TASKS_READ));
/// assert!(!set.contains(&avala::PROJECTS_READ));
/// assert_eq!(set.to_string(), "invoices.read tasks.read");
/// ```
// Sorted, without repeats, and `None` when empty, so that equal sets have one form.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet(Option<Arc<[Scope]>>);

impl ScopeSet {
    /// The most scopes that one key may have.
    pub const MAX_LEN: usize = 256;

    /// Returns a set without scopes.
    #[must_use]
    pub const fn empty() -> Self {
        Self(None)
    }

    /// Returns whether the set has no scope.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the number of scopes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Returns whether the set has this scope, byte for byte.
    #[must_use]
    pub fn contains(&self, scope: &Scope) -> bool {
        self.as_slice().binary_search(scope).is_ok()
    }

    /// Returns whether the set has every scope of `other`. True for an empty `other`.
    #[must_use]
    #[inline]
    pub fn contains_all(&self, other: &Self) -> bool {
        let (Some(own), Some(other)) = (&self.0, &other.0) else { return other.is_empty() };
        // Both are sorted, so one pass finds them all.
        let mut scopes = own.iter();
        other.iter().all(|scope| scopes.any(|own| own == scope))
    }

    /// Returns whether the set has any scope of `other`. False for an empty `other`.
    #[must_use]
    pub fn contains_any(&self, other: &Self) -> bool {
        other.iter().any(|scope| self.contains(scope))
    }

    /// Returns the scopes in sorted order.
    pub fn iter(&self) -> slice::Iter<'_, Scope> {
        self.as_slice().iter()
    }

    #[inline]
    fn as_slice(&self) -> &[Scope] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl<'a> IntoIterator for &'a ScopeSet {
    type Item = &'a Scope;
    type IntoIter = slice::Iter<'a, Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut scopes: Vec<_> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self((!scopes.is_empty()).then(|| scopes.into()))
    }
}

impl<const N: usize> From<[Scope; N]> for ScopeSet {
    fn from(scopes: [Scope; N]) -> Self {
        scopes.into_iter().collect()
    }
}

/// Writes the names in sorted order, separated by one space.
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
        let some = proptest::sample::subsequence(all.clone(), 0..=all.len()).prop_shuffle();
        // Every other case names its first scope twice.
        (some, any::<bool>()).prop_map(|(mut some, twice)| {
            some.extend(some.first().copied().filter(|_| twice));
            some
        })
    }

    proptest! {
        #[test]
        fn set_behaves_as_a_set_of_strings(a in names(), b in names()) {
            let set = |names: &[&'static str]| names.iter().map(|name| Scope::from_static(name)).collect::<ScopeSet>();
            let model = |names: &[&'static str]| names.iter().copied().collect::<BTreeSet<_>>();
            let (set_a, set_b, model_a, model_b) = (set(&a), set(&b), model(&a), model(&b));
            prop_assert_eq!(set_a.len(), model_a.len());
            prop_assert_eq!(set_a.is_empty(), model_a.is_empty());
            prop_assert!(set_a.iter().map(Scope::as_str).eq(model_a.iter().copied()));
            prop_assert!(set_a.iter().eq(&set_a));
            prop_assert_eq!(set_a.contains_all(&set_b), model_b.is_subset(&model_a));
            prop_assert_eq!(set_a.contains_any(&set_b), !model_b.is_disjoint(&model_a));
            prop_assert_eq!(set_a == set_b, model_a == model_b);
            for name in &b {
                prop_assert_eq!(set_a.contains(&Scope::new(name).unwrap()), model_a.contains(name));
            }
        }
    }

    #[test]
    fn set_is_shown_as_sorted_names() {
        for (names, shown) in [
            (&[][..], ""),
            (&["b.c"], "b.c"),
            (&["exports.create", "datasets.read"], "datasets.read exports.create"),
            (&["b.c", "tasks.read", "a", "datasets.write"], "a b.c datasets.write tasks.read"),
        ] {
            let set: ScopeSet = names.iter().map(|name| Scope::from_static(name)).collect();
            assert_eq!(set.to_string(), shown);
            assert_eq!(format!("{set:?}"), format!("ScopeSet({shown})"));
        }
        assert_eq!(ScopeSet::from([]), ScopeSet::empty());
    }
}
