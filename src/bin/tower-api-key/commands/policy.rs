use std::time::Duration;

use clap::Args;
use serde_json::json;
use tower_api_key::OrganizationId;
use tower_api_key::key::OrganizationPolicy;

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
        let before = keys.organization_policy(&self.organization).await?;
        let policy = self.changed(before);
        if policy != before {
            keys.set_organization_policy(&self.organization, policy).await?;
        }
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

    fn changed(&self, before: OrganizationPolicy) -> OrganizationPolicy {
        let age = if self.no_max_key_age { None } else { self.max_key_age.or_else(|| before.max_key_age()) };
        let is_disabled = self.disable || before.is_disabled() && !self.enable;
        let policy = OrganizationPolicy::default().with_disabled(is_disabled);
        age.map_or(policy, |age| policy.with_max_key_age(age))
    }
}
