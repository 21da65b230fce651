use clap::Args;
use tower_api_key::key::{Environment, Metadata};
use tower_api_key::manage::{IssueRules, IssuedKey};
use tower_api_key::{NewKey, OrganizationId};

use crate::args::Options;
use crate::database;
use crate::failure::Failure;
use crate::output::{Output, note};
use crate::shared_args::{AccessArgs, ExpiryArgs, FormatArgs};
use crate::view::{self, KeyView};
use crate::{output, values};

/// Issue a new key and write it to standard output, this once
///
/// Standard output has the key alone, or with --json the key in `api_key`. Standard error has what is known about it.
///
/// Any scope is accepted that has a valid form. The rules of your service, such as its scope catalog and its bound on
/// active keys, are in its code, and this program does not know them.
#[derive(Debug, Args)]
pub(crate) struct Issue {
    /// Organization that the key belongs to
    #[arg(long, value_name = "ID")]
    organization: OrganizationId,

    /// What its owner calls the key
    #[arg(long)]
    name: String,

    #[command(flatten)]
    access: AccessArgs,

    #[command(flatten)]
    expiry: ExpiryArgs,

    /// Note about the key; can be given several times
    #[arg(long = "metadata", value_name = "NAME=VALUE", value_parser = values::entry)]
    metadata: Vec<(String, String)>,

    /// Network that the key may be used from, by default any; can be given several times
    #[arg(long = "network", value_name = "CIDR")]
    networks: Vec<String>,

    /// Environment that the key is for, such as test
    #[arg(long, value_name = "NAME")]
    environment: Option<Environment>,

    #[command(flatten)]
    format: FormatArgs,
}

impl Issue {
    pub(crate) async fn run(self, options: &Options) -> Result<(), Failure> {
        let expires_at = self.expiry.time()?;
        let metadata = Metadata::new(self.metadata).map_err(|error| Failure::usage(format!("--metadata: {error}")))?;
        let mut key = NewKey::new(self.name, self.access.access())?
            .with_expires_at(expires_at)
            .with_metadata(metadata)
            .with_environment(self.environment.clone());
        if let Some(networks) = values::networks(&self.networks)? {
            key = key.with_networks(networks);
        }
        let rules = IssueRules::new().with_format(self.format.format(self.environment.as_ref()));
        let keys = database::keys(options).await?.with_rules(rules);
        let issued = keys.issue(&self.organization, key).await?;

        let Err(unwritten) = write(options, &issued) else {
            if !options.json {
                note(&format!("Issued {} with {}.", view::named(&issued.record), view::access(&issued.record)));
                note("It is shown this once: the database has only its digest.");
            }
            return Ok(());
        };
        // No one has the key, and no one ever will.
        let named = view::named(&issued.record);
        match keys.revoke(&self.organization, issued.record.id()).await {
            Ok(_) => Err(lost(&unwritten, &format!("{named} was revoked"))),
            Err(error) => Err(lost(&unwritten, &format!("revoke {named}, which failed now: {error}"))),
        }
    }
}

/// Writes the key, and fails unless all of it was written.
pub(crate) fn write(options: &Options, issued: &IssuedKey) -> Result<(), Failure> {
    let mut out = Output::new(options.json);
    let secret = issued.secret.expose_secret();
    out.either(&KeyView::of(&issued.record).with_api_key(secret), secret)?;
    out.finish()
}

pub(crate) fn lost(unwritten: &Failure, remedy: &str) -> Failure {
    let reason = match unwritten.line() {
        "" => "standard output is closed",
        line => line,
    };
    Failure::failed(format!("the new key is lost: {reason}; {}", output::shown(remedy)))
}
