//! One table of what each route requires of a key, enforced outside any router.
//!
//! ```
//! use http::Method;
//! use tower_api_key::routes::RouteTable;
//! use tower_api_key::{ApiKeyLayer, MemoryStore, Requirement, Scope};
//!
//! let table = RouteTable::builder()
//!     .public(Method::GET, "/health")
//!     .route(Method::GET, "/invoices/{id}", Scope::from_static("invoices.read"))
//!     .route(Method::POST, "/keys", Requirement::full_access())
//!     .build()?;
//! let layer = ApiKeyLayer::new(MemoryStore::new()).routes(table);
//! # Ok::<(), tower_api_key::routes::RouteTableError>(())
//! ```

mod builder;
mod enforced;
mod error;
mod markdown;
mod matcher;
#[cfg(feature = "openapi")]
mod openapi;
mod path;
mod pattern;
mod route;
mod table;
mod tree;
mod twins;

pub use self::builder::RouteTableBuilder;
pub use self::error::{RouteTableError, RouteTableErrorKind};
#[cfg(feature = "openapi")]
pub use self::openapi::RouteTableOpenApi;
pub use self::pattern::RoutePattern;
pub use self::route::{Route, Rule, Unlisted};
pub use self::table::RouteTable;
