use std::time::Duration;

use clap::Args;
use serde_json::json;
use tower_api_key::OrganizationId;

use crate::args::Options;
use crate::confirm::Confirmation;
use crate::failure::Failure;
use crate::output::{Output, shown};
use crate::shared_args::Whose;
use crate::{database, progress, values};

/// Delete keys that were revoked or have expired long ago
///
/// Keys are deleted in batches, and the service goes on meanwhile. An interrupted purge can be repeated. An imported key
/// leaves its digest, so that it cannot be imported again.
#[derive(Debug, Args)]
pub(crate) struct Purge {
    #[command(flatten)]
    whose: Whose,

    /// Only keys that ended at least this long ago, such as 90d
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    older_than: Duration,
}

/// Delete all keys and the policy of an organization, active keys too
///
/// For an organization that is deleted, or asks for its data to be. An erasure that was interrupted must be repeated.
#[derive(Debug, Args)]
pub(crate) struct Erase {
    /// Organization to erase
    #[arg(long, value_name = "ID")]
    organization: OrganizationId,
}

impl Purge {
    pub(crate) async fn run(self, options: &Options) -> Result<(), Failure> {
        let confirmation = Confirmation::of(options.yes, "a purge")?;
        let keys = database::keys(options).await?;
        let whose = match &self.whose.organization {
            Some(organization) => format!("of {}", shown(organization.as_str())),
            None => "of every organization".to_owned(),
        };
        let age = values::shown_duration(self.older_than);
        confirmation.ask(&format!("Delete the keys {whose} that ended at least {age} ago? This is final."))?;
        let deleted = progress::awaited("deleting", async {
            match &self.whose.organization {
                Some(organization) => keys.purge(organization, self.older_than).await,
                None => keys.purge_all(self.older_than).await,
            }
        });
        report(options, deleted.await?)
    }
}

impl Erase {
    pub(crate) async fn run(self, options: &Options) -> Result<(), Failure> {
        let confirmation = Confirmation::of(options.yes, "an erasure")?;
        let keys = database::keys(options).await?;
        let counts = keys.counts(&self.organization).await?;
        confirmation.ask(&format!(
            "Delete all {} keys of {}, {} of them active, and its policy? This is final.",
            counts.active + counts.suspended + counts.expired + counts.revoked,
            shown(self.organization.as_str()),
            counts.active
        ))?;
        let deleted = progress::awaited("deleting", keys.erase(&self.organization)).await?;
        report(options, deleted)
    }
}

fn report(options: &Options, deleted: usize) -> Result<(), Failure> {
    let mut out = Output::new(options.json);
    let keys = if deleted == 1 { "key" } else { "keys" };
    out.either(&json!({ "deleted": deleted }), &format!("Deleted {deleted} {keys}."))?;
    out.finish()
}
