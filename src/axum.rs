//! What axum knows of a request.

use http::{Extensions, Uri};

/// Returns the target that axum's outermost router got, for [`ApiKeyLayer::path_from`](crate::ApiKeyLayer::path_from).
///
/// `Router::nest` removes its prefix from the path, and a layer inside sees the rest. `None` outside of axum.
#[must_use]
pub fn original_uri(extensions: &Extensions) -> Option<&Uri> {
    extensions.get::<::axum::extract::OriginalUri>().map(|original| &original.0)
}
