//! API keys for any tower service, in the model that the Avala API documents.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod auth;
mod decision;
mod error_chain;
mod event;
#[cfg(feature = "axum")]
mod extract;
mod key;
mod rejection;
mod require;
pub mod scope;
mod store;
#[cfg(feature = "throttle")]
pub mod throttle;
mod time;
mod usage;

pub use self::auth::{
    ApiKey, ApiKeyLayer, ApiKeyService, InvalidRealm, Refusal, RequestHead, ResponseBody, ResponseFuture,
};
pub use self::decision::{Denial, decide};
pub use self::event::{DecisionEvent, LookupKind, Outcome};
#[cfg(feature = "axum")]
pub use self::extract::MissingLayer;
pub use self::key::{
    CredentialError, InvalidKeyId, InvalidOrganization, InvalidPrefix, KeyDigest, KeyFormat, KeyHint, KeyId, KeyRecord,
    KeySecret, KeyStatus, OrganizationId, OrganizationPolicy, RandomError,
};
pub use self::rejection::{Outage, Rejection};
pub use self::require::{RequireScopes, RequireScopesLayer};
pub use self::scope::{Access, Catalogue, InvalidScope, Requirement, Scope, ScopeSet, UnknownScope};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use self::store::{BadRow, RowProblem, SchemaError, SqlError, SqlStore};
pub use self::store::{
    BoxError, Cursor, Expiry, InvalidCursor, InvalidKey, IssuePolicy, IssuedKey, KeyManager, KeyStore, ListKeys,
    Lookup, ManageError, MemoryStore, NewKey, Page, SharedStore, StoreId, StoredCredential,
};
#[cfg(feature = "cache")]
pub use self::store::{CacheConfig, CacheError, CachedStore};
#[cfg(feature = "postgres")]
pub use self::store::{Postgres, PostgresStore};
#[cfg(feature = "sqlite")]
pub use self::store::{Sqlite, SqliteStore};
pub use self::time::{Clock, SystemClock};
pub use self::usage::{KeyUsage, UsageTracker};
