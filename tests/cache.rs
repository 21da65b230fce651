//! `CachedStore`, through its public interface: it saves lookups, and is never older than it promises.
#![cfg(feature = "cache")]

#[path = "cache/cancelled.rs"]
mod cancelled;
#[path = "cache/changes.rs"]
mod changes;
#[path = "cache/configured.rs"]
mod configured;
#[cfg(feature = "test-kit")]
#[path = "cache/conformance.rs"]
mod conformance;
#[path = "cache/faults.rs"]
mod faults;
#[path = "cache/first_seen.rs"]
mod first_seen;
#[path = "cache/history.rs"]
mod history;
#[path = "cache/hits.rs"]
mod hits;
#[path = "cache/marks.rs"]
mod marks;
#[path = "cache/probe.rs"]
mod probe;
#[path = "cache/revoke_race.rs"]
mod revoke_race;
#[path = "cache/shared_lookups.rs"]
mod shared_lookups;
#[path = "cache/unknown.rs"]
mod unknown;
#[path = "cache/world.rs"]
mod world;

#[path = "common/clock.rs"]
mod clock;
#[path = "common/log_lines.rs"]
mod log_lines;
#[path = "common/poll.rs"]
mod poll;
#[path = "common/reply.rs"]
mod reply;
#[path = "common/request.rs"]
mod request;
