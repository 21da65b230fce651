//! The five scopes of the Avala documentation (API reference, "Authentication", table "Scopes").
//!
//! None implies another: `datasets.write` does not open what `datasets.read` opens.

use super::{Catalogue, Scope};

/// List and get datasets and their items.
pub const DATASETS_READ: Scope = Scope::from_static("datasets.read");
/// Create, update and delete datasets; upload items.
pub const DATASETS_WRITE: Scope = Scope::from_static("datasets.write");
/// List and get projects, their tasks and task results.
pub const PROJECTS_READ: Scope = Scope::from_static("projects.read");
/// List and get tasks and their results.
pub const TASKS_READ: Scope = Scope::from_static("tasks.read");
/// Create exports and download completed ones.
pub const EXPORTS_CREATE: Scope = Scope::from_static("exports.create");

/// All five, in the documentation's order.
pub const ALL: [Scope; 5] = [DATASETS_READ, DATASETS_WRITE, PROJECTS_READ, TASKS_READ, EXPORTS_CREATE];

/// A catalogue of exactly these five.
#[must_use]
pub fn catalogue() -> Catalogue {
    Catalogue::new(ALL)
}
