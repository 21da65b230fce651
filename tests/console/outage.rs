//! A store that fails, panics or falls silent.

use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_api_key::console::{Console, ConsoleBody, Operator};
use tower_api_key::test_kit::{Fault, FaultyStore};
use tower_api_key::{Access, KeyManager, MemoryStore, NewKey};

/// Cases: 237.
#[tokio::test(start_paused = true)]
async fn store_that_fails_is_503_and_never_a_404() {
    let store = FaultyStore::new(MemoryStore::new());
    let keys = KeyManager::new(store.clone());
    let key = keys.issue(&"acme".parse().unwrap(), NewKey::new("x", Access::Full).unwrap()).await.unwrap();
    let api = Console::new(keys).timeout(Duration::from_secs(5)).api();
    let id = key.record.id();
    let calls = [
        ("GET", "/".to_owned()),
        ("POST", "/".into()),
        ("GET", format!("/{id}/")),
        ("PATCH", format!("/{id}/")),
        ("POST", format!("/{id}/regenerate/")),
        ("POST", format!("/{id}/revoke/")),
    ];
    for (method, path) in &calls {
        for fault in [Fault::Error, Fault::Panic, Fault::Hang] {
            store.set_fault(fault);
            let response = api.clone().oneshot(request(method, path)).await.unwrap();
            let (status, retry) = (response.status(), response.headers().get("retry-after").cloned());
            assert_eq!(status, 503, "{method} {path} {fault:?}");
            assert_eq!(retry.unwrap(), "1");
            assert_eq!(body(response).await, r#"{"detail":"Service temporarily unavailable, try again later."}"#);
        }
        store.set_fault(Fault::None);
        let status = api.clone().oneshot(request(method, path)).await.unwrap().status();
        assert!(status.is_success(), "{method} {path}: {status}");
    }
}

fn request(method: &str, path: &str) -> Request<String> {
    let operator = Operator::new("acme".parse().unwrap(), "ada");
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let body = if method == "GET" { "" } else { r#"{"name": "x", "full_access": true}"# };
    request.extension(operator).body(body.to_owned()).unwrap()
}

async fn body(response: Response<ConsoleBody>) -> String {
    let Ok(body) = response.into_body().collect().await;
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}
