//! The page in a real Chromium. Screenshots of every state are left in `target/console-page`.
//!
//! ```text
//! npm install --ignore-scripts --prefix target/axe axe-core@4.14.1
//! cargo test --all-features --test console browser -- --ignored --test-threads=1
//! ```

mod accessible;
mod flow;
mod foreign;
mod staff;
mod states;
mod world;
