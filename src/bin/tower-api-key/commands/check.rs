use std::time::Instant;

use clap::Args;
use serde_json::json;
use tower_api_key::store::KeyCounts;

use crate::args::Options;
use crate::database::Database;
use crate::failure::{Failure, write_error};
use crate::output::Output;
use crate::progress::Progress;

/// Check that the database can be reached, has the right tables, and that every key can be read
///
/// Standard error names what is wrong. The exit code is 0 only if nothing is.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Do not read every key
    #[arg(long)]
    quick: bool,
}

impl Check {
    pub(crate) async fn run(self, options: &Options) -> Result<(), Failure> {
        let began = Instant::now();
        let database = Database::open(options).await?;
        let version = database.schema_version().await?;
        let reached = began.elapsed().as_millis();
        database.check_schema().await?;
        let counts = database.keys(options)?.counts_all().await?;
        let rows = if self.quick { None } else { Some(rows(&database, total(counts)).await?) };

        let mut out = Output::new(options.json);
        if options.json {
            out.object(&json!({
                "database": database.kind(),
                "reached_in_ms": u64::try_from(reached).unwrap_or(u64::MAX),
                "schema_version": version,
                "keys": {
                    "active": counts.active,
                    "suspended": counts.suspended,
                    "expired": counts.expired,
                    "revoked": counts.revoked,
                },
                "rows": rows.as_ref().map(|rows| json!({
                    "read": rows.read,
                    "undecodable": rows.undecodable,
                    "invalid": rows.invalid,
                })),
            }))?;
        } else {
            out.line(&format!("database  {}, reached in {reached} ms", database.kind()))?;
            out.line(&format!("schema    version {version}, with which this program works"))?;
            let KeyCounts { active, suspended, expired, revoked } = counts;
            out.line(&format!(
                "keys      {active} active, {suspended} suspended, {expired} expired, {revoked} revoked"
            ))?;
            if let Some(Rows { read, undecodable, invalid }) = rows {
                out.line(&format!("rows      {read} read, {undecodable} undecodable, {invalid} invalid"))?;
            }
        }
        out.finish()?;
        match rows {
            Some(Rows { undecodable, invalid, .. }) if undecodable + invalid > 0 => Err(Failure::failed(format!(
                "{undecodable} keys cannot be read and get a 503, {invalid} may grant less than they were meant to"
            ))),
            _ => Ok(()),
        }
    }
}

/// What was found in the rows.
#[derive(Clone, Copy, Default)]
struct Rows {
    read: usize,
    undecodable: usize,
    invalid: usize,
}

/// How many problems are shown, one on each line.
const SHOWN: usize = 20;

async fn rows(database: &Database, total: u64) -> Result<Rows, Failure> {
    let (mut rows, mut progress) = (Rows::default(), Progress::new());
    let checked = database.check_rows(|found| {
        let problems = found.undecodable.iter().map(ToString::to_string);
        let problems = problems.chain(found.invalid.iter().map(ToString::to_string));
        let left = SHOWN.saturating_sub(rows.undecodable + rows.invalid);
        for problem in problems.take(left) {
            progress.clear();
            write_error(&problem);
        }
        rows.read += found.read;
        rows.undecodable += found.undecodable.len();
        rows.invalid += found.invalid.len();
        progress.show(|| format!("reading keys, {} of {total}", rows.read));
    });
    checked.await?;
    Ok(rows)
}

const fn total(counts: KeyCounts) -> u64 {
    counts.active + counts.suspended + counts.expired + counts.revoked
}
