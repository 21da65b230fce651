//! Keys of tables that other libraries have made work from their first request on: each is verified against the old hash
//! once, and imported. A file for each library has the scheme, and a verifier to copy.
//!
//! ```text
//! cargo run --example legacy_keys
//! ```
//!
//! The tests run each verifier against rows that the original library has written: `tests/adoption/originals/run`.

mod bcrypt;
#[expect(dead_code, reason = "to copy")]
mod better_auth;
#[expect(dead_code, reason = "to copy")]
mod django;
#[expect(dead_code, reason = "to copy")]
mod keyshield;
mod sanctum;
mod table;

use std::convert::Infallible;

use http::{Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::auth::LegacyVerifier;
use tower_api_key::{ApiKeyLayer, BoxError, KeyManager, MemoryStore};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let rows = r#"[{"id": 12, "tokenable_id": 7, "name": "laptop", "abilities": "[\"datasets.read\"]", "created_at": 0,
        "token": "3c469e9d6c5875d37a43f353d4f88e61fcf812c66eee3457465a40b0da4153e0"}]"#;
    println!("Laravel Sanctum");
    show(sanctum::Sanctum::new(serde_json::from_str(rows)?), "12|token", "12|other").await?;
    let hash = ::bcrypt::hash("sk_live_1f0c.secret", 4)?;
    let rows = serde_json::json!([{"prefix": "1f0c", "hash": hash, "customer": "acme", "disabled": false}]);
    println!("bcrypt");
    show(bcrypt::Bcrypt::new(serde_json::from_value(rows)?), "sk_live_1f0c.secret", "sk_live_1f0c.other").await
}

/// Sends requests with a valid key, another one, and the first one after it was revoked.
async fn show(verifier: impl LegacyVerifier, valid: &str, other: &str) -> Result<(), BoxError> {
    let store = MemoryStore::new();
    let manager = KeyManager::new(store.clone());
    let layer = ApiKeyLayer::new(store).legacy_keys(manager.clone(), verifier)?.on_decision(|event| {
        println!("  {} {:?}", event.outcome().code(), event.legacy());
    });
    let send = async |key: &str| {
        let inner = service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new())));
        let request = Request::builder().header("X-Avala-Api-Key", key).body(String::new())?;
        layer.layer(inner).oneshot(request).await?;
        Ok::<(), BoxError>(())
    };
    send(valid).await?;
    send(valid).await?;
    send(other).await?;
    manager.revoke_plaintext(valid.as_bytes()).await?;
    send(valid).await
}
