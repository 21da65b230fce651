use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    change, check, completions, delete, identify, import, issue, list, migrate, policy, regenerate, revoke,
};

/// Manages the API keys in an SQLite file or a Postgres database.
///
/// A key is read from standard input and written to standard output, never taken as an argument.
#[derive(Debug, Parser)]
#[command(name = "tower-api-key", version, disable_help_subcommand = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  the command did what it was asked
  1  it failed, or did a part of it
  2  it was not asked correctly, or a change that is final needs --yes
  3  there is no such key";

const DATABASE: &str = "Database with the keys: sqlite:PATH or postgres://USER@HOST/NAME";

#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Options {
    #[arg(long, global = true, value_name = "URL", env = "DATABASE_URL", hide_env_values = true, help = DATABASE)]
    pub(crate) database: Option<String>,

    /// Print JSON, one object on each line
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Make a change that is final without asking
    #[arg(long, global = true)]
    pub(crate) yes: bool,

    /// Who makes the change, by default cli:USER
    #[arg(long, global = true, value_name = "NAME", env = "TOWER_API_KEY_ACTOR", hide_env_values = true)]
    pub(crate) actor: Option<String>,

    /// Append a line of JSON for each change to this file
    #[arg(long, global = true, value_name = "FILE", env = "TOWER_API_KEY_AUDIT_LOG", hide_env_values = true)]
    pub(crate) audit_log: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Issue(issue::Issue),
    List(list::List),
    Show(list::Show),
    Update(change::Update),
    Suspend(change::Suspend),
    Resume(change::Resume),
    Regenerate(regenerate::Regenerate),
    Revoke(revoke::Revoke),
    Identify(identify::Identify),
    Import(import::Import),
    Purge(delete::Purge),
    Erase(delete::Erase),
    Policy(policy::Policy),
    Migrate(migrate::Migrate),
    Check(check::Check),
    Completions(completions::Completions),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
