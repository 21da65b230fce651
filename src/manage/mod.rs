//! Issues, lists, updates, revokes, regenerates, imports and purges keys.
//!
//! [`KeyManager`](crate::KeyManager) has the calls, and [`IssueRules`] what new keys must keep to.
//!
//! ```
//! use tower_api_key::manage::{IssueRules, ManageError};
//! use tower_api_key::{Access, KeyManager, MemoryStore, NewKey};
//!
//! # futures::executor::block_on(async {
//! let rules = IssueRules::new().with_max_active_keys(1);
//! let keys = KeyManager::new(MemoryStore::new()).with_rules(rules);
//! let (keys, acme) = (keys.on_behalf_of("ada@example.com"), "acme".parse()?);
//! let first = keys.issue(&acme, NewKey::new("first", Access::Full)?).await?;
//! assert_eq!(first.record.created_by(), Some("ada@example.com"));
//! let second = keys.issue(&acme, NewKey::new("second", Access::Full)?).await;
//! assert!(matches!(second, Err(ManageError::TooManyKeys)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

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
