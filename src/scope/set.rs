use std::fmt;
use std::sync::Arc;

use super::{Scope, avala};

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
    /// Bit `n` stands for `avala::ALL[n]`.
    documented: u8,
    /// Sorted, without repeats and without documented scopes; `None` when there is none, so that equal sets
    /// have one form.
    other: Option<Arc<[Scope]>>,
}

impl ScopeSet {
    /// The most scopes one key may be issued with, and the most that is read from a stored record. Far more
    /// than a person would grant, and few enough that a check stays cheap.
    pub const MAX_LEN: usize = 256;

    /// A set without any scope.
    #[must_use]
    pub const fn empty() -> Self {
        Self { documented: 0, other: None }
    }

    /// Whether there is no scope in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.documented == 0 && self.other.is_none()
    }

    /// How many scopes are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documented.count_ones() as usize + self.others().len()
    }

    /// Whether this scope is in it, byte for byte.
    #[must_use]
    pub fn contains(&self, scope: &Scope) -> bool {
        match bit(scope) {
            Some(bit) => self.documented & bit != 0,
            None => self.has_other(scope),
        }
    }

    /// Whether every scope of `other` is in it. True of an empty `other`.
    #[must_use]
    pub fn contains_all(&self, other: &Self) -> bool {
        other.documented & !self.documented == 0 && other.others().iter().all(|scope| self.has_other(scope))
    }

    /// Whether any scope of `other` is in it. False of an empty `other`.
    #[must_use]
    pub fn contains_any(&self, other: &Self) -> bool {
        other.documented & self.documented != 0 || other.others().iter().any(|scope| self.has_other(scope))
    }

    /// The scopes: the documented ones in the documentation's order, then the others sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        let documented = avala_scopes().iter().enumerate().filter(|(n, _)| self.documented & (1 << n) != 0);
        documented.map(|(_, scope)| scope).chain(self.others())
    }

    fn others(&self) -> &[Scope] {
        self.other.as_deref().unwrap_or_default()
    }

    fn has_other(&self, scope: &Scope) -> bool {
        self.others().binary_search(scope).is_ok()
    }
}

fn avala_scopes() -> &'static [Scope; 5] {
    static ALL: [Scope; 5] = avala::ALL;
    &ALL
}

fn bit(scope: &Scope) -> Option<u8> {
    avala_scopes().iter().position(|documented| documented == scope).map(|n| 1 << n)
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let (mut documented, mut other) = (0, Vec::new());
        for scope in scopes {
            match bit(&scope) {
                Some(bit) => documented |= bit,
                None => other.push(scope),
            }
        }
        other.sort_unstable();
        other.dedup();
        Self { documented, other: (!other.is_empty()).then(|| other.into()) }
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
}
