//! The program `tower-api-key`: manages the keys in an SQLite file or a Postgres database.
//!
//! `src/guide/command_line.md` is its manual. A key reaches it through standard input and leaves it through standard
//! output, and is in no argument, log or message.
#![forbid(unsafe_code)]

mod actor;
mod args;
mod audit;
mod commands;
mod confirm;
mod database;
mod failure;
mod interrupt;
mod output;
mod plaintext;
mod progress;
mod shared_args;
mod table;
mod usage_error;
mod values;
mod view;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::failure::Failure;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => match run(cli) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        },
        Err(error) => usage_error::report(&error),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    // `sslmode=verify-ca` uses the provider of the process. Nothing else in this process installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    runtime.block_on(commands::run(cli))
}
