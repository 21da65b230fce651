//! For tests: conformance checks for a store of your own, a clock that a test moves, and a store that fails on demand.
//!
//! [`Conformance`] checks every promise of [`KeyBackend`](crate::store::KeyBackend) or [`KeyStore`](crate::KeyStore)
//! against a store. [`ManualClock`] stops until a test moves it. [`FaultyStore`] fails when a test asks for it.

mod clock;
mod conformance;
mod faulty;

pub use self::clock::ManualClock;
pub use self::conformance::{Conformance, Failure, Failures, StoreFeature};
pub use self::faulty::{Fault, FaultyStore, InjectedFault};
