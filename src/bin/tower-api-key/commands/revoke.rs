use clap::Args;
use tower_api_key::OrganizationId;
use tower_api_key::key::{KeyId, KeyRecord};

use crate::args::Options;
use crate::confirm::Confirmation;
use crate::database::{self, Keys};
use crate::failure::{Failure, write_error};
use crate::output::Output;
use crate::plaintext::{self, Plaintext};
use crate::view::{self, KeyView};

/// Revoke keys for good: one by its id, or leaked ones by themselves
///
/// Without --id, keys are read from standard input, one on each line, whichever organizations they are of. On a
/// terminal, one key is asked for and not echoed.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// Organization that the key belongs to
    #[arg(long, value_name = "ID", requires = "id")]
    organization: Option<OrganizationId>,

    /// Id of the key, as `list` shows it
    #[arg(long, value_name = "ID", requires = "organization")]
    id: Option<KeyId>,
}

impl Revoke {
    pub(crate) async fn run(self, options: &Options) -> Result<(), Failure> {
        let confirmation = Confirmation::of(options.yes, "a revoke")?;
        if let (Some(organization), Some(id)) = (&self.organization, self.id) {
            let keys = database::keys(options).await?;
            if !options.yes {
                ask(&confirmation, &*keys.get(organization, id).await?)?;
            }
            let mut out = Output::new(options.json);
            write(&mut out, &*keys.revoke(organization, id).await?)?;
            return out.finish();
        }
        let plaintexts = plaintext::read()?;
        let keys = database::keys(options).await?;
        let mut out = Output::new(options.json);
        let mut failure = None;
        for (line, plaintext) in plaintexts {
            match revoke(&keys, &plaintext, &confirmation, options.yes).await {
                Ok(record) => write(&mut out, &record)?,
                // Each of the others must be tried: they have leaked.
                Err(error) => {
                    write_error(&format!("line {line}: {}", error.line()));
                    failure = Some(worse(failure, error));
                }
            }
        }
        out.finish()?;
        failure.map_or(Ok(()), |failure| Err(failure.without_line()))
    }
}

async fn revoke(
    keys: &Keys,
    plaintext: &Plaintext,
    confirmation: &Confirmation,
    yes: bool,
) -> Result<std::sync::Arc<KeyRecord>, Failure> {
    let unknown = || Failure::not_found("no organization has this key");
    if !yes {
        let found = keys.identify(plaintext).await?;
        ask(confirmation, &*found.ok_or_else(unknown)?)?;
    }
    keys.revoke_plaintext(plaintext).await?.ok_or_else(unknown)
}

fn ask(confirmation: &Confirmation, record: &KeyRecord) -> Result<(), Failure> {
    confirmation.ask(&format!("Revoke {}, {}? This is final.", view::named(record), view::last_used(record)))
}

fn write(out: &mut Output, record: &KeyRecord) -> Result<(), Failure> {
    out.either(&KeyView::of(record), &format!("Revoked {}.", view::named(record)))
}

/// A revoke that failed may be repeated, and counts for more than a key that is unknown.
fn worse(before: Option<Failure>, now: Failure) -> Failure {
    match before {
        Some(before) if now.is_not_found() => before,
        _ => now,
    }
}
