//! The route table: what it refuses to be built of, what it prints, and that no request gets past it to a handler
//! which asks for more, through axum routers and plain services on real sockets.
#![cfg(feature = "routes")]

#[path = "routes/bad_lines.rs"]
mod bad_lines;
#[path = "routes/differential.rs"]
mod differential;
#[path = "routes/lenient.rs"]
mod lenient;
#[path = "routes/markdown.rs"]
mod markdown;
#[path = "routes/methods.rs"]
mod methods;
#[path = "routes/once.rs"]
mod once;
#[path = "routes/placement.rs"]
mod placement;
#[path = "routes/public.rs"]
mod public;
#[path = "routes/rewriting.rs"]
mod rewriting;
#[path = "routes/targets.rs"]
mod targets;
#[path = "routes/world.rs"]
mod world;

#[path = "support/axum_server.rs"]
mod axum_server;
#[path = "support/frames.rs"]
mod frames;
#[path = "support/hyper_server.rs"]
mod hyper_server;
#[path = "support/seen.rs"]
mod seen;
#[path = "support/server.rs"]
mod server;
#[path = "support/wire.rs"]
mod wire;
