//! For tests: conformance checks for a store of your own, a clock that a test moves, and a store that fails on demand.
//!
//! [`Conformance`] checks every promise of [`KeyBackend`](crate::store::KeyBackend) or [`KeyStore`](crate::KeyStore)
//! against a store. [`ManualClock`] stops until a test moves it. [`FaultyStore`] fails when a test asks for it.
//!
//! ```
//! use tower_api_key::test_kit::{Fault, FaultyStore, ManualClock};
//! use tower_api_key::{ApiKeyLayer, MemoryStore};
//!
//! let clock = ManualClock::new(std::time::SystemTime::now());
//! let store = FaultyStore::new(MemoryStore::builder().clock(clock.clone()).build());
//! let layer = ApiKeyLayer::new(store.clone()).clock(clock.clone());
//! // From now on, requests through the layer get a 503.
//! store.set_fault(Fault::Error);
//! ```
//!
//! The [guide](crate::guide::testing) has tests of a service with them.

mod clock;
mod conformance;
mod faulty;

pub use self::clock::ManualClock;
pub use self::conformance::{Conformance, Failure, Failures, StoreFeature};
pub use self::faulty::{Fault, FaultyStore, InjectedFault};
