//! `CachedStore`, through its public interface: it saves lookups, and is never older than it promises.
#![cfg(feature = "cache")]

mod batches;
mod cancelled;
mod changes;
mod configured;
#[cfg(feature = "test-kit")]
mod conformance;
mod faults;
mod first_seen;
mod history;
mod hits;
mod marks;
mod overload;
mod probe;
mod refresh;
mod revoke_race;
mod shared_lookups;
mod unknown;
mod warm;
mod world;
