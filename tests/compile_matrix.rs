//! What the layers can be combined with: each combination compiles, refuses a request without a key, and lets one
//! with a key in.

#[path = "compile_matrix/axum_routers.rs"]
mod axum_routers;
#[path = "compile_matrix/bodies.rs"]
mod bodies;
#[path = "compile_matrix/check.rs"]
mod check;
#[path = "compile_matrix/tower_http_layers.rs"]
mod tower_http_layers;
#[path = "compile_matrix/types.rs"]
mod types;

#[path = "common/awaited.rs"]
mod awaited;
#[path = "support/http1_client.rs"]
mod http1_client;
#[path = "support/http2_client.rs"]
mod http2_client;
#[path = "support/hyper_server.rs"]
mod hyper_server;
#[path = "common/keys.rs"]
mod keys;
#[path = "support/seen.rs"]
mod seen;
#[path = "support/server.rs"]
mod server;
#[path = "common/store.rs"]
mod store;
