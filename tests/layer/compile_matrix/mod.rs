//! What the layers can be combined with: each combination compiles, rejects a request without a key, and accepts one
//! with a key.

mod axum_routers;
mod bodies;
mod check;
mod counted;
mod labeled;
mod service;
mod serving;
mod tower_http_layers;
mod types;
