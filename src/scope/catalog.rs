use super::{Access, Scope, ScopeSet};

/// The scopes that a service knows. With a catalog, issuing a key with any other scope is rejected.
///
/// A key that was issued before a scope left the catalog keeps the scope.
///
/// ```
/// use tower_api_key::scope::ScopeCatalog;
/// use tower_api_key::{Access, Scope};
///
/// const INVOICES_READ: Scope = Scope::from_static("invoices.read");
/// let catalog = ScopeCatalog::new([INVOICES_READ]);
/// assert!(catalog.check(&Access::scoped([INVOICES_READ])).is_ok());
/// let typo = Scope::from_static("invoice.read");
/// assert_eq!(catalog.check(&Access::scoped([typo.clone()])).unwrap_err().scope(), &typo);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeCatalog(ScopeSet);

impl ScopeCatalog {
    /// Returns a catalog of these scopes.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self(scopes.into_iter().collect())
    }

    /// Returns the scopes in the catalog.
    #[must_use]
    pub const fn scopes(&self) -> &ScopeSet {
        &self.0
    }

    /// Checks that every scope of `access` is known.
    ///
    /// # Errors
    /// [`UnknownScope`], which names the first scope that is not in the catalog.
    pub fn check(&self, access: &Access) -> Result<(), UnknownScope> {
        self.check_all(access.scopes().into_iter().flatten())
    }

    pub(crate) fn check_all<'a>(&self, scopes: impl IntoIterator<Item = &'a Scope>) -> Result<(), UnknownScope> {
        match scopes.into_iter().find(|scope| !self.0.contains(scope)) {
            Some(scope) => Err(UnknownScope(scope.clone())),
            None => Ok(()),
        }
    }
}

/// A scope is not in the service's catalog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the scope {:?} is not in the catalog of this service: correct its name, or add it to the catalog", .0.as_str())]
pub struct UnknownScope(Scope);

impl UnknownScope {
    /// Returns the scope that is not known.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::avala;

    #[test]
    fn catalog_names_the_unknown_scope() {
        let catalog = avala::catalog();
        assert_eq!(catalog.scopes(), &ScopeSet::from(avala::ALL));
        for access in [Access::Full, Access::scoped([]), Access::scoped(avala::ALL)] {
            assert_eq!(catalog.check(&access), Ok(()));
        }
        let typo = Scope::from_static("task.read");
        let access = Access::scoped([avala::TASKS_READ, typo.clone()]);
        let unknown = catalog.check(&access).unwrap_err();
        assert_eq!(unknown.scope(), &typo);
        assert!(unknown.to_string().starts_with("the scope \"task.read\" is not in the catalog of this service"));
    }
}
