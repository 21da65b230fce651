//! The documents name tests that exist.

mod cases;
mod promises;
