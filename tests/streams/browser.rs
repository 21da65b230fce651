//! The page of the example `streams` in a real browser, which authenticates its WebSocket by a subprotocol.

use std::time::Instant;

use tower_api_key::store::KeyBackend;
use tower_api_key::{Access, ApiKeyLayer, KeyManager, MemoryStore, NewKey};

use crate::support::axum_server::serve_axum;
use crate::support::browser::Browser;
use crate::world::ACME;

#[path = "../../examples/streams/app.rs"]
mod app;

/// Cases: 230.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium"]
async fn browser_streams_end_with_their_key() {
    let store = MemoryStore::new();
    let new = NewKey::new("browser", Access::scoped([app::TICKS_READ])).unwrap();
    let issued = KeyManager::new(store.clone()).issue(&ACME, new).await.unwrap();
    let server = serve_axum(app::app(ApiKeyLayer::new(store.clone())).unwrap()).await;
    let browser = Browser::start("streams").await;
    browser.client.goto(&format!("http://{}", server.http1)).await.unwrap();

    browser.fill("input[name=key]", "avk_unknown").await;
    browser.click("button").await;
    browser.until("document.querySelector('#socket').textContent === 'closed: 1006 '").await;
    assert_eq!(browser.text("#events").await, "rejected: 401 Invalid API key.");

    browser.fill("input[name=key]", issued.secret.expose_secret()).await;
    browser.click("button").await;
    for id in ["socket", "events"] {
        browser.until(&format!("/^open, [1-9][0-9]+ ticks$/.test(document.querySelector('#{id}').textContent)")).await;
    }
    store.revoke(&ACME, issued.record.id()).await.unwrap();
    let revoked = Instant::now();
    browser.until("document.querySelector('#events').textContent === 'ended'").await;
    browser.until("document.querySelector('#socket').textContent === 'closed: 1008 Invalid API key.'").await;
    println!("ended {:?} after the revoke", revoked.elapsed());
}
