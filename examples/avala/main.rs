//! A small Avala look-alike built on `tower_api_key` alone: sign up, get a key, scope it, list it, revoke it,
//! regenerate it. The real Avala Python SDK can use it.
//!
//! ```text
//! cargo run --example avala --all-features
//! ```
//!
//! Keys and accounts are kept in the file `avala.db`; `--store` names another place.
//!
//! Start reading at `app.rs`, which has every route and what it asks of a key.

mod accounts;
mod app;
mod audit;
mod data;
mod database;
mod form;
mod limits;
mod listing;
mod mission_control;
mod openapi;
mod operations;
mod options;
mod passwords;
mod policy;
mod prometheus;
mod reply;
mod resources;
mod routes;
mod serve;
mod signup;
mod store;
mod time;
mod unread;

use std::io::IsTerminal;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use self::options::Options;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let options = Options::from_args()?;
    log_to_stderr()?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(serve::run(options))
}

/// Logs what `RUST_LOG` asks for; by default warnings, and everything that this server reports.
fn log_to_stderr() -> Result<(), String> {
    let directives = match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.trim().is_empty() => directives,
        _ => "warn,avala=info".to_owned(),
    };
    let filter = EnvFilter::try_new(directives).map_err(|error| format!("RUST_LOG: {error}"))?;
    let colors = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colors).init();
    Ok(())
}
