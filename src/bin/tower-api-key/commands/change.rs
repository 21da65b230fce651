use clap::Args;
use tower_api_key::Scope;
use tower_api_key::store::KeyUpdate;

use crate::args::Options;
use crate::confirm::Confirmation;
use crate::failure::Failure;
use crate::output::Output;
use crate::shared_args::{ExpiryArgs, OneKey};
use crate::{database, values, view};

/// Change a key that lives on
///
/// No update gives a key more access, more networks or more time: that takes a new key. So a change of scopes, networks
/// or expiry is final.
#[derive(Debug, Args)]
pub(crate) struct Update {
    #[command(flatten)]
    key: OneKey,

    /// New name
    #[arg(long)]
    name: Option<String>,

    /// Note to set, and to leave others as they are; can be given several times
    #[arg(long = "metadata", value_name = "NAME=VALUE", value_parser = values::entry)]
    metadata: Vec<(String, String)>,

    /// Note to remove; can be given several times
    #[arg(long = "remove-metadata", value_name = "NAME")]
    remove_metadata: Vec<String>,

    /// Scope that the key keeps: it loses all that are not named; can be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,

    /// Network, within the present ones, that the key may still be used from; can be given several times
    #[arg(long = "network", value_name = "CIDR")]
    networks: Vec<String>,

    #[command(flatten)]
    expiry: ExpiryArgs,
}

/// Reject a key until it is resumed
#[derive(Debug, Args)]
pub(crate) struct Suspend {
    #[command(flatten)]
    key: OneKey,
}

/// Accept a suspended key again
#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    key: OneKey,
}

impl Update {
    pub(crate) async fn run(self, options: &Options) -> Result<(), Failure> {
        let update = self.update()?;
        if update.is_empty() {
            return Err(Failure::usage("nothing to change: see `tower-api-key update --help`"));
        }
        let is_final = update.fields().iter().any(|field| matches!(*field, "scopes" | "networks" | "expires_at"));
        let confirmation = Confirmation::of(options.yes || !is_final, "a change of scopes, networks or expiry")?;
        let keys = database::keys(options).await?;
        if is_final && !options.yes {
            let record = keys.get(&self.key.organization, self.key.id).await?;
            confirmation.ask(&format!(
                "Change {} of {}? No update can take that back.",
                update.fields().join(", "),
                view::named(&record)
            ))?;
        }
        apply(options, keys, &self.key, update).await
    }

    fn update(&self) -> Result<KeyUpdate, Failure> {
        let mut update = KeyUpdate::new();
        if let Some(name) = &self.name {
            update = update.with_name(&**name);
        }
        for (name, value) in &self.metadata {
            update = update.with_metadata_entry(&**name, &**value);
        }
        for name in &self.remove_metadata {
            update = update.without_metadata_entry(&**name);
        }
        if !self.scopes.is_empty() {
            update = update.with_scopes(self.scopes.iter().cloned().collect::<tower_api_key::scope::ScopeSet>());
        }
        if let Some(networks) = values::networks(&self.networks)? {
            update = update.with_networks(networks);
        }
        if let Some(time) = self.expiry.time()? {
            update = update.with_expires_at(time);
        }
        Ok(update)
    }
}

impl Suspend {
    pub(crate) async fn run(self, options: &Options) -> Result<(), Failure> {
        let keys = database::keys(options).await?;
        apply(options, keys, &self.key, KeyUpdate::new().with_suspended(true)).await
    }
}

impl Resume {
    pub(crate) async fn run(self, options: &Options) -> Result<(), Failure> {
        let keys = database::keys(options).await?;
        apply(options, keys, &self.key, KeyUpdate::new().with_suspended(false)).await
    }
}

async fn apply(options: &Options, keys: database::Keys, key: &OneKey, update: KeyUpdate) -> Result<(), Failure> {
    let record = keys.update(&key.organization, key.id, update).await?;
    let mut out = Output::new(options.json);
    view::write(&mut out, &record)?;
    out.finish()
}
