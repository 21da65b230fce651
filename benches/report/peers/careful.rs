//! Written for speed: the digest as bytes, a shared record, one lock.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::record::{self, Record, invalid, missing};
use crate::keys;

pub(crate) type Store = RwLock<HashMap<[u8; 32], Arc<Record>>>;

/// A store, and the scope that it is asked for.
pub(crate) type Guard = (Arc<Store>, &'static str);

pub(crate) fn store(keys: u64) -> Arc<Store> {
    let record = |number| (digest(keys::text(number).as_bytes()), Arc::new(Record::new(number)));
    Arc::new(RwLock::new((0..keys).map(record).collect()))
}

pub(crate) fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[expect(clippy::result_large_err, reason = "as it is written by hand")]
pub(crate) fn check(store: &Store, scope: &str, request: &Request<Body>) -> Result<Arc<Record>, Response> {
    let key = request.headers().get("x-avala-api-key").ok_or_else(missing)?;
    let digest = digest(key.as_bytes());
    let record = store.read().unwrap().get(&digest).cloned().ok_or_else(invalid)?;
    record::check(&record, scope)?;
    Ok(record)
}

/// `AsyncRequireAuthorizationLayer` of tower-http.
macro_rules! async_require {
    ($guard:expr) => {{
        let (store, scope): (std::sync::Arc<_>, _) = std::clone::Clone::clone($guard);
        tower_http::auth::AsyncRequireAuthorizationLayer::new(move |mut request: axum::extract::Request| {
            let store = std::sync::Arc::clone(&store);
            async move {
                let record = crate::peers::careful::check(&store, scope, &request)?;
                request.extensions_mut().insert(record);
                Ok::<_, axum::response::Response>(request)
            }
        })
    }};
}

/// `ValidateRequestHeaderLayer` of tower-http.
macro_rules! validate {
    ($guard:expr) => {{
        let (store, scope): (std::sync::Arc<_>, _) = std::clone::Clone::clone($guard);
        tower_http::validate_request::ValidateRequestHeaderLayer::custom(move |request: &mut axum::extract::Request| {
            let record = crate::peers::careful::check(&store, scope, request)?;
            request.extensions_mut().insert(record);
            Ok::<(), axum::response::Response>(())
        })
    }};
}

pub(crate) use {async_require, validate};

/// For `from_fn_with_state` of axum.
pub(crate) async fn middleware(State((store, scope)): State<Guard>, mut request: Request, next: Next) -> Response {
    match check(&store, scope, &request) {
        Ok(record) => {
            request.extensions_mut().insert(record);
            next.run(request).await
        }
        Err(response) => response,
    }
}
