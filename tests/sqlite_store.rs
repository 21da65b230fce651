//! `SqliteStore` on real files: migrations, durability, faults, hand-edited rows, several processes.
#![cfg(feature = "sqlite")]

#[path = "sqlite/busy.rs"]
mod busy;
#[path = "sqlite/cancelled.rs"]
mod cancelled;
#[path = "sqlite/durable.rs"]
mod durable;
#[path = "sqlite/faults.rs"]
mod faults;
#[path = "sqlite/manage.rs"]
mod manage;
#[path = "sqlite/migrations.rs"]
mod migrations;
#[path = "sqlite/nonsense.rs"]
mod nonsense;
#[path = "sqlite/previous_version.rs"]
mod previous_version;
#[path = "sqlite/processes.rs"]
mod processes;
#[path = "sqlite/support.rs"]
mod support;
#[path = "sqlite/unreadable.rs"]
mod unreadable;
#[cfg(feature = "cache")]
#[path = "sqlite/watching.rs"]
mod watching;
