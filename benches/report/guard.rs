//! The layer of this crate, as it is compared.

use http::HeaderValue;
use std::sync::Arc;
use tower::Layer;
use tower_api_key::scope::avala;
use tower_api_key::{ApiKeyLayer, KeyStore};

use crate::case::{Case, KEY};
use crate::inner::Inner;

pub(crate) const BARE: &str = "bare service";

/// As a user gets it.
pub(crate) fn by_default(store: impl KeyStore) -> ApiKeyLayer {
    ApiKeyLayer::new(store).require(avala::DATASETS_READ)
}

/// The work that the peers do, and no more: the key stays in the request, and the reply is left alone.
pub(crate) fn same_work(store: impl KeyStore) -> ApiKeyLayer {
    leaner(by_default(store))
}

pub(crate) fn leaner(layer: ApiKeyLayer) -> ApiKeyLayer {
    layer.keep_header().without_cache_control()
}

pub(crate) fn bare(keys: &Arc<[HeaderValue]>, inner: Inner) -> Case {
    Case::requests(BARE, (KEY, keys), inner, http::StatusCode::OK)
}

pub(crate) fn accepted(name: &'static str, keys: &Arc<[HeaderValue]>, layer: &ApiKeyLayer, inner: Inner) -> Case {
    Case::requests(name, (KEY, keys), layer.layer(inner), http::StatusCode::OK)
}
