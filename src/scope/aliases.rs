use std::collections::BTreeMap;

use super::{Access, Scope, ScopeSet};

/// Old names of scopes that were renamed, each with its new name. The old name is read as the new one.
///
/// ```
/// use tower_api_key::scope::ScopeAliases;
/// use tower_api_key::{Access, Scope};
///
/// let (old, new) = (Scope::from_static("invoice.read"), Scope::from_static("invoices.read"));
/// let aliases = ScopeAliases::new([(old.clone(), new.clone())]);
/// assert_eq!(aliases.read(&Access::scoped([old])), Access::scoped([new]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeAliases(BTreeMap<Scope, Scope>);

impl ScopeAliases {
    /// Returns these old names with their new ones. A new name is not looked up again.
    pub fn new(aliases: impl IntoIterator<Item = (Scope, Scope)>) -> Self {
        Self(aliases.into_iter().collect())
    }

    /// Returns access in which every old name is the new one.
    #[must_use]
    pub fn read(&self, access: &Access) -> Access {
        match access {
            Access::Scoped(scopes) => Access::Scoped(self.read_set(scopes)),
            Access::Full => Access::Full,
        }
    }

    pub(crate) fn read_set(&self, scopes: &ScopeSet) -> ScopeSet {
        if !scopes.iter().any(|scope| self.0.contains_key(scope)) {
            return scopes.clone();
        }
        scopes.iter().map(|scope| self.0.get(scope).unwrap_or(scope).clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases: 191.
    #[test]
    fn alias_is_read_as_the_new_name() {
        let scopes = |names: &[&'static str]| Access::scoped(names.iter().map(|name| Scope::from_static(name)));
        let renamed = [("old", "new"), ("a", "b"), ("b", "a")];
        let renamed = renamed.map(|(old, new)| (Scope::from_static(old), Scope::from_static(new)));
        let aliases = ScopeAliases::new(renamed);
        for (stored, read) in [
            (&[][..], &[][..]),
            (&["x"], &["x"]),
            (&["old"], &["new"]),
            (&["old", "new", "x"], &["new", "x"]),
            (&["a"], &["b"]),
            (&["a", "b"], &["a", "b"]),
        ] {
            assert_eq!(aliases.read(&scopes(stored)), scopes(read), "{stored:?}");
        }
        assert_eq!(aliases.read(&Access::Full), Access::Full);
    }
}
