//! Mission Control, the page of the reference server, in a real browser: Chromium, driven through its `WebDriver`.
//!
//! ```text
//! cargo test --all-features --test mission_control -- --ignored
//! ```
//!
//! Debian's packages are `chromium` and `chromium-driver`. What it saw is left in `target/mission-control`.
#![cfg(all(feature = "axum", feature = "cache", feature = "postgres", feature = "sqlite", feature = "throttle"))]

#[path = "mission_control/mod.rs"]
mod mission_control;
