//! Limits in Redis, against servers that each test starts.

mod cluster;
mod counts;
mod faults;
mod processes;
mod script;
mod tls;
