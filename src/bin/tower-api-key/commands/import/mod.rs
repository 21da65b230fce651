//! Takes over keys that were issued elsewhere, from a file with one key on each line.

mod batch;
mod field;
mod row;
mod source;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;
use tower_api_key::OrganizationId;

use self::batch::Batch;
use self::row::Row;
use self::source::Source;
use crate::args::Options;
use crate::database;
use crate::failure::{Failure, write_error};
use crate::output::Output;
use crate::progress::Progress;
use crate::shared_args::FormatArgs;

/// Take over keys that were issued elsewhere, from CSV or JSON lines
///
/// Each row has a `name`, a `digest` (SHA-256 of the key in hexadecimal digits) or a `plaintext`, and `scopes` (separated
/// by spaces, or a list) or `full_access`. It may have `organization`, `hint`, `environment`, `allowed_networks`,
/// `metadata` (in CSV, one column for each note: `metadata.NAME`), `created_at`, `created_by`, `expires_at`,
/// `suspended`, `revoked_at`, and `last_used_at` with `request_count`. Times are RFC 3339 or Unix seconds.
///
/// A row that is invalid is named by its line and keeps no other from being imported. A key that is there already is left
/// as it is: an import that was interrupted can be repeated.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// File to read, or - for standard input
    file: PathBuf,

    /// Form of the file, by default that of its name: .csv, .jsonl or .ndjson
    #[arg(long, value_name = "FORM")]
    form: Option<Form>,

    /// Organization of the rows that name none
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,

    /// Check every row, and import none
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    format: FormatArgs,
}

/// Form of an imported file.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Form {
    /// Comma-separated values, with the names of the columns in the first line
    Csv,
    /// A JSON object on each line
    JsonLines,
}

/// What became of the rows.
#[derive(Default)]
struct Counts {
    imported: usize,
    already_there: usize,
    rejected: usize,
}

/// How many rejected rows are shown, one on each line.
const SHOWN: usize = 20;

impl Import {
    pub(crate) async fn run(self, options: &Options) -> Result<(), Failure> {
        let mut source = Source::open(&self.file, self.form)?;
        let keys = if self.dry_run { None } else { Some(database::keys(options).await?) };
        let (format, mut counts, mut progress) = (self.format.format(None), Counts::default(), Progress::new());
        let mut batch = Batch::new();
        loop {
            let next = source.next()?;
            let is_end = next.is_none();
            if let Some((line, fields)) = next {
                let row = fields.and_then(|fields| Row::read(fields, self.organization.as_ref(), &format));
                match row {
                    Ok(row) => batch.add(line, row),
                    Err(reason) => counts.reject(&mut progress, line, &reason),
                }
            }
            if batch.is_full() || is_end {
                match &keys {
                    Some(keys) => batch.import(keys, &mut counts, &mut progress).await?,
                    None => counts.imported += batch.forget(),
                }
                progress.show(|| format!("importing, {}, {}", source.progress(), counts.text(self.dry_run)));
            }
            if is_end {
                break;
            }
        }
        progress.clear();
        counts.report(options, self.dry_run)
    }
}

impl Counts {
    fn reject(&mut self, progress: &mut Progress, line: u64, reason: &str) {
        self.rejected += 1;
        if self.rejected <= SHOWN {
            progress.clear();
            write_error(&format!("line {line}: {reason}"));
        } else if self.rejected == SHOWN + 1 {
            progress.clear();
            write_error("more lines are rejected, and not shown");
        }
    }

    fn text(&self, dry_run: bool) -> String {
        let Self { imported, already_there, rejected } = self;
        if dry_run {
            format!("{imported} valid, {rejected} rejected")
        } else {
            format!("{imported} imported, {already_there} there already, {rejected} rejected")
        }
    }

    fn report(&self, options: &Options, dry_run: bool) -> Result<(), Failure> {
        let mut out = Output::new(options.json);
        let object = json!({
            "dry_run": dry_run,
            "imported": self.imported,
            "already_there": self.already_there,
            "rejected": self.rejected,
        });
        out.either(&object, &self.text(dry_run))?;
        out.finish()?;
        if self.rejected > 0 { Err(Failure::failed("some rows were rejected")) } else { Ok(()) }
    }
}
