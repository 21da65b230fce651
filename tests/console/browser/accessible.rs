//! Whether the harness can see what it reports as absent.

use axum::Router;
use axum::response::Html;
use axum::routing::get;

use super::world::World;
use crate::support::axum_server::serve_axum;

const WRONG: &str = "<!DOCTYPE html><html><body><img src=x><p style='color:#aaa;background:#fff'>Hard to read</p>\
    <input><button></button></body></html>";

/// Cases: 238.
#[tokio::test]
#[ignore = "needs chromium"]
async fn axe_finds_what_is_wrong_on_purpose() {
    let world = World::start().await;
    let server = serve_axum(Router::new().route("/", get(async || Html(WRONG)))).await;
    world.browser.client.goto(&format!("http://{}/", server.http1)).await.unwrap();
    let violations = world.browser.violations().await;
    for rule in ["image-alt", "color-contrast", "label", "button-name", "html-has-lang"] {
        assert!(violations.iter().any(|violation| violation.starts_with(rule)), "{rule}: {violations:?}");
    }
    world.close().await;
}

/// Cases: 238.
#[tokio::test]
#[ignore = "needs chromium"]
async fn reduced_motion_stops_the_spinner() {
    let world = World::start().await;
    world.open("acme/ada@example.com").await;
    let animation = "return getComputedStyle(document.querySelector('.spinner')).animationName";
    assert_eq!(world.browser.run(animation).await, "turn");
    let reduced = serde_json::json!({"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]});
    world.browser.chrome("Emulation.setEmulatedMedia", reduced).await;
    assert_eq!(world.browser.run(animation).await, "none");
    world.close().await;
}
