//! Each request is looked up once, and a store that must be awaited gives the same decisions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use http::Method;
use tower::{Layer, ServiceExt};
use tower_api_key::key::{KeyDigest, KeyRecord};
use tower_api_key::routes::Unlisted;
use tower_api_key::{ApiKeyLayer, KeyStore, MemoryStore};

use super::world::{FULL, NO_KEY, NOTHING, READ, Ran, UNKNOWN, WRITE, keys, lines, request, router};
use crate::support::seen::Seen;

/// Must be awaited, and counts the lookups.
struct Slow(MemoryStore, Arc<AtomicUsize>);

impl KeyStore for Slow {
    type Error = std::convert::Infallible;

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, Self::Error> {
        self.1.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.0.find(digest).await
    }
}

#[tokio::test]
async fn pending_store_gives_the_same_decisions() {
    let (ran, lookups) = (Ran::default(), Arc::<AtomicUsize>::default());
    let at_once = ApiKeyLayer::new(keys()).routes(lines(Unlisted::Deny).build().unwrap());
    let awaited = ApiKeyLayer::new(Slow(keys(), Arc::clone(&lookups))).routes(lines(Unlisted::Deny).build().unwrap());
    for (method, target) in [
        (Method::GET, "/"),
        (Method::GET, "/admin"),
        (Method::HEAD, "/admin"),
        (Method::GET, "/admin/"),
        (Method::GET, "/items/1"),
        (Method::DELETE, "/items/1"),
        (Method::PUT, "/items/1"),
        (Method::GET, "/files/x"),
        (Method::GET, "/files/../x"),
        (Method::POST, "/signup"),
        (Method::GET, "/forgotten"),
    ] {
        for key in [NO_KEY, UNKNOWN, NOTHING, READ, WRITE, FULL] {
            let app: Router = router(&ran);
            let first = at_once.layer(app.clone()).oneshot(request(&method, target, key)).await.unwrap();
            let ran_first = ran.take();
            lookups.store(0, Ordering::SeqCst);
            let second = awaited.layer(app).oneshot(request(&method, target, key)).await.unwrap();
            let (first, second) = (Seen::of(first).await.unwrap(), Seen::of(second).await.unwrap());
            assert_eq!(first, second, "{method} {target} {key}");
            assert_eq!(ran_first, ran.take(), "{method} {target} {key}");
            let is_public = matches!(target, "/files/x" | "/signup");
            let expected = usize::from(key != NO_KEY && !is_public);
            assert_eq!(lookups.load(Ordering::SeqCst), expected, "{method} {target} {key}");
        }
    }
}
