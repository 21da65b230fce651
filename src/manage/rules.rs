use std::time::Duration;

use super::ManageError;
use crate::key::{Environment, KeyFormat};
use crate::manage::new_key::NewKey;
use crate::scope::{Access, ScopeAliases, ScopeCatalog, ScopeSet};
use crate::store::InsertRules;

/// What a manager requires of new keys. By default keys have the documented format and any scopes, and may live for ever.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::key::{Environment, KeyFormat};
/// use tower_api_key::manage::IssueRules;
/// use tower_api_key::scope::avala;
///
/// let live = KeyFormat::new("acme_")?.with_environment(Environment::from_static("live"));
/// let test = KeyFormat::new("acme_test_")?.with_environment(Environment::from_static("test"));
/// let rules = IssueRules::new()
///     .with_formats([live, test])
///     .with_catalog(avala::catalog())
///     .with_max_active_keys(100)
///     .with_longest_lifetime(Duration::from_secs(365 * 24 * 60 * 60));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct IssueRules {
    format: KeyFormat,
    other_formats: Vec<KeyFormat>,
    catalog: Option<ScopeCatalog>,
    grantable: Option<ScopeSet>,
    aliases: ScopeAliases,
    insert: InsertRules,
}

impl IssueRules {
    /// Returns the default rules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Issues keys in this format, in place of earlier ones.
    #[must_use]
    pub fn with_format(self, format: KeyFormat) -> Self {
        self.with_formats([format])
    }

    /// Issues keys in these formats, in place of earlier ones. A key is in the first one, unless it names the
    /// [environment](NewKey::with_environment) of another one. Without a format, nothing changes.
    #[must_use]
    pub fn with_formats(mut self, formats: impl IntoIterator<Item = KeyFormat>) -> Self {
        let mut formats = formats.into_iter();
        if let Some(first) = formats.next() {
            self.format = first;
            self.other_formats = formats.collect();
        }
        self
    }

    /// Rejects a new key with a scope that is not in this catalog.
    #[must_use]
    pub fn with_catalog(mut self, catalog: ScopeCatalog) -> Self {
        self.catalog = Some(catalog);
        self
    }

    /// Grants new keys these scopes alone, and not full access, which includes every scope. An imported key keeps what it
    /// has.
    #[must_use]
    pub fn with_grantable_scopes(mut self, scopes: impl Into<ScopeSet>) -> Self {
        self.grantable = Some(scopes.into());
        self
    }

    /// Reads the old name of a renamed scope as the new one, in new keys, imported keys and updates. For keys that are
    /// stored with the old name, see [`SqlStore::with_scope_aliases`](crate::store::SqlStore::with_scope_aliases).
    #[must_use]
    pub fn with_scope_aliases(mut self, aliases: ScopeAliases) -> Self {
        self.aliases = aliases;
        self
    }

    /// Limits an organization to this many active keys. A suspended key counts, as does the old key of an overlap.
    #[must_use]
    pub const fn with_max_active_keys(mut self, keys: u64) -> Self {
        self.insert = self.insert.with_max_active(keys);
        self
    }

    /// Lets a new key without an expiry expire after this time.
    #[must_use]
    pub const fn with_default_lifetime(mut self, lifetime: Duration) -> Self {
        self.insert = self.insert.with_default_lifetime(lifetime);
        self
    }

    /// Rejects a new key that expires later than after this time, or never. A key that is regenerated with its old
    /// lifetime gets this one if it is shorter.
    #[must_use]
    pub const fn with_longest_lifetime(mut self, lifetime: Duration) -> Self {
        self.insert = self.insert.with_longest_lifetime(lifetime);
        self
    }

    /// Rejects a new key that never expires.
    #[must_use]
    pub const fn with_expiry_required(mut self) -> Self {
        self.insert = self.insert.with_expiry_required();
        self
    }

    /// Returns the format of new keys without an environment.
    #[must_use]
    pub const fn format(&self) -> &KeyFormat {
        &self.format
    }

    /// Returns every format of new keys.
    pub fn formats(&self) -> impl Iterator<Item = &KeyFormat> {
        std::iter::once(&self.format).chain(&self.other_formats)
    }

    /// Returns the scopes that new keys may have, if they are limited.
    #[must_use]
    pub const fn catalog(&self) -> Option<&ScopeCatalog> {
        self.catalog.as_ref()
    }

    /// Returns the rules that the store checks.
    #[must_use]
    pub const fn insert_rules(&self) -> InsertRules {
        self.insert
    }

    /// Returns the format of a new key for this environment.
    pub(super) fn format_of(&self, environment: Option<&Environment>) -> Result<&KeyFormat, ManageError> {
        let Some(asked) = environment else { return Ok(&self.format) };
        let found = self.formats().find(|format| format.environment() == Some(asked));
        found.ok_or_else(|| ManageError::UnknownEnvironment(asked.clone()))
    }

    /// Returns the format of the key that replaces one of this environment. A key of no format here gets the first one.
    pub(super) fn format_like(&self, environment: Option<&Environment>) -> &KeyFormat {
        self.format_of(environment).unwrap_or(&self.format)
    }

    pub(super) const fn has_one_format(&self) -> bool {
        self.other_formats.is_empty()
    }

    pub(super) fn aliases(&self) -> &ScopeAliases {
        &self.aliases
    }

    /// Returns the scopes that new keys may have, if full access is not granted.
    #[cfg(feature = "console")]
    pub(crate) const fn grantable(&self) -> Option<&ScopeSet> {
        self.grantable.as_ref()
    }

    /// Returns whether every scope is known, by its present or an old name.
    #[cfg(feature = "console")]
    pub(crate) fn knows(&self, scopes: &ScopeSet) -> bool {
        self.catalog.as_ref().is_none_or(|catalog| catalog.check_all(&self.aliases.read_set(scopes)).is_ok())
    }

    /// Returns a key whose scopes are known, by their present names.
    pub(super) fn known(&self, key: NewKey) -> Result<NewKey, ManageError> {
        let access = self.aliases.read(key.access());
        self.catalog.as_ref().map_or(Ok(()), |catalog| catalog.check(&access))?;
        Ok(key.with_access(access))
    }

    /// Returns a key whose scopes are known and may be granted.
    pub(super) fn granted(&self, key: NewKey) -> Result<NewKey, ManageError> {
        let key = self.known(key)?;
        let Some(grantable) = &self.grantable else { return Ok(key) };
        let Access::Scoped(scopes) = key.access() else { return Err(ManageError::FullAccessNotGranted) };
        match scopes.iter().find(|scope| !grantable.contains(scope)) {
            Some(scope) => Err(ManageError::ScopeNotGranted(scope.clone())),
            None => Ok(key),
        }
    }
}
