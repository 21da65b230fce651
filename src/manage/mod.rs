//! Issues, lists, updates, revokes, regenerates, imports and purges keys.

mod actor;
mod change;
mod error;
mod imported;
pub(crate) mod manager;
pub(crate) mod new_key;
mod options;
mod rules;

pub use self::change::{Change, ChangeEvent, ChangeOutcome};
pub use self::error::ManageError;
pub use self::imported::{ImportReport, ImportedKey};
pub use self::manager::IssuedKey;
pub use self::new_key::{InvalidNewKey, StoredCredential};
pub use self::options::RegenerateOptions;
pub use self::rules::IssueRules;
