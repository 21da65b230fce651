//! Limits: never more than so many in any span of time.
//!
//! [`SlidingWindow`] counts, [`ThrottleLayer`] asks it about each request, and
//! [`ApiKeyLayer::throttle_failures`](crate::ApiKeyLayer::throttle_failures) about each failed attempt. They count in
//! this process alone.

mod failures;
mod headers;
mod layer;
mod window;

pub use self::layer::ThrottleLayer;
pub use self::window::{Hit, SlidingWindow};
