use std::time::Duration;

use clap::Args;
use tower_api_key::key::KeyRecord;
use tower_api_key::manage::{IssueRules, RegenerateOptions};
use tower_api_key::store::Expiry;

use super::issue;
use crate::args::Options;
use crate::confirm::Confirmation;
use crate::failure::Failure;
use crate::output::note;
use crate::shared_args::{ExpiryArgs, FormatArgs, OneKey};
use crate::{database, values, view};

/// Replace a key by a new one with the same name, access, networks and metadata
///
/// The new key is written to standard output, this once. The old key stops at once, or after an overlap. The new key
/// lives as long as the old one did, unless an expiry is named.
#[derive(Debug, Args)]
pub(crate) struct Regenerate {
    #[command(flatten)]
    key: OneKey,

    /// Time for which the old key still works, such as 1d, and never past its own expiry
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    overlap: Option<Duration>,

    #[command(flatten)]
    expiry: ExpiryArgs,

    /// Let the new key never expire
    #[arg(long, conflicts_with_all = ["expires_in", "expires_at"])]
    never_expires: bool,

    #[command(flatten)]
    format: FormatArgs,
}

impl Regenerate {
    pub(crate) async fn run(self, options: &Options) -> Result<(), Failure> {
        let confirmation = Confirmation::of(options.yes, "the end of the old key")?;
        let expiry = match self.expiry.time()? {
            Some(time) => Expiry::At(time),
            None if self.never_expires => Expiry::Never,
            None => Expiry::SameLifetime,
        };
        let keys = database::keys(options).await?;
        let old = keys.get(&self.key.organization, self.key.id).await?;
        check_prefix(&old, self.format.prefix())?;
        let end = if self.overlap.is_some() { "after the overlap" } else { "at once" };
        confirmation.ask(&format!(
            "Regenerate {}, {}? The old key stops {end}.",
            view::named(&old),
            view::last_used(&old)
        ))?;
        // The environment of a key never changes.
        let keys = keys.with_rules(IssueRules::new().with_format(self.format.format(old.environment())));
        let how = RegenerateOptions::new().with_expiry(expiry).with_overlap(self.overlap.unwrap_or_default());
        let issued = keys.regenerate(&self.key.organization, self.key.id, how).await?;
        if let Err(unwritten) = issue::write(options, &issued) {
            return Err(issue::lost(&unwritten, &format!("regenerate {}", view::named(&issued.record))));
        }
        if !options.json {
            note(&format!("Regenerated {}: it is {}.", view::named(&old), view::named(&issued.record)));
            note("The new key is shown this once: the database has only its digest.");
        }
        Ok(())
    }
}

/// A service that requires the format of its keys would reject one with another prefix.
fn check_prefix(old: &KeyRecord, prefix: &str) -> Result<(), Failure> {
    match old.hint().as_str().split_once("...") {
        Some((shown, _)) if !prefix.starts_with(shown) => Err(Failure::usage(format!(
            "the old key begins with {shown}, and the new one would begin with {prefix}: pass --prefix"
        ))),
        _ => Ok(()),
    }
}
