//! Compares servers: the bare route, this crate on each of its stores, middleware written by hand on the same databases, nginx,
//! and API keys in other languages.
//!
//! ```text
//! cargo bench --all-features --bench servers
//! ```
//!
//! Each server is a process of its own on the loopback interface. Servers take turns in many short rounds, and the bare
//! server runs twice: what the second differs from the first is the error of the figures. Words at the end choose servers
//! by a part of their name, in addition to the two bare ones; `rounds=6` sets the number of rounds. `DATABASE_URL` names the
//! Postgres server. What is not installed, is left out: nginx, and Node and Python with their package managers.
//! `benches/README.md` explains the tables.

#[path = "../report/bars.rs"]
mod bars;
mod contender;
mod databases;
mod first_request;
mod hand_written;
mod keys;
mod load;
mod nginx;
mod process;
mod programs;
mod routers;
mod table;

/// Middleware that the report measures as well.
#[path = "../report/peers"]
mod peers {
    #[expect(unused_macros, unused_imports, reason = "of the report alone")]
    pub(crate) mod careful;
    pub(crate) mod record;
}

use tower_api_key::BoxError;

use self::bars::Bars;
use self::contender::{CONTENDERS, Contender, How};
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
    let (rounds, words): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| argument.starts_with("rounds="));
    let rounds = rounds.last().map_or(Ok(12), |rounds| rounds["rounds=".len()..].parse())?;
    let chosen = CONTENDERS.iter().filter(|contender| {
        contender.is_bare() || words.is_empty() || words.iter().any(|word| contender.name.contains(word.as_str()))
    });
    println!("# Servers\n");
    let chosen: Vec<&Contender> = chosen.filter(|contender| is_installed(contender)).collect();
    let databases = Databases::create()?;
    println!("{}", table::versions(&databases, rounds));
    let bars = Bars::default();
    let of_one: Vec<_> =
        chosen.iter().copied().filter(|contender| contender.is_compared_with_one_connection()).collect();
    for (connections, contenders) in [(16, &chosen), (1, &of_one)] {
        let table = Table::measure(contenders, &databases, connections, rounds)?;
        table.print();
        table.check(&bars);
    }
    first_request::report(&of_one, &databases, &bars)?;
    bars.print();
    Ok(())
}

fn is_installed(contender: &Contender) -> bool {
    let installed = match &contender.how {
        How::Router(_) => Ok(()),
        How::Nginx => nginx::version().map(|_| ()),
        How::Program(program) => program.runtime.install(),
    };
    if let Err(error) = &installed {
        println!("{}: not installed ({error}).\n", contender.name);
    }
    installed.is_ok()
}
