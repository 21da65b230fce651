//! kill -9 under load: of Postgres, and of the service. No acknowledged change is lost.
//!
//! `KILLS` is the number of kills in each test, 5 by default:
//!
//! ```text
//! KILLS=100 cargo test --release --features postgres --test postgres kill:: -- --ignored --nocapture --test-threads=1
//! ```

mod figures;
mod load;
mod rounds;
mod service;
