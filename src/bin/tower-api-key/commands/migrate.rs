use clap::Args;
use serde_json::json;

use crate::args::Options;
use crate::database::Database;
use crate::failure::Failure;
use crate::output::Output;

/// Create the key tables, or bring them up to date
///
/// A migration only adds, and services go on meanwhile, also those with an older version. Other tables are not touched.
/// An SQLite file is created if it is not there.
#[derive(Debug, Args)]
pub(crate) struct Migrate {}

impl Migrate {
    pub(crate) async fn run(self, options: &Options) -> Result<(), Failure> {
        let database = Database::create(options).await?;
        let before = database.schema_version().await?;
        database.migrate().await?;
        let after = database.schema_version().await?;
        let mut out = Output::new(options.json);
        let text = if before == after {
            format!("The key tables are at version {after} already.")
        } else {
            format!("The key tables are at version {after} now, and were at version {before}.")
        };
        out.either(&json!({ "version_before": before, "version": after }), &text)?;
        out.finish()
    }
}
