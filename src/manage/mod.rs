//! Issues, lists, updates, revokes and regenerates keys.

mod change;
mod error;
pub(crate) mod manager;
pub(crate) mod new_key;
mod rules;

pub use self::change::{Change, ChangeEvent, ChangeOutcome};
pub use self::error::ManageError;
pub use self::manager::IssuedKey;
pub use self::new_key::{InvalidNewKey, StoredCredential};
pub use self::rules::IssueRules;
