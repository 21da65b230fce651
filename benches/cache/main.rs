//! What a cache does for requests when a service starts, when entries expire and in a flood of invented keys; and what a
//! usage report does to them. A report in Markdown.
//!
//! ```text
//! cargo bench --features axum,cache,sqlite --bench cache
//! ```
//!
//! Clocks are real. It takes about four minutes. With the feature `postgres` and an empty database at `DATABASE_URL`, that is
//! measured as well.

mod database;
mod flood;
mod load;
mod report;
mod sql;
mod start;

use tower_api_key::BoxError;

fn main() -> Result<(), BoxError> {
    println!("# Cache\n");
    start::report()?;
    flood::report()?;
    sql::report()?;
    report::report()
}
