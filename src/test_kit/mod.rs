//! For tests: does a store of your own keep its promises, and what does a service do when time passes or its
//! store fails?
//!
//! [`Conformance`] runs every promise of [`KeyManager`](crate::KeyManager) or [`KeyStore`](crate::KeyStore)
//! against a store. [`ManualClock`] stands still until a test moves it. [`FaultyStore`] fails when a test says so.

mod clock;
mod conformance;
mod faulty;

pub use self::clock::ManualClock;
pub use self::conformance::{Conformance, Failure, Failures};
pub use self::faulty::{Fault, FaultyStore, InjectedFault};
