//! Limits: never more than so many requests in any span of time.
//!
//! A [`LimitRule`] has the [`Limit`]s, whose requests count together, what a request costs, and where the counts are kept.
//! [`ApiKeyLayer::limit`](crate::ApiKeyLayer::limit) applies it to valid keys,
//! [`ApiKeyLayer::throttle_failures`](crate::ApiKeyLayer::throttle_failures) to failed attempts, and [`ThrottleLayer`] to any
//! other request. [`MemoryLimits`] keeps the counts of one process. Several processes share those of a [`LimitStore`].
//!
//! ```
//! use tower_api_key::throttle::{Limit, LimitRule};
//! use tower_api_key::{ApiKeyLayer, MemoryStore};
//!
//! let layer = ApiKeyLayer::new(MemoryStore::new()).limit(LimitRule::per_key(Limit::per_minute(100)));
//! ```

mod away;
mod counter;
mod hit;
mod layer;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod rule;
mod service;
mod store;
mod subject;
mod whom;

pub use self::hit::{Acquired, Hit};
pub use self::layer::ThrottleLayer;
pub use self::memory::MemoryLimits;
#[cfg(feature = "redis")]
pub use self::redis::{RedisLimits, RedisLimitsError};
pub use self::rule::LimitRule;
pub use self::service::{ThrottleFuture, ThrottleService};
pub use self::store::LimitStore;
pub use self::subject::Subject;

#[doc(no_inline)]
pub use crate::auth::{Limit, LimitHeaders, LimitState, Limits};
