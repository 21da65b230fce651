//! The peers, each as a case.

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use http::{HeaderValue, StatusCode};
use tower::Layer;

use super::{careful, typical};
use crate::case::{Case, KEY};
use crate::inner::Inner;

pub(crate) const ASYNC_CAREFUL: &str = "tower-http `AsyncRequireAuthorization`, careful";
pub(crate) const ASYNC_TYPICAL: &str = "tower-http `AsyncRequireAuthorization`, typical";
pub(crate) const VALIDATE_CAREFUL: &str = "tower-http `ValidateRequestHeader`, careful";
pub(crate) const FROM_FN_CAREFUL: &str = "axum `from_fn`, careful";
pub(crate) const FROM_FN_TYPICAL: &str = "axum `from_fn`, typical";

/// The stores of the peers.
pub(crate) struct Stores {
    careful: Arc<careful::Store>,
    typical: Arc<typical::Store>,
}

impl Stores {
    pub(crate) fn of(keys: u64) -> Self {
        Self { careful: careful::store(keys), typical: typical::store(keys) }
    }

    pub(crate) fn careful(&self, scope: &'static str) -> careful::Guard {
        (Arc::clone(&self.careful), scope)
    }

    fn typical(&self, scope: &'static str) -> typical::Guard {
        (Arc::clone(&self.typical), scope)
    }

    /// Each peer with requests that present these keys.
    pub(crate) fn cases(&self, scope: &'static str, keys: &Arc<[HeaderValue]>, status: StatusCode) -> Vec<Case> {
        let (careful, typical) = (self.careful(scope), self.typical(scope));
        let (async_careful, async_typical) =
            (careful::async_require!(&careful), typical::async_require_typical!(&typical));
        let validate = careful::validate!(&careful);
        let from_fn_careful = from_fn_with_state(careful, careful::middleware);
        let from_fn_typical = from_fn_with_state(typical, typical::middleware);
        let keys = || (KEY, keys);
        let inner = Inner::PLAIN;
        vec![
            Case::requests(ASYNC_CAREFUL, keys(), async_careful.layer(inner), status),
            Case::requests(ASYNC_TYPICAL, keys(), async_typical.layer(inner), status),
            Case::requests(VALIDATE_CAREFUL, keys(), validate.layer(inner), status),
            Case::requests(FROM_FN_CAREFUL, keys(), from_fn_careful.layer(inner), status),
            Case::requests(FROM_FN_TYPICAL, keys(), from_fn_typical.layer(inner), status),
        ]
    }
}
