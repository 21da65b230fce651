//! What the layers can be combined with: each combination compiles, refuses a request without a key, and lets one
//! with a key in.

mod axum_routers;
mod bodies;
mod check;
mod tower_http_layers;
mod types;
