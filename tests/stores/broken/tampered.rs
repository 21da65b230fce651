//! A table of which any call can be replaced: what a subclass would be.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord, OrganizationPolicy};
use tower_api_key::store::{
    Changes, InsertRules, Inserted, KeyBackend, KeyCounts, KeyUpdate, KeyUsage, ListKeys, Lookup, NewRecord,
    Organizations, Page, PolicyUpdate, Replacement,
};
use tower_api_key::{BoxError, KeyStore, OrganizationId};

use crate::broken::table::{Found, FoundMany, IsPublished, Managed, Table};

/// What replaces a call: it gets the table and the arguments of the call.
type Hook<I, O> = Box<dyn Fn(Table, I) -> BoxFuture<'static, O> + Send + Sync>;

macro_rules! hooks {
    ($($on_call:ident $call:ident: $input:ty => $output:ty;)+) => {
        #[derive(Default)]
        struct Hooks {
            try_find: Option<Box<dyn Fn(&Table, &KeyDigest) -> Lookup + Send + Sync>>,
            $($call: Option<Hook<$input, $output>>,)+
        }

        impl Tampered {
            $(
                /// Replaces the call.
                pub(crate) fn $on_call<F>(mut self, hook: impl Fn(Table, $input) -> F + Send + Sync + 'static) -> Self
                where
                    F: Future<Output = $output> + Send + 'static,
                {
                    self.hooks.$call = Some(Box::new(move |table, input| hook(table, input).boxed()));
                    self
                }
            )+
        }
    };
}

hooks! {
    on_find find: KeyDigest => Found;
    on_find_many find_many: Vec<KeyDigest> => FoundMany;
    on_get get: (OrganizationId, KeyId) => Managed;
    on_list list: (Option<OrganizationId>, ListKeys) => Managed<Page>;
    on_counts counts: Option<OrganizationId> => Managed<KeyCounts>;
    on_revoke revoke: (OrganizationId, KeyId) => Managed;
    on_update update: (OrganizationId, KeyId, KeyUpdate) => Managed;
    on_organization_policy organization_policy: OrganizationId => Managed<OrganizationPolicy>;
    on_set_organization_policy set_organization_policy: (OrganizationId, OrganizationPolicy) => Managed<()>;
    on_update_policy update_policy: (OrganizationId, PolicyUpdate) => Managed<OrganizationPolicy>;
    on_record_usage record_usage: Vec<KeyUsage> => Managed<()>;
    on_insert insert: (NewRecord, InsertRules) => Managed;
    on_insert_many insert_many: (Vec<NewRecord>, InsertRules) => Managed<Vec<Inserted>>;
    on_replace replace: (OrganizationId, KeyId, Replacement, InsertRules) => Managed;
    on_purge purge: (Option<OrganizationId>, Duration, usize) => Managed<Vec<KeyId>>;
    on_erase erase: (OrganizationId, usize) => Managed<Vec<KeyId>>;
}

pub(crate) struct Tampered {
    pub(crate) table: Table,
    max_batch: usize,
    hooks: Hooks,
}

impl Tampered {
    pub(crate) fn new(table: Table) -> Self {
        Self { table, max_batch: 4, hooks: Hooks::default() }
    }

    /// Changes every record that is read.
    pub(crate) fn reads(mut self, read: fn(KeyRecord) -> KeyRecord) -> Self {
        self.table.read = read;
        self
    }

    pub(crate) fn with_max_batch(self, max_batch: usize) -> Self {
        Self { max_batch, ..self }
    }

    /// Changes every record that is inserted.
    pub(crate) fn writes(mut self, write: fn(KeyRecord) -> KeyRecord) -> Self {
        self.table.write = write;
        self
    }

    /// Publishes those changes of which this is true.
    pub(crate) fn publishes(mut self, is_published: IsPublished) -> Self {
        self.table.changes = Some((Arc::default(), is_published));
        self
    }

    pub(crate) fn on_try_find(mut self, hook: impl Fn(&Table, &KeyDigest) -> Lookup + Send + Sync + 'static) -> Self {
        self.hooks.try_find = Some(Box::new(hook));
        self
    }
}

impl KeyStore for Tampered {
    type Error = BoxError;

    async fn find(&self, digest: &KeyDigest) -> Found {
        match &self.hooks.find {
            Some(hook) => hook(self.table.clone(), *digest).await,
            None => self.table.find(digest),
        }
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> FoundMany {
        match &self.hooks.find_many {
            Some(hook) => hook(self.table.clone(), digests.to_vec()).await,
            None => {
                let mut results = vec![];
                for digest in digests {
                    results.push(self.find(digest).await);
                }
                Ok(results)
            }
        }
    }

    fn max_batch(&self) -> usize {
        self.max_batch
    }

    fn try_find(&self, digest: &KeyDigest) -> Lookup {
        self.hooks.try_find.as_ref().map_or(Lookup::Pending, |hook| hook(&self.table, digest))
    }

    fn changes(&self) -> Option<&Changes> {
        self.table.changes.as_ref().map(|(changes, _)| &**changes)
    }
}

impl KeyBackend for Tampered {
    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Managed {
        match &self.hooks.get {
            Some(hook) => hook(self.table.clone(), (organization.clone(), id)).await,
            None => self.table.get(organization, id),
        }
    }

    async fn list(&self, organizations: Organizations<'_>, query: &ListKeys) -> Managed<Page> {
        match &self.hooks.list {
            Some(hook) => hook(self.table.clone(), (one_of(organizations), query.clone())).await,
            None => self.table.list(one_of(organizations).as_ref(), query),
        }
    }

    async fn counts(&self, organizations: Organizations<'_>) -> Managed<KeyCounts> {
        match &self.hooks.counts {
            Some(hook) => hook(self.table.clone(), one_of(organizations)).await,
            None => self.table.counts(one_of(organizations).as_ref()),
        }
    }

    async fn insert(&self, record: NewRecord, rules: InsertRules) -> Managed {
        match &self.hooks.insert {
            Some(hook) => hook(self.table.clone(), (record, rules)).await,
            None => self.table.insert(record, rules),
        }
    }

    async fn insert_many(&self, records: Vec<NewRecord>, rules: InsertRules) -> Managed<Vec<Inserted>> {
        match &self.hooks.insert_many {
            Some(hook) => hook(self.table.clone(), (records, rules)).await,
            None => self.table.insert_many(records, rules),
        }
    }

    async fn update(&self, organization: &OrganizationId, id: KeyId, update: KeyUpdate) -> Managed {
        match &self.hooks.update {
            Some(hook) => hook(self.table.clone(), (organization.clone(), id, update)).await,
            None => self.table.update(organization, id, &update),
        }
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Managed {
        match &self.hooks.revoke {
            Some(hook) => hook(self.table.clone(), (organization.clone(), id)).await,
            None => self.table.revoke(organization, id),
        }
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        replacement: Replacement,
        rules: InsertRules,
    ) -> Managed {
        match &self.hooks.replace {
            Some(hook) => hook(self.table.clone(), (organization.clone(), id, replacement, rules)).await,
            None => self.table.replace(organization, id, replacement, rules),
        }
    }

    async fn purge(&self, organizations: Organizations<'_>, age: Duration, limit: usize) -> Managed<Vec<KeyId>> {
        match &self.hooks.purge {
            Some(hook) => hook(self.table.clone(), (one_of(organizations), age, limit)).await,
            None => self.table.purge(one_of(organizations).as_ref(), age, limit),
        }
    }

    async fn erase_organization(&self, organization: &OrganizationId, limit: usize) -> Managed<Vec<KeyId>> {
        match &self.hooks.erase {
            Some(hook) => hook(self.table.clone(), (organization.clone(), limit)).await,
            None => self.table.erase(organization, limit),
        }
    }

    async fn organization_policy(&self, organization: &OrganizationId) -> Managed<OrganizationPolicy> {
        match &self.hooks.organization_policy {
            Some(hook) => hook(self.table.clone(), organization.clone()).await,
            None => self.table.organization_policy(organization),
        }
    }

    async fn set_organization_policy(&self, organization: &OrganizationId, policy: OrganizationPolicy) -> Managed<()> {
        match &self.hooks.set_organization_policy {
            Some(hook) => hook(self.table.clone(), (organization.clone(), policy)).await,
            None => self.table.set_organization_policy(organization, policy),
        }
    }

    async fn update_organization_policy(
        &self,
        organization: &OrganizationId,
        update: PolicyUpdate,
    ) -> Managed<OrganizationPolicy> {
        match &self.hooks.update_policy {
            Some(hook) => hook(self.table.clone(), (organization.clone(), update)).await,
            None => {
                let policy = update.apply(self.organization_policy(organization).await?);
                self.set_organization_policy(organization, policy).await?;
                Ok(policy)
            }
        }
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Managed<()> {
        match &self.hooks.record_usage {
            Some(hook) => hook(self.table.clone(), usage.to_vec()).await,
            None => self.table.record_usage(usage),
        }
    }
}

/// `None` for all of them, as hooks get it: they own their arguments.
fn one_of(organizations: Organizations<'_>) -> Option<OrganizationId> {
    match organizations {
        Organizations::One(one) => Some(one.clone()),
        Organizations::All => None,
    }
}
