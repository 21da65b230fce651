use crate::key::KeyFormat;
use crate::manage::new_key::NewKey;
use crate::scope::{ScopeCatalog, UnknownScope};

/// The format of new keys, and which scopes they may have. The default is the documented format and any scope.
#[derive(Clone, Debug, Default)]
pub struct IssueRules {
    format: KeyFormat,
    catalog: Option<ScopeCatalog>,
}

impl IssueRules {
    /// Returns the default rules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Issues keys in this format.
    #[must_use]
    pub fn with_format(mut self, format: KeyFormat) -> Self {
        self.format = format;
        self
    }

    /// Rejects a new key with a scope that is not in this catalog.
    #[must_use]
    pub fn with_catalog(mut self, catalog: ScopeCatalog) -> Self {
        self.catalog = Some(catalog);
        self
    }

    /// Returns the format of new keys.
    #[must_use]
    pub const fn format(&self) -> &KeyFormat {
        &self.format
    }

    /// Returns the scopes that new keys may have, if they are limited.
    #[must_use]
    pub const fn catalog(&self) -> Option<&ScopeCatalog> {
        self.catalog.as_ref()
    }

    pub(super) fn check(&self, key: &NewKey) -> Result<(), UnknownScope> {
        self.catalog.as_ref().map_or(Ok(()), |catalog| catalog.check(key.access()))
    }
}
