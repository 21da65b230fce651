//! The key layer and its neighbors: what requests it accepts and rejects, its responses, and how it behaves in a stack.

mod audit;
mod bad_input;
mod compile_matrix;
mod decision;
mod events;
mod forms;
mod grpc;
mod hooks;
#[cfg(all(feature = "axum", feature = "routes", feature = "throttle"))]
mod identities;
mod nested;
mod observe;
mod optional;
mod outage;
mod preflight;
mod replies;
mod secrets;
mod sources;
mod stacking;
mod tower_contract;
mod transport;
mod upgrade;

#[path = "../support/mod.rs"]
mod support;
