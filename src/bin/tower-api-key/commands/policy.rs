use std::time::Duration;

use clap::Args;
use serde_json::json;
use tower_api_key::OrganizationId;
use tower_api_key::store::PolicyUpdate;

use crate::args::Options;
use crate::failure::Failure;
use crate::output::Output;
use crate::{database, values};

/// Show or set what an organization requires of its keys
///
/// Without an option that sets something, shows the policy. A policy applies to every key at once, also to older ones.
#[derive(Debug, Args)]
pub(crate) struct Policy {
    /// Organization of the policy
    #[arg(long, value_name = "ID")]
    organization: OrganizationId,

    /// Age at which keys expire, such as 90d
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    max_key_age: Option<Duration>,

    /// Let keys grow as old as their own expiry allows
    #[arg(long, conflicts_with = "max_key_age")]
    no_max_key_age: bool,

    /// Reject every key of the organization
    #[arg(long)]
    disable: bool,

    /// Accept the keys of a disabled organization again
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
}

impl Policy {
    pub(crate) async fn run(self, options: &Options) -> Result<(), Failure> {
        let keys = database::keys(options).await?;
        let (before, update) = (keys.organization_policy(&self.organization).await?, self.update());
        let policy = match update.apply(before) {
            same if same == before => same,
            _ => keys.update_organization_policy(&self.organization, update).await?,
        };
        let mut out = Output::new(options.json);
        let object = json!({
            "organization": self.organization.as_str(),
            "max_key_age_seconds": policy.max_key_age().map(|age| age.as_secs()),
            "disabled": policy.is_disabled(),
        });
        let shown_age = policy.max_key_age().map_or_else(|| "none".to_owned(), values::shown_duration);
        let state = if policy.is_disabled() { "disabled" } else { "enabled" };
        out.either(&object, &format!("maximum key age  {shown_age}\nkeys             {state}"))?;
        out.finish()
    }

    fn update(&self) -> PolicyUpdate {
        let mut update = PolicyUpdate::new();
        if self.no_max_key_age || self.max_key_age.is_some() {
            update = update.with_max_key_age(self.max_key_age);
        }
        if self.disable || self.enable {
            update = update.with_disabled(self.disable);
        }
        update
    }
}
