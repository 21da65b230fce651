//! Written without a thought about speed: the key as a `String`, its digest as hexadecimal digits, a copy of the record for
//! each request.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, RwLock};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::careful::digest;
use super::record::{self, Record, invalid, missing};
use crate::keys;

pub(crate) type Store = RwLock<HashMap<String, Record>>;

/// A store, and the scope that it is asked for.
pub(crate) type Guard = (Arc<Store>, &'static str);

pub(crate) fn store(keys: u64) -> Arc<Store> {
    let record = |number| (hex(keys::text(number).as_bytes()), Record::new(number));
    Arc::new(RwLock::new((0..keys).map(record).collect()))
}

fn hex(key: &[u8]) -> String {
    let mut digits = String::with_capacity(64);
    for byte in digest(key) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for half in [byte >> 4, byte & 15] {
            digits.write_char(DIGITS[half as usize].into()).unwrap();
        }
    }
    digits
}

#[expect(clippy::result_large_err, reason = "as it is written by hand")]
pub(crate) fn check(store: &Store, scope: &str, request: &Request<Body>) -> Result<Record, Response> {
    let key = request.headers().get("x-avala-api-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let digest = hex(key.ok_or_else(missing)?.as_bytes());
    let record = store.read().unwrap().get(&digest).cloned().ok_or_else(invalid)?;
    record::check(&record, scope)?;
    Ok(record)
}

/// `AsyncRequireAuthorizationLayer` of tower-http.
macro_rules! async_require_typical {
    ($guard:expr) => {{
        let (store, scope): (std::sync::Arc<_>, _) = std::clone::Clone::clone($guard);
        tower_http::auth::AsyncRequireAuthorizationLayer::new(move |mut request: axum::extract::Request| {
            let store = std::sync::Arc::clone(&store);
            async move {
                let record = crate::peers::typical::check(&store, scope, &request)?;
                request.extensions_mut().insert(record);
                Ok::<_, axum::response::Response>(request)
            }
        })
    }};
}

pub(crate) use async_require_typical;

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
