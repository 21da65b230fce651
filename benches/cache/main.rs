//! What a cache does for requests when a service starts, when entries expire and in a flood of invented keys; and what a
//! usage report does to them. A report in Markdown.
//!
//! ```text
//! cargo bench --features axum,cache,sqlite,postgres --bench cache
//! ```
//!
//! Clocks are real. It takes about five minutes. Words at the end choose sections: `start`, `flood`, `sql` and `report`. Postgres
//! is measured with the feature `postgres` and an empty database at `DATABASE_URL`.

#[path = "../report/bars.rs"]
mod bars;
mod database;
mod flood;
mod load;
mod report;
mod sql;
mod start;

use tower_api_key::BoxError;

use self::bars::Bars;

type Section = fn(&Bars) -> Result<(), BoxError>;

const SECTIONS: [(&str, Section); 4] =
    [("start", start::report), ("flood", flood::report), ("sql", sql::report), ("report", report::report)];

fn main() -> Result<(), BoxError> {
    // Cargo adds a flag of its own.
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    println!("# Cache");
    let bars = Bars::default();
    for (_, section) in SECTIONS.iter().filter(|(name, _)| words.is_empty() || words.iter().any(|word| word == name)) {
        section(&bars)?;
    }
    bars.print();
    Ok(())
}
