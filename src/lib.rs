//! API keys for any tower service, in the model that the Avala API documents.
//!
//! [`ApiKeyLayer`] authenticates the requests to a tower, hyper, axum or tonic service. It reads a key from
//! `X-Avala-Api-Key`, looks up the key's SHA-256, and decides about the record at every request. Keys have scopes, expire,
//! are revoked immediately and can be regenerated, and every rejection has the documented response.
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//!
//! use http::{Request, Response, StatusCode};
//! use http_body_util::BodyExt;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_api_key::scope::avala;
//! use tower_api_key::{Access, ApiKey, ApiKeyLayer, KeyManager, MemoryStore, NewKey, OrganizationId};
//!
//! async fn datasets(request: Request<String>) -> Result<Response<String>, Infallible> {
//!     let key = request.extensions().get::<ApiKey>().expect("the layer is outside");
//!     Ok(Response::new(format!("the datasets of {}", key.organization())))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let keys = KeyManager::new(store.clone());
//! let acme: OrganizationId = "acme".parse()?;
//! let new = NewKey::new("nightly report", Access::scoped([avala::DATASETS_READ]))?;
//! let issued = keys.issue(&acme, new).await?;
//! // Shown once: `avk_` and 40 hexadecimal digits.
//! let secret = issued.secret.expose_secret();
//!
//! let service = ServiceBuilder::new()
//!     .layer(ApiKeyLayer::new(store).require(avala::DATASETS_READ))
//!     .service(service_fn(datasets));
//! let send = async |key: Option<&str>| {
//!     let mut request = Request::builder().uri("/datasets/");
//!     if let Some(key) = key {
//!         request = request.header("X-Avala-Api-Key", key);
//!     }
//!     let response = service.clone().oneshot(request.body(String::new())?).await?;
//!     let status = response.status();
//!     let body = response.into_body().collect().await?.to_bytes();
//!     Ok::<_, Box<dyn std::error::Error>>((status, String::from_utf8(body.to_vec())?))
//! };
//!
//! let (status, body) = send(Some(secret)).await?;
//! assert_eq!((status, &*body), (StatusCode::OK, "the datasets of acme"));
//!
//! let (status, body) = send(None).await?;
//! assert_eq!(status, StatusCode::UNAUTHORIZED);
//! assert_eq!(body, r#"{"detail":"Authentication credentials were not provided."}"#);
//!
//! // This key lacks `datasets.read`, and no other scope implies it.
//! let writer = NewKey::new("upload", Access::scoped([avala::DATASETS_WRITE]))?;
//! let writer = keys.issue(&acme, writer).await?;
//! let (status, body) = send(Some(writer.secret.expose_secret())).await?;
//! assert_eq!(status, StatusCode::FORBIDDEN);
//! assert_eq!(body, r#"{"detail":"You do not have permission to perform this action."}"#);
//!
//! // The next request is rejected.
//! keys.revoke(&acme, issued.record.id()).await?;
//! let (status, body) = send(Some(secret)).await?;
//! assert_eq!(status, StatusCode::UNAUTHORIZED);
//! assert_eq!(body, r#"{"detail":"Invalid API key."}"#);
//! # Ok(())
//! # }
//! ```
//!
//! # Example with axum
//!
//! With the feature `routes`, a [`RouteTable`](crate::routes::RouteTable) lists what each route requires, and the layer
//! wraps the finished router. With the feature `axum`, a handler takes the [`ApiKey`] as an argument.
//!
//! ```
//! # #[cfg(all(feature = "axum", feature = "routes"))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::body::Body;
//! use axum::http::{Method, Request};
//! use axum::{Router, routing::get};
//! use tower::{Layer, ServiceExt};
//! use tower_api_key::routes::RouteTable;
//! use tower_api_key::{Access, ApiKey, ApiKeyLayer, KeyManager, MemoryStore, NewKey, Scope};
//!
//! const INVOICES_READ: Scope = Scope::from_static("invoices.read");
//! const INVOICES_WRITE: Scope = Scope::from_static("invoices.write");
//!
//! async fn list(key: ApiKey) -> String {
//!     format!("the invoices of {}", key.organization())
//! }
//!
//! async fn create(key: ApiKey) -> String {
//!     format!("a new invoice of {}", key.organization())
//! }
//!
//! let table = RouteTable::builder()
//!     .public(Method::GET, "/health")
//!     .route(Method::GET, "/invoices", INVOICES_READ)
//!     .route(Method::POST, "/invoices", INVOICES_WRITE)
//!     .build()?;
//! let router = Router::new()
//!     .route("/health", get(|| async { "ok" }))
//!     .route("/invoices", get(list).post(create))
//!     .route("/unlisted", get(|| async { "not in the table" }));
//! let store = MemoryStore::new();
//! let app = ApiKeyLayer::new(store.clone()).routes(table).layer(router);
//!
//! let new = NewKey::new("reader", Access::scoped([INVOICES_READ]))?;
//! let issued = KeyManager::new(store).issue(&"acme".parse()?, new).await?;
//! for (method, path, with_key, status) in [
//!     ("GET", "/invoices", true, 200),
//!     ("POST", "/invoices", true, 403),
//!     ("GET", "/invoices", false, 401),
//!     ("GET", "/health", false, 200),
//!     ("GET", "/unlisted", false, 401),
//!     ("GET", "/unlisted", true, 404),
//! ] {
//!     let mut request = Request::builder().method(method).uri(path);
//!     if with_key {
//!         request = request.header("X-Avala-Api-Key", issued.secret.expose_secret());
//!     }
//!     let response = app.clone().oneshot(request.body(Body::empty())?).await?;
//!     assert_eq!(response.status(), status, "{method} {path}");
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "axum", feature = "routes")))]
//! # fn main() {}
//! ```
//!
//! Without a route table, one [`ApiKeyLayer`] authenticates for a router, and a
//! [`RequireScopesLayer`](auth::RequireScopesLayer) on each route requires scopes.
//!
//! The [guide] covers a whole API, plain hyper, moving from your own middleware, writing a store, testing handlers,
//! rotating keys, audit, HTTPS and proxies, limits, OpenAPI, browsers and gRPC, and several processes.
//!
//! # How a request flows
//!
//! 1. **Credential.** The layer removes the one key header from the request and hashes its bytes as they are. No header or
//!    a blank one is a 401; several, or more than 512 bytes, are a 401. Neither costs a lookup.
//! 2. **Lookup.** [`KeyStore::try_find`] answers from memory, or else [`KeyStore::find`] is awaited, for one second unless
//!    [`ApiKeyLayer::lookup_timeout`] sets another limit. A store that fails, hangs or panics is a 503: an outage never
//!    looks like an invalid key. With [`ApiKeyLayer::legacy_keys`], a key that no record has may be one of an old table.
//! 3. **Decision.** [`decide`](decision::decide) is one pure function of the record, the time and the [`Requirement`]. Its
//!    checks, in their order: unknown, revoked, suspended, organization disabled, expired, networks, scopes.
//! 4. **Service.** An accepted request reaches the inner service with an [`ApiKey`] in its extensions. A rejected one never
//!    does: the layer responds as [`Rejection`] documents.
//! 5. **Event.** Each hook of [`ApiKeyLayer::on_decision`] gets exactly one [`DecisionEvent`](observe::DecisionEvent).
//!
//! # Modules
//!
//! | module | has |
//! |---|---|
//! | [`key`] | what a store keeps of a key: record, digest, id, hint, format |
//! | [`scope`] | what a key may do and what a route requires |
//! | [`client`] | who made a request, and the networks that a key may be used from |
//! | [`decision`] | the pure decision |
//! | [`store`] | where keys are kept, and the traits for a store of your own |
//! | [`manage`] | issue, import, list, update, revoke, regenerate and purge keys; the audit event of each change |
//! | [`usage`] | when each key was last used |
//! | [`rejection`] | why a request is rejected, and the response |
//! | [`observe`] | the event of each request; `tracing` and `metrics` |
//! | [`auth`] | the layer's service and body, and scopes on a route |
//! | [`mod@console`] | the management API and its page, as services to mount |
//! | [`routes`] | the route table, and OpenAPI |
//! | [`throttle`] | limits by key, organization or client, with plans, and of failed attempts |
//! | [`transport`] | the client's address, trusted proxies, HTTPS |
//! | [`background`] | runs what a service needs in the background |
//! | [`mod@axum`] | the path of a request before `nest` |
//! | [`test_kit`] | conformance tests for a store, a clock, a store that fails on demand |
//!
//! # Responses
//!
//! Each body is `{"detail":"..."}` as `application/json`, with `Cache-Control: no-store`. A 401 has
//! `WWW-Authenticate: ApiKey realm="api", header="X-Avala-Api-Key"`. [`ApiKeyLayer::rejection_response`] replaces them.
//!
//! | situation | status | `detail` |
//! |---|---|---|
//! | no key, or a blank one | 401 | Authentication credentials were not provided. |
//! | unknown, revoked, suspended, malformed, repeated or longer than 512 bytes; organization disabled | 401 | Invalid API key. |
//! | expired, and not revoked | 401 | API key has expired. |
//! | scope missing, or a key that may not be used from the client's network | 403 | You do not have permission to perform this action. |
//! | not in the route table (valid key) | 404 | Not found. |
//! | store failed, panicked, or did not answer in time | 503, `Retry-After: 1` | Service temporarily unavailable, try again later. |
//! | layers in the wrong order; the log names them | 500 | Internal server error. |
//!
//! A key is malformed only where [`ApiKeyLayer::require_formats`] names the valid formats. [`Rejection`] also has the
//! responses of the layers around this one: to a request over plain HTTP (403) and to one beyond a limit (429).
//!
//! # Observability and audit
//!
//! [`ApiKeyLayer::on_decision`] reports each request, and [`KeyManager::on_change`] each change and who asked for it.
//! [`observe`] forwards both to `tracing` or `metrics`. Labels never contain keys, organizations or paths.
//!
//! ```
//! # futures::executor::block_on(async {
//! use tower_api_key::{Access, ApiKeyLayer, KeyManager, MemoryStore, NewKey, observe};
//!
//! let store = MemoryStore::new();
//! let keys = KeyManager::new(store.clone()).on_change(observe::tracing::record_change);
//! let layer = ApiKeyLayer::new(store).on_decision(observe::tracing::record_decision);
//! keys.on_behalf_of("ada@example.com").issue(&"acme".parse()?, NewKey::new("ci", Access::Full)?).await?;
//! # drop(layer);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # CORS, anonymous access and gRPC
//!
//! All are off by default: [`ApiKeyLayer::allow_preflight`] accepts CORS preflights for an inner CORS layer,
//! [`ApiKeyLayer::allow_anonymous`] also accepts requests without a key on routes that require no scope, and
//! [`ApiKeyLayer::grpc_responses`] rejects gRPC calls with a `grpc-status`.
//!
//! ```
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_api_key::{ApiKeyLayer, MemoryStore};
//!
//! # futures::executor::block_on(async {
//! let handle = service_fn(async |_: Request<String>| Ok::<_, std::convert::Infallible>(Response::new(String::new())));
//! let layer = ApiKeyLayer::new(MemoryStore::new()).allow_anonymous().grpc_responses();
//! let service = ServiceBuilder::new().layer(layer).service(handle);
//! assert_eq!(service.clone().oneshot(Request::new(String::new())).await?.status(), 200);
//!
//! let call = Request::post("/x.Y/Z").header("Content-Type", "application/grpc").header("X-Avala-Api-Key", "invalid");
//! let response = service.oneshot(call.body(String::new())?).await?;
//! assert_eq!((response.status().as_u16(), &response.headers()["grpc-status"]), (200, &"16".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Deployment
//!
//! **Order of layers.** Around a finished router, as above, every route is behind the layer. In an axum `Router`, `layer`
//! wraps only the routes that were added before it: a route added afterwards is public. Put public routes into a router of
//! their own and `merge` the guarded one into it. The layer that is added last runs first, so add
//! [`RequireScopesLayer`](auth::RequireScopesLayer) before [`ApiKeyLayer`]; in the other order every request gets a 500.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Router, body::Body, http::Request, routing::get};
//! use tower::ServiceExt;
//! use tower_api_key::{ApiKeyLayer, MemoryStore};
//!
//! let app = Router::new()
//!     .route("/before", get(|| async { "guarded" }))
//!     .layer(ApiKeyLayer::new(MemoryStore::new()))
//!     .route("/after", get(|| async { "public" }));
//! for (path, status) in [("/before", 401), ("/after", 200)] {
//!     let request = Request::builder().uri(path).body(Body::empty())?;
//!     assert_eq!(app.clone().oneshot(request).await?.status(), status);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `Router::layer` responds to an unknown path with 401, also when the guarded router is merged into a public one.
//! `Router::route_layer`, and a public router merged into the guarded one, respond with 404, which shows which routes
//! exist.
//!
//! **Scopes.** Under [`ApiKeyLayer`] without a table, a route without a requirement accepts any valid key.
//!
//! **Shared caches.** A CDN does not store responses to requests with `Authorization`, but does not treat a custom
//! header as a credential. The layer therefore adds `private` to `Cache-Control`, unless a handler sets `public`,
//! `s-maxage` or `no-store`, and names the credential headers in `Vary`. A CDN that is configured to ignore these
//! headers serves one customer's data to the next, and so does one that ignores `Vary` for a handler that sets
//! `public`.
//!
//! **Open streams.** Keys are checked once per request. [`EndStreamsLayer`](auth::EndStreamsLayer) ends event streams,
//! downloads and gRPC streams with their key. A handler selects on [`ApiKey::ended`] to end a WebSocket or an upload. Without
//! them, an open stream survives revocation of its key.
//!
//! **Logs.** Outer layers see the key header. Mark it as sensitive before another layer logs headers, with tower-http's
//! `SetSensitiveRequestHeadersLayer`.
//!
//! **Panics.** A store that panics is a 503 only if the panic unwinds: with `panic = "abort"` it ends the process.
//!
//! `SECURITY.md` lists what is defended and what is not.
//!
//! # Features
//!
//! None is on by default. A feature adds items and changes no behavior.
//!
//! | feature | adds |
//! |---|---|
//! | `axum` | extractors for axum handlers: [`ApiKey`], `Option<ApiKey>`, [`Caller`](auth::Caller), [`ClientInfo`](client::ClientInfo); [`original_uri`](crate::axum::original_uri) for a layer inside `nest` |
//! | `cache` | [`store::CachedStore`], which remembers lookups for a few seconds and never serves what was invalidated |
//! | `cli` | no item, but the program `tower-api-key`, which manages the keys in a database: [`guide::command_line`]. Includes `postgres`, `sqlite`, `tls-ring` and `serde` |
//! | `console` | [`console::Console`]: a JSON API and a page on which people manage keys, to be mounted behind your login |
//! | `metrics` | [`observe::metrics`], hooks for the `metrics` facade |
//! | `openapi` | [`RouteTable::openapi`](routes::RouteTable::openapi): the table as an OpenAPI document, or added to one of `utoipa` |
//! | `postgres` | [`store::PostgresStore`]: keys in a PostgreSQL database that many processes share. TLS needs `tls-ring` or `tls-aws-lc-rs` |
//! | `redis` | [`throttle::RedisLimits`]: one count of requests for many processes. Includes `throttle` |
//! | `routes` | [`routes::RouteTable`]: what each route requires of a key in one table, for [`ApiKeyLayer::routes`] |
//! | `serde` | `Serialize` and `Deserialize` for the types of [`key`] and [`scope`] |
//! | `sqlite` | [`store::SqliteStore`]: keys in one SQLite file |
//! | `test-kit` | [`test_kit`]: conformance tests for a store of your own, a clock that a test moves, a store that fails on demand |
//! | `throttle` | [`throttle`]: limits by key, organization or client, with plans, and of failed attempts. Includes `transport` |
//! | `tls-aws-lc-rs` | TLS to Postgres with aws-lc-rs and the authorities of Mozilla. Includes `postgres` |
//! | `tls-ring` | TLS to Postgres with ring and the authorities of the system; ring is used where both are enabled. Includes `postgres` |
//! | `transport` | [`transport`]: the client's address, trusted proxies, and [`RequireHttpsLayer`](crate::transport::RequireHttpsLayer) |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod episode;
mod error_chain;
mod flights;
mod folded;
mod hooks;
mod padded;
#[cfg(any(feature = "console", feature = "serde"))]
mod rfc3339;
mod sync;
mod text;
pub mod time;
#[cfg_attr(not(feature = "cache"), expect(dead_code, reason = "a cache takes lookups along"))]
mod turns;

#[cfg(feature = "axum")]
pub mod axum;
pub mod background;
mod caching;
mod credential;
pub mod request;

pub mod key;
pub mod scope;

pub mod client;
pub mod decision;
mod identity;
pub mod store;

pub mod manage;
pub mod usage;

pub mod observe;
pub mod rejection;

pub mod auth;

#[cfg(feature = "console")]
pub mod console;
#[cfg(feature = "routes")]
pub mod routes;
#[cfg(feature = "throttle")]
pub mod throttle;
#[cfg(feature = "transport")]
pub mod transport;

pub mod guide;
#[cfg(feature = "serde")]
mod serde;
#[cfg(feature = "test-kit")]
pub mod test_kit;

pub use self::auth::identity::ApiKey;
pub use self::auth::layer::ApiKeyLayer;
pub use self::key::organization::OrganizationId;
pub use self::manage::manager::KeyManager;
pub use self::manage::new_key::NewKey;
pub use self::rejection::reason::Rejection;
pub use self::scope::access::Access;
pub use self::scope::name::Scope;
pub use self::scope::requirement::Requirement;
pub use self::store::KeyStore;
pub use self::store::memory::MemoryStore;

/// Any error: what a store may return, and what a body may end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The samples of the README are compiled and run as tests.
#[cfg(all(doctest, feature = "axum", feature = "routes", feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
