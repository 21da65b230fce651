//! Limits: never more than so many in any span of time.

mod window;

pub use self::window::{Hit, SlidingWindow};
