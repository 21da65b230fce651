//! What axum knows of a request.
//!
//! A layer inside of `nest` sees a path without its prefix, and a route table of full paths needs
//! [`original_uri`]:
//!
//! ```
//! # #[cfg(feature = "routes")] {
//! use axum::{Router, routing::get};
//! use http::Method;
//! use tower_api_key::routes::RouteTable;
//! use tower_api_key::{ApiKeyLayer, MemoryStore, Requirement};
//!
//! let table = RouteTable::builder().route(Method::GET, "/v1/invoices", Requirement::any_key()).build()?;
//! let layer = ApiKeyLayer::new(MemoryStore::new()).path_from(tower_api_key::axum::original_uri).routes(table);
//! let v1 = Router::new().route("/invoices", get(async || "[]")).layer(layer);
//! let app: Router = Router::new().nest("/v1", v1);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use http::{Extensions, Uri};

/// Returns the target that axum's outermost router got, for [`ApiKeyLayer::path_from`](crate::ApiKeyLayer::path_from).
///
/// `Router::nest` removes its prefix from the path, and a layer inside sees the rest. `None` outside of axum.
#[must_use]
pub fn original_uri(extensions: &Extensions) -> Option<&Uri> {
    extensions.get::<::axum::extract::OriginalUri>().map(|original| &original.0)
}
