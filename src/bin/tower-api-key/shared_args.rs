//! Arguments that several commands have.

use std::time::{Duration, SystemTime};

use clap::Args;
use tower_api_key::key::{Environment, KeyFormat, KeyId};
use tower_api_key::{Access, OrganizationId, Scope};

use crate::failure::Failure;
use crate::values;

/// One key.
#[derive(Debug, Args)]
pub(crate) struct OneKey {
    /// Organization that the key belongs to
    #[arg(long, value_name = "ID")]
    pub(crate) organization: OrganizationId,

    /// Id of the key, as `list` shows it
    #[arg(long, value_name = "ID")]
    pub(crate) id: KeyId,
}

/// One organization, or all.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Whose {
    /// Only the keys of this organization
    #[arg(long, value_name = "ID")]
    pub(crate) organization: Option<OrganizationId>,

    /// The keys of every organization
    #[arg(long)]
    pub(crate) all_organizations: bool,
}

/// What a key may do.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct AccessArgs {
    /// Scope that the key has, such as datasets.read; can be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,

    /// Every scope, and the management of keys
    #[arg(long)]
    full_access: bool,
}

impl AccessArgs {
    pub(crate) fn access(self) -> Access {
        if self.full_access { Access::Full } else { Access::scoped(self.scopes) }
    }
}

/// When a key expires.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct ExpiryArgs {
    /// Time until the key expires, such as 90d or 24h
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    expires_in: Option<Duration>,

    /// Time at which the key expires: 2027-01-31 (UTC) or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    expires_at: Option<SystemTime>,
}

impl ExpiryArgs {
    pub(crate) fn time(&self) -> Result<Option<SystemTime>, Failure> {
        let Some(duration) = self.expires_in else { return Ok(self.expires_at) };
        let time = SystemTime::now().checked_add(duration);
        time.map(Some).ok_or_else(|| Failure::usage("--expires-in: too far in the future"))
    }
}

/// In which form a new key is made.
#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    /// Prefix of the service's keys
    #[arg(
        long,
        value_name = "PREFIX",
        env = "TOWER_API_KEY_PREFIX",
        hide_env_values = true,
        default_value = "avk_",
        value_parser = values::prefix
    )]
    prefix: KeyFormat,
}

impl FormatArgs {
    pub(crate) fn prefix(&self) -> &str {
        self.prefix.prefix()
    }

    pub(crate) fn format(&self, environment: Option<&Environment>) -> KeyFormat {
        match environment {
            Some(environment) => self.prefix.clone().with_environment(environment.clone()),
            None => self.prefix.clone(),
        }
    }
}
