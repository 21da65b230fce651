//! API keys for any tower service, in the model that the Avala API documents.
//!
//! [`ApiKeyLayer`] stands in front of a tower, hyper or axum service. It reads a key from `X-Avala-Api-Key`,
//! looks up the key's SHA-256, and judges the record at every request. Keys are scoped, listed, revoked at once,
//! regenerated and expired, and every refusal is a documented reply.
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//!
//! use http::{Request, Response, StatusCode};
//! use http_body_util::BodyExt;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_api_key::{
//!     Access, ApiKey, ApiKeyLayer, KeyManager, MemoryStore, NewKey, OrganizationId, scope::avala,
//! };
//!
//! async fn datasets(request: Request<String>) -> Result<Response<String>, Infallible> {
//!     let key = request.extensions().get::<ApiKey>().expect("the layer stands outside");
//!     Ok(Response::new(format!("the datasets of {}", key.organization())))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = MemoryStore::new();
//! let acme: OrganizationId = "acme".parse()?;
//! let new = NewKey::new("nightly report", Access::scoped([avala::DATASETS_READ]))?;
//! let issued = keys.issue(&acme, new).await?;
//! // The one time that the key itself is at hand: `avk_` and 40 hexadecimal digits.
//! let secret = issued.secret.expose_secret();
//!
//! let service = ServiceBuilder::new()
//!     .layer(ApiKeyLayer::new(keys.clone()).require(avala::DATASETS_READ))
//!     .service(service_fn(datasets));
//! let ask = async |key: Option<&str>| {
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
//! let (status, body) = ask(Some(secret)).await?;
//! assert_eq!((status, &*body), (StatusCode::OK, "the datasets of acme"));
//!
//! let (status, body) = ask(None).await?;
//! assert_eq!(status, StatusCode::UNAUTHORIZED);
//! assert_eq!(body, r#"{"detail":"Authentication credentials were not provided."}"#);
//!
//! // It lacks `datasets.read`, and nothing implies that.
//! let writer = NewKey::new("upload", Access::scoped([avala::DATASETS_WRITE]))?;
//! let writer = keys.issue(&acme, writer).await?;
//! let (status, body) = ask(Some(writer.secret.expose_secret())).await?;
//! assert_eq!(status, StatusCode::FORBIDDEN);
//! assert_eq!(body, r#"{"detail":"You do not have permission to perform this action."}"#);
//!
//! // The next request is refused.
//! keys.revoke(&acme, issued.record.id()).await?;
//! let (status, body) = ask(Some(secret)).await?;
//! assert_eq!(status, StatusCode::UNAUTHORIZED);
//! assert_eq!(body, r#"{"detail":"Invalid API key."}"#);
//! # Ok(())
//! # }
//! ```
//!
//! # Example with axum
//!
//! With the feature `routes`, a `RouteTable` says what each route asks for, and the layer stands around the finished
//! router. With the feature `axum`, a handler takes the [`ApiKey`] as an argument.
//!
//! ```
//! # #[cfg(all(feature = "axum", feature = "routes"))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Router, body::Body, http::{Method, Request}, routing::get};
//! use tower::{Layer, ServiceExt};
//! use tower_api_key::{
//!     Access, ApiKey, ApiKeyLayer, KeyManager, MemoryStore, NewKey, Otherwise, RouteTable, Scope,
//! };
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
//! let table = RouteTable::builder(Otherwise::Deny)
//!     .public(Method::GET, "/health")
//!     .route(Method::GET, "/invoices", INVOICES_READ)
//!     .route(Method::POST, "/invoices", INVOICES_WRITE)
//!     .build()?;
//! let router = Router::new()
//!     .route("/health", get(|| async { "ok" }))
//!     .route("/invoices", get(list).post(create))
//!     .route("/forgotten", get(|| async { "not in the table" }));
//! let keys = MemoryStore::new();
//! let app = ApiKeyLayer::new(keys.clone()).routes(table).layer(router);
//!
//! let new = NewKey::new("reader", Access::scoped([INVOICES_READ]))?;
//! let issued = keys.issue(&"acme".parse()?, new).await?;
//! for (method, path, with_key, status) in [
//!     ("GET", "/invoices", true, 200),
//!     ("POST", "/invoices", true, 403),
//!     ("GET", "/invoices", false, 401),
//!     ("GET", "/health", false, 200),
//!     ("GET", "/forgotten", false, 401),
//!     ("GET", "/forgotten", true, 404),
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
//! Without a table, one [`ApiKeyLayer`] authenticates for a router, and a [`RequireScopesLayer`] stands beside each
//! route.
//!
//! The [guide] goes through a whole API, plain hyper, moving from middleware of your own, writing a store, testing
//! handlers, rotating keys, audit, HTTPS and proxies, limits, OpenAPI, browsers and gRPC, and several processes.
//!
//! # How a request flows
//!
//! 1. **Credential.** The layer takes the one key header out of the request and hashes its bytes as they are.
//!    None, or only blanks, is a 401; several, or more than 512 bytes, is a 401. Neither asks the store.
//! 2. **Lookup.** [`KeyStore::find_now`] answers from memory, or else [`KeyStore::find`] is awaited, for one second
//!    unless [`ApiKeyLayer::lookup_timeout`] says otherwise. A store that fails, hangs or panics is a 503: an outage
//!    never looks like a bad key.
//! 3. **Decision.** [`decide`] is one pure function of the record, the time and the [`Requirement`]. Its checks, in
//!    their order: unknown, revoked, organization disabled, expired, scopes.
//! 4. **Service.** An accepted request goes to the inner service with an [`ApiKey`] in its extensions. A refused one
//!    never reaches it: the layer answers as [`Rejection`] says.
//! 5. **Event.** The hook of [`ApiKeyLayer::on_decision`] gets exactly one [`DecisionEvent`].
//!
//! # Which type is where
//!
//! - In front of a service: [`ApiKeyLayer`], which can also [`require`](ApiKeyLayer::require) scopes or, with the
//!   feature `routes`, take a `RouteTable`; and [`RequireScopesLayer`] for a part of what it guards.
//! - In a handler: [`ApiKey`], who is calling. Never the key itself.
//! - To issue, list, revoke and regenerate: [`KeyManager`], with [`NewKey`] going in, and [`IssuedKey`] with its
//!   [`KeySecret`] coming out.
//! - Where keys are kept: [`MemoryStore`]; `SqliteStore` and `PostgresStore` with the features of these names;
//!   `CachedStore` in front of them with the feature `cache`; or any [`KeyStore`] of your own. [`SharedStore`] is one
//!   type for a choice made at run time.
//! - What a store keeps: [`KeyRecord`], with the [`KeyDigest`] of the key, its [`KeyId`], its [`OrganizationId`] and
//!   its [`Access`].
//! - What a key may do and what a route asks: the types of [`scope`], which are also at the top of the crate.
//! - What is reported: [`DecisionEvent`] about each request; [`AuditedStore`] and its [`ChangeEvent`] about each change of
//!   a key; [`UsageTracker`] for when each key was last used.
//!
//! # Replies
//!
//! Each body is `{"detail":"..."}` as `application/json`, with `Cache-Control: no-store`. A 401 carries
//! `WWW-Authenticate: ApiKey realm="api", header="X-Avala-Api-Key"`. [`ApiKeyLayer::render_with`] replaces them.
//!
//! | situation | status | `detail` |
//! |---|---|---|
//! | no key, or a blank one | 401 | Authentication credentials were not provided. |
//! | unknown, revoked, malformed, repeated or longer than 512 bytes; organization disabled | 401 | Invalid API key. |
//! | expired, and not revoked | 401 | API key has expired. |
//! | scope missing | 403 | You do not have permission to perform this action. |
//! | denied by a `RouteTable`, with a good key | 404 | Not found. |
//! | store failed, panicked, or gave no answer in time | 503, `Retry-After: 1` | Service temporarily unavailable, try again later. |
//! | layers in the wrong order; the log says which | 500 | Internal server error. |
//!
//! A key is malformed only where [`ApiKeyLayer::only_format`] says what a good one looks like. [`Rejection`] also
//! has the replies of what may stand beside these checks: to a request over plain HTTP (403) and to one request too
//! many (429).
//!
//! # Around it
//!
//! **Observability and audit.** [`ApiKeyLayer::on_decision`] tells each request, and an [`AuditedStore`] each change with
//! who asked for it. The hooks of `observe` (features `tracing` and `metrics`) tell both to either, without a key, and
//! without an organization or a path in a label.
//!
//! ```
//! # #[cfg(all(feature = "metrics", feature = "tracing"))]
//! # futures::executor::block_on(async {
//! use tower_api_key::{Access, ApiKeyLayer, AuditedStore, KeyManager, MemoryStore, NewKey, observe};
//!
//! let keys = AuditedStore::new(MemoryStore::new(), |event| {
//!     observe::trace_change(event);
//!     observe::count_change(event);
//! });
//! let layer = ApiKeyLayer::new(keys.clone()).on_decision(|event| {
//!     observe::trace_decision(event);
//!     observe::count_decision(event);
//! });
//! keys.on_behalf_of("ada@example.com").issue(&"acme".parse()?, NewKey::new("ci", Access::Full)?).await?;
//! # drop(layer);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! **OpenAPI.** With the feature `openapi`, a `RouteTable` writes what it enforces into a document of `utoipa`: the
//! security scheme, the scopes of each operation, and how it is refused.
//!
//! ```
//! # #[cfg(feature = "openapi")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use http::Method;
//! use tower_api_key::{Otherwise, RouteTable, scope::avala};
//! use utoipa::openapi::Info;
//!
//! let table = RouteTable::builder(Otherwise::Deny).route(Method::GET, "/tasks/", avala::TASKS_READ).build()?;
//! let document = table.openapi().document(Info::new("Tasks", "1.0.0"));
//! assert!(document.to_json()?.contains(r#""security":[{"ApiKey":["tasks.read"]}]"#));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "openapi"))]
//! # fn main() {}
//! ```
//!
//! **Browsers, strangers, gRPC.** Three switches, all off by default: [`ApiKeyLayer::allow_preflight`] lets preflights
//! through to a CORS layer that stands inside, [`ApiKeyLayer::optional`] lets in who has no key wherever any key would do,
//! and [`ApiKeyLayer::grpc`] refuses gRPC calls with a `grpc-status`.
//!
//! ```
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_api_key::{ApiKeyLayer, MemoryStore};
//!
//! # futures::executor::block_on(async {
//! let handle = service_fn(async |_: Request<String>| Ok::<_, std::convert::Infallible>(Response::new(String::new())));
//! let layer = ApiKeyLayer::new(MemoryStore::new()).optional().grpc();
//! let service = ServiceBuilder::new().layer(layer).service(handle);
//! assert_eq!(service.clone().oneshot(Request::new(String::new())).await?.status(), 200);
//!
//! let call = Request::post("/x.Y/Z").header("Content-Type", "application/grpc").header("X-Avala-Api-Key", "bad");
//! let response = service.oneshot(call.body(String::new())?).await?;
//! assert_eq!((response.status().as_u16(), &response.headers()["grpc-status"]), (200, &"16".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Deployment
//!
//! **Order of layers.** Around a finished router, as above, nothing escapes the layer. In an axum `Router`, `layer`
//! wraps the routes that were added before it, and no others: a route added afterwards is open to everybody. Put public
//! routes into a router of their own and `merge` the guarded one into it. The layer that is added last runs first, so
//! [`RequireScopesLayer`] is added before [`ApiKeyLayer`]; the other way round every request gets a 500.
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
//!     .route("/after", get(|| async { "open to everybody" }));
//! for (path, status) in [("/before", 401), ("/after", 200)] {
//!     let request = Request::builder().uri(path).body(Body::empty())?;
//!     assert_eq!(app.clone().oneshot(request).await?.status(), status);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `Router::layer` answers an unknown path with 401, also when the guarded router is merged into a public one.
//! `Router::route_layer`, and a public router merged into the guarded one, answer it with 404, which tells
//! anybody which routes exist.
//!
//! **Scopes.** Under [`ApiKeyLayer`] without a table, a route without a requirement is open to any valid key.
//!
//! **Shared caches.** A CDN keeps away from replies to requests with `Authorization`, but knows nothing of a key in
//! another header. The layer therefore adds `Cache-Control: private` to a reply whose handler set no
//! `Cache-Control`. A handler that says `public`, or a CDN that is configured to ignore the header, serves one
//! customer's data to the next.
//!
//! **Open streams.** A key is judged once for each request. A WebSocket, an upload or an event stream that was let in
//! goes on after its key was revoked, until the handler ends it.
//!
//! **Logs.** Layers outside [`ApiKeyLayer`] see the key header. Mark it as sensitive before anything logs headers,
//! with tower-http's `SetSensitiveRequestHeadersLayer`.
//!
//! **Panics.** A store that panics is a 503, for which the panic must unwind: with `panic = "abort"` it ends the
//! process.
//!
//! `SECURITY.md` has the whole list of what is defended and what is not.
//!
//! # Features
//!
//! None is on by default. A feature adds items and changes nothing else.
//!
//! | feature | adds |
//! |---|---|
//! | `axum` | extractors for axum handlers: `ApiKey`, `Option<ApiKey>` |
//! | `cache` | `CachedStore`, which remembers lookups for a few seconds and never serves what was invalidated |
//! | `metrics` | `observe::count_decision` and `count_change`, through the `metrics` facade |
//! | `openapi` | `RouteTable::openapi`: the table as an OpenAPI document, or added to one of `utoipa` |
//! | `postgres` | `PostgresStore`: keys in a PostgreSQL database that many processes share |
//! | `routes` | `RouteTable`: what each route asks of a key in one table, for `ApiKeyLayer::routes` |
//! | `sqlite` | `SqliteStore`: keys in one SQLite file |
//! | `test-kit` | `test_kit`: conformance tests for a store of your own, a clock that stands still, a store that fails on demand |
//! | `throttle` | `throttle`: limits by client, by key, and of failed attempts. Takes `transport` along |
//! | `tracing` | `observe::trace_decision` and `trace_change`, as events of `tracing` |
//! | `transport` | `transport`: the client's address, trusted proxies, and `RequireHttpsLayer` |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod audit;
mod auth;
mod decision;
mod error_chain;
mod event;
#[cfg(feature = "axum")]
mod extract;
#[doc = include_str!("guide.md")]
pub mod guide {}
mod key;
#[cfg(any(feature = "metrics", feature = "tracing"))]
pub mod observe;
#[cfg(feature = "openapi")]
mod openapi;
mod rejection;
mod require;
#[cfg(feature = "routes")]
mod routes;
pub mod scope;
mod store;
mod sync;
#[cfg(feature = "test-kit")]
pub mod test_kit;
#[cfg(feature = "throttle")]
pub mod throttle;
mod time;
#[cfg(feature = "transport")]
pub mod transport;
mod usage;

pub use self::audit::{AuditedStore, Change, ChangeEvent, ChangeOutcome};
pub use self::auth::{
    ApiKey, ApiKeyLayer, ApiKeyService, InvalidRealm, Refusal, RequestHead, ResponseBody, ResponseFuture,
};
pub use self::decision::{Denial, decide};
pub use self::event::{DecisionEvent, LookupKind, Outcome};
#[cfg(feature = "axum")]
pub use self::extract::MissingApiKey;
pub use self::key::{
    CredentialError, InvalidKeyId, InvalidOrganization, InvalidPrefix, KeyDigest, KeyFormat, KeyHint, KeyId, KeyRecord,
    KeySecret, KeyStatus, OrganizationId, OrganizationPolicy, RandomError,
};
#[cfg(feature = "openapi")]
pub use self::openapi::RouteTableOpenApi;
pub use self::rejection::{Outage, Rejection};
pub use self::require::{RequireScopes, RequireScopesFuture, RequireScopesLayer};
#[cfg(feature = "routes")]
pub use self::routes::{Otherwise, Route, RouteProblem, RouteTable, RouteTableBuilder, RouteTableError, Rule};
pub use self::scope::{Access, Catalogue, InvalidScope, Requirement, Scope, ScopeSet, UnknownScope};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use self::store::{BadRow, RowProblem, SchemaError, SqlError, SqlStore};
pub use self::store::{
    BoxError, Cursor, Expiry, InvalidCursor, InvalidKey, IssuePolicy, IssuedKey, KeyManager, KeyStore, ListKeys,
    Lookup, ManageError, MemoryStore, NewKey, Page, SharedStore, StoreId, StoredCredential,
};
#[cfg(feature = "cache")]
pub use self::store::{CacheConfig, CacheError, CachedStore};
#[cfg(feature = "postgres")]
pub use self::store::{Postgres, PostgresStore};
#[cfg(feature = "sqlite")]
pub use self::store::{Sqlite, SqliteStore};
pub use self::time::{Clock, SystemClock};
pub use self::usage::{KeyUsage, UsageTracker};

/// The samples of the README are compiled and run as tests.
#[cfg(all(doctest, feature = "axum", feature = "routes", feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
