//! Requests through the layer, and what comes back.

use std::convert::Infallible;
use std::error::Error;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::manage::IssuedKey;
use tower_api_key::scope::ScopeSet;
use tower_api_key::{Access, ApiKey, ApiKeyLayer, KeyStore, NewKey, OrganizationId, Scope};

use super::manage::Manage;

pub(crate) fn acme() -> &'static OrganizationId {
    static ACME: LazyLock<OrganizationId> = LazyLock::new(|| "acme".parse().unwrap());
    &ACME
}

pub(crate) fn full() -> NewKey {
    NewKey::new("full", Access::Full).unwrap()
}

pub(crate) fn scopes(names: &[&'static str]) -> ScopeSet {
    names.iter().map(|name| Scope::from_static(name)).collect()
}

pub(crate) fn scoped(names: &[&'static str]) -> NewKey {
    NewKey::new("scoped", Access::Scoped(scopes(names))).unwrap()
}

pub(crate) async fn issue(store: &impl Manage, key: NewKey) -> IssuedKey {
    store.manage().issue(acme(), key).await.unwrap()
}

/// A response, as much of it as the tests look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) retry_after: Option<String>,
}

impl Reply {
    /// The request has reached the inner service, with a key of this access.
    pub(crate) fn accepted(access: &Access) -> Self {
        Self { status: 200, body: format!("{access:?}"), retry_after: None }
    }

    pub(crate) fn invalid() -> Self {
        Self { status: 401, body: r#"{"detail":"Invalid API key."}"#.into(), retry_after: None }
    }

    pub(crate) fn expired() -> Self {
        Self { status: 401, body: r#"{"detail":"API key has expired."}"#.into(), retry_after: None }
    }

    pub(crate) fn forbidden() -> Self {
        let body = r#"{"detail":"You do not have permission to perform this action."}"#.into();
        Self { status: 403, body, retry_after: None }
    }

    pub(crate) fn unavailable() -> Self {
        let body = r#"{"detail":"Service temporarily unavailable, try again later."}"#.into();
        Self { status: 503, body, retry_after: Some("1".into()) }
    }
}

/// The reply to a request with this key, through the layer.
pub(crate) async fn call(layer: &ApiKeyLayer, key: &str) -> Reply {
    call_counted(layer, key, &AtomicUsize::new(0)).await
}

/// The same, and counts the calls of the inner service.
pub(crate) async fn call_counted(layer: &ApiKeyLayer, key: &str, handled: &AtomicUsize) -> Reply {
    let inner = service_fn(|request: Request<String>| async move {
        handled.fetch_add(1, Ordering::Relaxed);
        let key = request.extensions().get::<ApiKey>().expect("the layer puts it there");
        Ok::<_, Infallible>(Response::new(format!("{:?}", key.access())))
    });
    let request = Request::builder().header("x-avala-api-key", key).body(String::new()).unwrap();
    let Ok(response) = layer.layer(inner).oneshot(request).await;
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let Ok(body) = response.into_body().collect().await;
    Reply { status, body: String::from_utf8(body.to_bytes().to_vec()).unwrap(), retry_after }
}

/// The reply to a request with this key, through a layer that accepts any valid key.
pub(crate) async fn any<S: KeyStore + Clone>(store: &S, key: &IssuedKey) -> Reply {
    call(&ApiKeyLayer::new(store.clone()), key.secret.expose_secret()).await
}

/// An error with all its sources on one line, as it would be logged.
pub(crate) fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
