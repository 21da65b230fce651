//! An operator of all organizations.

use serde_json::json;
use tower_api_key::Access;

use super::world::{World, row};

/// Cases: 234, 238.
#[tokio::test]
#[ignore = "needs chromium"]
async fn staff_manages_keys_of_every_organization() {
    let world = World::start().await;
    let browser = &world.browser;
    let of_acme = world.issue("acme", "Of acme", Access::Full).await;
    world.issue("other", "Of other", Access::Full).await;
    world.open("all/staff@example.com").await;
    browser.until(&row("Of other")).await;
    assert!(world.row_text("Of acme").await.contains("acme"));
    browser.screenshot("all-organizations").await;
    world.manage("Of acme").await;
    browser.click("#revoke").await;
    browser.until_shown("#revoke-last").await;
    browser.click("#revoke-form button.danger").await;
    browser.until_shown("#done").await;
    assert_eq!(world.status(of_acme.secret.expose_secret()).await, 401);

    browser.click("#create").await;
    browser.fill("#create-name", "By staff").await;
    browser.click("#scope-list input").await;
    browser.click("#create-form button.primary").await;
    browser.until_shown("#create-form-organization-error").await;
    browser.fill("#create-organization", "other").await;
    browser.screenshot("create-for-an-organization").await;
    browser.click("#create-form button.primary").await;
    world.new_key().await;
    browser.click("#saved").await;
    browser.until(&row("By staff")).await;
    let other = world.keys.counts(&"other".parse().unwrap()).await.unwrap();
    assert_eq!(json!(other.active), json!(2));
    world.close().await;
}
