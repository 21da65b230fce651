//! The five scopes of the Avala documentation (API reference, "Authentication", table "Scopes").
//!
//! No scope implies another: `datasets.write` does not include `datasets.read`.
//!
//! ```
//! use tower_api_key::scope::avala;
//! use tower_api_key::{Access, Requirement};
//!
//! let writer = Access::scoped([avala::DATASETS_WRITE]);
//! assert!(Requirement::from(avala::DATASETS_WRITE).is_met_by(&writer));
//! assert!(!Requirement::from(avala::DATASETS_READ).is_met_by(&writer));
//! ```

use super::{Scope, ScopeCatalog};

/// Allows to list and get datasets and their items.
pub const DATASETS_READ: Scope = Scope::from_static("datasets.read");
/// Allows to create, update and delete datasets, and to upload items.
pub const DATASETS_WRITE: Scope = Scope::from_static("datasets.write");
/// Allows to list and get projects, their tasks and task results.
pub const PROJECTS_READ: Scope = Scope::from_static("projects.read");
/// Allows to list and get tasks and their results.
pub const TASKS_READ: Scope = Scope::from_static("tasks.read");
/// Allows to create exports and download completed ones.
pub const EXPORTS_CREATE: Scope = Scope::from_static("exports.create");

/// All five, in the order of the documentation.
pub const ALL: [Scope; 5] = [DATASETS_READ, DATASETS_WRITE, PROJECTS_READ, TASKS_READ, EXPORTS_CREATE];

/// Returns a catalog of exactly these five.
#[must_use]
pub fn catalog() -> ScopeCatalog {
    ScopeCatalog::new(ALL)
}
