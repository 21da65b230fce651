use clap::Args;

use crate::args::Options;
use crate::database;
use crate::failure::{Failure, write_error};
use crate::output::Output;
use crate::{plaintext, view};

/// Find out whose keys these are
///
/// Keys are read from standard input, one on each line. On a terminal, one key is asked for and not echoed. A key is
/// hashed, and never kept or shown.
#[derive(Debug, Args)]
pub(crate) struct Identify {}

impl Identify {
    pub(crate) async fn run(self, options: &Options) -> Result<(), Failure> {
        let plaintexts = plaintext::read()?;
        let keys = database::keys(options).await?;
        let (mut out, mut is_unknown) = (Output::new(options.json), false);
        for (line, plaintext) in plaintexts {
            if let Some(record) = keys.identify(&plaintext).await? {
                view::write(&mut out, &record)?;
            } else {
                write_error(&format!("line {line}: no organization has this key"));
                is_unknown = true;
            }
        }
        out.finish()?;
        if is_unknown { Err(Failure::not_found("").without_line()) } else { Ok(()) }
    }
}
