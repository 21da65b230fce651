//! What happened to each request, as one typed event, and how to send it to `tracing` and `metrics`.
//!
//! [`ApiKeyLayer::on_decision`](crate::ApiKeyLayer::on_decision) takes a hook for the [`DecisionEvent`] of each request,
//! [`KeyManager::on_change`](crate::KeyManager::on_change) one for the [`ChangeEvent`](crate::manage::ChangeEvent) of each
//! change. [`tracing`] and, with the feature `metrics`, [`metrics`] have hooks for both. No label or field holds a key.
//!
//! ```
//! use tower_api_key::{ApiKeyLayer, KeyManager, MemoryStore, observe};
//!
//! let store = MemoryStore::new();
//! let keys = KeyManager::new(store.clone()).on_change(observe::tracing::record_change);
//! let layer = ApiKeyLayer::new(store).on_decision(observe::tracing::record_decision);
//! ```

mod event;
mod limit;
#[cfg(feature = "metrics")]
pub mod metrics;
mod nesting;
mod report;
pub mod tracing;

pub use self::event::{DecisionEvent, LegacyCheck, LookupKind, Outcome};
pub use self::limit::{LimitEvent, LimitOutcome};

pub(crate) use self::event::Facts;
pub(crate) use self::nesting::{Hook, Hooks, Nesting, Outer};
pub(crate) use self::report::{Report, log_outage};
