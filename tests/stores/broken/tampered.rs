//! A table of which any call can be replaced: what a subclass would be.

use futures::FutureExt;
use futures::future::BoxFuture;
use tower_api_key::{
    BoxError, Expiry, KeyDigest, KeyId, KeyManager, KeyRecord, KeyStore, KeyUsage, ListKeys, Lookup, NewKey,
    OrganizationId, OrganizationPolicy, Page, ScopeSet, StoredCredential,
};

use crate::broken::table::{Found, Managed, Table};

/// What stands in for a call: it gets the table and what the call was given.
type Hook<I, O> = Box<dyn Fn(Table, I) -> BoxFuture<'static, O> + Send + Sync>;

macro_rules! hooks {
    ($($on_call:ident $call:ident: $input:ty => $output:ty;)+) => {
        #[derive(Default)]
        struct Hooks {
            find_now: Option<Box<dyn Fn(&Table, &KeyDigest) -> Lookup + Send + Sync>>,
            $($call: Option<Hook<$input, $output>>,)+
        }

        impl Tampered {
            $(
                /// Puts this in the place of the call.
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
    on_get get: (OrganizationId, KeyId) => Managed;
    on_list list: (OrganizationId, ListKeys) => Managed<Page>;
    on_revoke revoke: (OrganizationId, KeyId) => Managed;
    on_narrow narrow: (OrganizationId, KeyId, ScopeSet) => Managed;
    on_policy policy: OrganizationId => Managed<OrganizationPolicy>;
    on_set_policy set_policy: (OrganizationId, OrganizationPolicy) => Managed<()>;
    on_record_usage record_usage: Vec<KeyUsage> => Managed<()>;
    on_insert insert: (OrganizationId, NewKey, StoredCredential) => Managed;
    on_replace replace: (OrganizationId, KeyId, Expiry, StoredCredential) => Managed;
}

pub(crate) struct Tampered {
    pub(crate) table: Table,
    hooks: Hooks,
}

impl Tampered {
    pub(crate) fn new(table: Table) -> Self {
        Self { table, hooks: Hooks::default() }
    }

    /// Changes every record that is read.
    pub(crate) fn reads(mut self, read: fn(KeyRecord) -> KeyRecord) -> Self {
        self.table.read = read;
        self
    }

    /// Changes every record that is inserted.
    pub(crate) fn writes(mut self, write: fn(KeyRecord) -> KeyRecord) -> Self {
        self.table.write = write;
        self
    }

    pub(crate) fn on_find_now(mut self, hook: impl Fn(&Table, &KeyDigest) -> Lookup + Send + Sync + 'static) -> Self {
        self.hooks.find_now = Some(Box::new(hook));
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

    fn find_now(&self, digest: &KeyDigest) -> Lookup {
        self.hooks.find_now.as_ref().map_or(Lookup::Later, |hook| hook(&self.table, digest))
    }
}

impl KeyManager for Tampered {
    async fn get(&self, organization: &OrganizationId, id: KeyId) -> Managed {
        match &self.hooks.get {
            Some(hook) => hook(self.table.clone(), (organization.clone(), id)).await,
            None => self.table.get(organization, id),
        }
    }

    async fn list(&self, organization: &OrganizationId, query: &ListKeys) -> Managed<Page> {
        match &self.hooks.list {
            Some(hook) => hook(self.table.clone(), (organization.clone(), query.clone())).await,
            None => self.table.list(organization, query),
        }
    }

    async fn revoke(&self, organization: &OrganizationId, id: KeyId) -> Managed {
        match &self.hooks.revoke {
            Some(hook) => hook(self.table.clone(), (organization.clone(), id)).await,
            None => self.table.revoke(organization, id),
        }
    }

    async fn narrow(&self, organization: &OrganizationId, id: KeyId, scopes: ScopeSet) -> Managed {
        match &self.hooks.narrow {
            Some(hook) => hook(self.table.clone(), (organization.clone(), id, scopes)).await,
            None => self.table.narrow(organization, id, &scopes),
        }
    }

    async fn policy(&self, organization: &OrganizationId) -> Managed<OrganizationPolicy> {
        match &self.hooks.policy {
            Some(hook) => hook(self.table.clone(), organization.clone()).await,
            None => self.table.policy(organization),
        }
    }

    async fn set_policy(&self, organization: &OrganizationId, policy: OrganizationPolicy) -> Managed<()> {
        match &self.hooks.set_policy {
            Some(hook) => hook(self.table.clone(), (organization.clone(), policy)).await,
            None => self.table.set_policy(organization, policy),
        }
    }

    async fn record_usage(&self, usage: &[KeyUsage]) -> Managed<()> {
        match &self.hooks.record_usage {
            Some(hook) => hook(self.table.clone(), usage.to_vec()).await,
            None => self.table.record_usage(usage),
        }
    }

    async fn insert(&self, organization: &OrganizationId, key: NewKey, credential: StoredCredential) -> Managed {
        match &self.hooks.insert {
            Some(hook) => hook(self.table.clone(), (organization.clone(), key, credential)).await,
            None => self.table.insert(organization, key, credential),
        }
    }

    async fn replace(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expiry: Expiry,
        credential: StoredCredential,
    ) -> Managed {
        match &self.hooks.replace {
            Some(hook) => hook(self.table.clone(), (organization.clone(), id, expiry, credential)).await,
            None => self.table.replace(organization, id, expiry, credential),
        }
    }
}
