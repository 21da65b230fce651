//! The commands, one file for each subject.

pub(crate) mod change;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod delete;
pub(crate) mod identify;
pub(crate) mod import;
pub(crate) mod issue;
pub(crate) mod list;
pub(crate) mod migrate;
pub(crate) mod policy;
pub(crate) mod regenerate;
pub(crate) mod revoke;

use crate::args::{Cli, Command};
use crate::failure::Failure;

pub(crate) async fn run(Cli { options, command }: Cli) -> Result<(), Failure> {
    match command {
        Command::Issue(issue) => issue.run(&options).await,
        Command::List(list) => list.run(&options).await,
        Command::Show(show) => show.run(&options).await,
        Command::Update(update) => update.run(&options).await,
        Command::Suspend(suspend) => suspend.run(&options).await,
        Command::Resume(resume) => resume.run(&options).await,
        Command::Regenerate(regenerate) => regenerate.run(&options).await,
        Command::Revoke(revoke) => revoke.run(&options).await,
        Command::Identify(identify) => identify.run(&options).await,
        Command::Import(import) => import.run(&options).await,
        Command::Purge(purge) => purge.run(&options).await,
        Command::Erase(erase) => erase.run(&options).await,
        Command::Policy(policy) => policy.run(&options).await,
        Command::Migrate(migrate) => migrate.run(&options).await,
        Command::Check(check) => check.run(&options).await,
        Command::Completions(completions) => completions.run(&options),
    }
}
