//! The route table: which entries it rejects, what it prints, and that no request gets past it to a handler which
//! requires more, through axum routers and plain services on real sockets.
#![cfg(feature = "routes")]

mod covering;
mod differential;
mod encoded;
mod invalid_entries;
mod lambda;
mod lenient;
mod markdown;
mod matched;
mod methods;
mod nested;
mod once;
mod openapi;
mod placement;
mod public;
mod rewriting;
mod targets;
mod world;

#[path = "../support/mod.rs"]
mod support;
