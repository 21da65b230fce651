use super::{Access, Scope, ScopeSet};

/// The scopes that a service knows. Where one is declared, issuing a key with any other scope is refused.
///
/// A key that was issued before a scope left the catalogue keeps the scope; it opens nothing that is left.
///
/// ```
/// use tower_api_key::{Access, Catalogue, Scope};
///
/// const INVOICES_READ: Scope = Scope::from_static("invoices.read");
/// let catalogue = Catalogue::new([INVOICES_READ]);
/// assert!(catalogue.check(&Access::scoped([INVOICES_READ])).is_ok());
/// let typo = Scope::from_static("invoice.read");
/// assert_eq!(catalogue.check(&Access::scoped([typo.clone()])).unwrap_err().scope(), &typo);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogue(ScopeSet);

impl Catalogue {
    /// A catalogue of these scopes.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self(scopes.into_iter().collect())
    }

    /// The scopes in it.
    #[must_use]
    pub const fn scopes(&self) -> &ScopeSet {
        &self.0
    }

    /// Checks that every scope of `access` is known.
    ///
    /// # Errors
    /// Names the first scope that is not in the catalogue.
    pub fn check(&self, access: &Access) -> Result<(), UnknownScope> {
        self.check_all(access.scopes().into_iter().flat_map(ScopeSet::iter))
    }

    pub(crate) fn check_all<'a>(&self, scopes: impl IntoIterator<Item = &'a Scope>) -> Result<(), UnknownScope> {
        match scopes.into_iter().find(|scope| !self.0.contains(scope)) {
            Some(scope) => Err(UnknownScope(scope.clone())),
            None => Ok(()),
        }
    }
}

/// A scope is not in the service's catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the scope {:?} is not in the catalogue of this service", .0.as_str())]
pub struct UnknownScope(Scope);

impl UnknownScope {
    /// The scope that is not known.
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
    fn only_what_is_in_it_is_known_and_the_first_stranger_is_named() {
        let catalogue = avala::catalogue();
        assert_eq!(catalogue.scopes(), &ScopeSet::from(avala::ALL));
        for access in [Access::Full, Access::scoped([]), Access::scoped(avala::ALL)] {
            assert_eq!(catalogue.check(&access), Ok(()));
        }
        let typo = Scope::from_static("task.read");
        let access = Access::scoped([avala::TASKS_READ, typo.clone()]);
        let unknown = catalogue.check(&access).unwrap_err();
        assert_eq!(unknown.scope(), &typo);
        assert_eq!(unknown.to_string(), "the scope \"task.read\" is not in the catalogue of this service");
    }
}
