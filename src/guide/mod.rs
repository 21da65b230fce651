//! How to do one thing, a page for each.
//!
//! Each page names the features that its samples need.
//!
//! | you want to | page |
//! |---|---|
//! | protect an axum API: store, route table, layer, key management | [`axum_service`] |
//! | protect a part of an axum router, below `nest` | [`axum_service`](axum_service#around-a-part-of-the-router) |
//! | protect a service on plain hyper | [`hyper_service`] |
//! | require scopes on single routes, without a route table | [`scopes_per_route`] |
//! | put several layers in the right order | [`layer_order`] |
//! | define scopes, a key prefix and a header of your own | [`own_scopes`] |
//! | separate live keys from test keys | [`live_and_test_keys`] |
//! | replace middleware of your own | [`moving_from_own_middleware`] |
//! | keep the keys that your customers have, with any hash | [`moving_from_old_keys`] |
//! | keep the keys of a library | [`moving_from_django`], [`moving_from_sanctum`], [`moving_from_better_auth`], [`moving_from_keyshield`], [`moving_from_bcrypt`] |
//! | keep keys in a table of your own | [`own_store`] |
//! | follow the changes of such a table, or of Redis, in several processes | [`own_table`] |
//! | keep keys in a file of the deployment | [`keys_from_file`] |
//! | accept sessions, JWTs or client certificates in addition to keys | [`logins_and_jwt`] |
//! | end event streams, downloads and WebSockets with their key | [`streams`] |
//! | check keys of queues, WebSocket messages or MQTT | [`outside_http`] |
//! | test handlers, keys that expire, and an outage of the store | [`testing`] |
//! | replace a key, with or without downtime | [`rotation`] |
//! | rename, annotate, limit, suspend, purge keys | [`key_life`] |
//! | find and revoke a key that leaked | [`leaked_keys`] |
//! | give people a page on which they manage their keys | [`console`] |
//! | write management endpoints of your own, behind your login | [`console`](console#endpoints-of-your-own) |
//! | log, trace and count requests and changes; see when a key was last used | [`audit`] |
//! | reject in a format of your own | [`own_rejections`] |
//! | require HTTPS | [`https`] |
//! | know the client's address behind a proxy or a CDN | [`proxies`] |
//! | limit requests by key, plan, customer or client; in one process or in Redis | [`limits`] |
//! | describe the API in an OpenAPI document | [`openapi`] |
//! | serve browsers (CORS), and requests without a key | [`browsers`] |
//! | protect a gRPC service, with scopes for its methods | [`grpc`] |
//! | run several processes, behind PgBouncer or on a serverless Postgres | [`processes`] |
//! | encrypt connections to Postgres | [`postgres_tls`] |
//! | issue, list, revoke and import keys without code, with the program `tower-api-key` | [`command_line`] |
//! | operate: deploy, back up, rotate, revoke, purge, monitor, with alerts | [`operators`] |
//! | deploy, migrate, and survive an outage of the database; what the SQL tables contain | [`deployment`] |

#[doc = include_str!("audit.md")]
pub mod audit {}
#[doc = include_str!("axum_service.md")]
pub mod axum_service {}
#[doc = include_str!("browsers.md")]
pub mod browsers {}
#[doc = include_str!("command_line.md")]
pub mod command_line {}
#[doc = include_str!("console.md")]
pub mod console {}
#[doc = include_str!("deployment.md")]
pub mod deployment {}
#[doc = include_str!("grpc.md")]
pub mod grpc {}
#[doc = include_str!("https.md")]
pub mod https {}
#[doc = include_str!("hyper_service.md")]
pub mod hyper_service {}
#[doc = include_str!("key_life.md")]
pub mod key_life {}
#[doc = include_str!("layer_order.md")]
pub mod layer_order {}
#[doc = include_str!("keys_from_file.md")]
pub mod keys_from_file {}
#[doc = include_str!("leaked_keys.md")]
pub mod leaked_keys {}
#[doc = include_str!("limits.md")]
pub mod limits {}
#[doc = include_str!("live_and_test_keys.md")]
pub mod live_and_test_keys {}
#[doc = include_str!("logins_and_jwt.md")]
pub mod logins_and_jwt {}
#[doc = include_str!("moving_from_bcrypt.md")]
#[doc = "```rust,ignore"]
#[doc = include_str!("../../examples/legacy_keys/bcrypt.rs")]
#[doc = "```"]
pub mod moving_from_bcrypt {}
#[doc = include_str!("moving_from_better_auth.md")]
#[doc = "```rust,ignore"]
#[doc = include_str!("../../examples/legacy_keys/better_auth.rs")]
#[doc = "```"]
pub mod moving_from_better_auth {}
#[doc = include_str!("moving_from_django.md")]
#[doc = "```rust,ignore"]
#[doc = include_str!("../../examples/legacy_keys/django.rs")]
#[doc = "```"]
pub mod moving_from_django {}
#[doc = include_str!("moving_from_keyshield.md")]
#[doc = "```rust,ignore"]
#[doc = include_str!("../../examples/legacy_keys/keyshield.rs")]
#[doc = "```"]
pub mod moving_from_keyshield {}
#[doc = include_str!("moving_from_old_keys.md")]
pub mod moving_from_old_keys {}
#[doc = include_str!("moving_from_own_middleware.md")]
pub mod moving_from_own_middleware {}
#[doc = include_str!("moving_from_sanctum.md")]
#[doc = "```rust,ignore"]
#[doc = include_str!("../../examples/legacy_keys/sanctum.rs")]
#[doc = "```"]
pub mod moving_from_sanctum {}
#[doc = include_str!("openapi.md")]
pub mod openapi {}
#[doc = include_str!("operators.md")]
pub mod operators {}
#[doc = include_str!("outside_http.md")]
pub mod outside_http {}
#[doc = include_str!("own_rejections.md")]
pub mod own_rejections {}
#[doc = include_str!("own_scopes.md")]
pub mod own_scopes {}
#[doc = include_str!("own_store.md")]
pub mod own_store {}
#[doc = include_str!("own_table.md")]
pub mod own_table {}
#[doc = include_str!("postgres_tls.md")]
pub mod postgres_tls {}
#[doc = include_str!("processes.md")]
pub mod processes {}
#[doc = include_str!("proxies.md")]
pub mod proxies {}
#[doc = include_str!("rotation.md")]
pub mod rotation {}
#[doc = include_str!("scopes_per_route.md")]
pub mod scopes_per_route {}
#[doc = include_str!("streams.md")]
pub mod streams {}
#[doc = include_str!("testing.md")]
pub mod testing {}
