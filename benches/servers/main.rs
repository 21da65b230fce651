//! Compares servers: the bare route, this crate on each of its stores, and middleware written by hand on the same databases.
//!
//! ```text
//! cargo bench --all-features --bench servers
//! ```
//!
//! Each server is a process of its own on the loopback interface. Servers take turns in many short rounds, and the bare
//! server runs twice: what the second differs from the first is the error of the figures. Words at the end choose servers
//! by a part of their name, in addition to the two bare ones. `DATABASE_URL` names the Postgres server.
//! `benches/README.md` explains the tables.

#[path = "../report/bars.rs"]
mod bars;
mod contender;
mod databases;
mod first_request;
mod hand_written;
mod keys;
mod load;
mod process;
mod table;

use tower_api_key::BoxError;

use self::bars::Bars;
use self::contender::{BARE, BARE_AGAIN, CONTENDERS, Contender};
use self::databases::Databases;
use self::table::Table;

fn main() -> Result<(), BoxError> {
    // Cargo adds a flag of its own.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let [serve, name, databases] = &arguments[..]
        && serve == process::SERVE
    {
        return process::serve(name, databases);
    }
    let chosen: Vec<&Contender> = CONTENDERS.iter().filter(|contender| chooses(&arguments, contender.name)).collect();
    let databases = Databases::create()?;
    println!("# Servers\n\n{}", table::versions());
    let bars = Bars::default();
    for connections in [16, 1] {
        let table = Table::measure(&chosen, &databases, connections)?;
        table.print();
        table.check(&bars);
    }
    first_request::report(&chosen, &databases, &bars)?;
    bars.print();
    Ok(())
}

fn chooses(arguments: &[String], name: &str) -> bool {
    [BARE, BARE_AGAIN].contains(&name)
        || arguments.is_empty()
        || arguments.iter().any(|part| name.contains(part.as_str()))
}
