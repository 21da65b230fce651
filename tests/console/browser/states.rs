//! Lists that are empty, long, slow or gone; a login that ends.

use serde_json::json;
use tower_api_key::Access;
use tower_api_key::scope::avala;

use super::world::{Fault, World, row};

/// Cases: 238.
#[tokio::test]
#[ignore = "needs chromium"]
async fn list_is_searched_and_filtered() {
    let world = World::start().await;
    let browser = &world.browser;
    for number in 0..101 {
        world.issue("acme", &format!("Key {number}"), Access::scoped([avala::TASKS_READ])).await;
    }
    let found = world.issue("acme", "Needle", Access::Full).await;
    world.open("acme/ada@example.com").await;
    browser.until_shown("#more").await;
    assert_eq!(browser.text("#count").await, "100 keys are shown, and there are more.");
    browser.run("scrollTo(0, document.body.scrollHeight)").await;
    browser.screenshot("more").await;
    browser.click("#more-button").await;
    browser.until("document.querySelectorAll('tr[data-uid]').length === 102").await;
    assert_eq!(browser.run("return document.querySelector('#more').checkVisibility()").await, json!(false));
    assert_eq!(browser.text("#count").await, "102 keys are shown.");

    for text in ["NEEDLE", &found.secret.expose_secret()[40..]] {
        browser.fill("#search", text).await;
        browser.until("document.querySelectorAll('tr[data-uid]').length === 1").await;
        assert_eq!(world.names().await, json!(["Needle"]));
    }
    browser.screenshot("search").await;
    browser.fill("#search", "no such key").await;
    browser.until_shown("#empty").await;
    assert_eq!(browser.text("#empty-title").await, "No key matches");
    browser.screenshot("search-without-results").await;
    browser.click("#show-all").await;
    browser.until_shown("#table").await;
    browser.choose("#filter", "revoked").await;
    browser.until_shown("#empty").await;
    assert_eq!(browser.text("#empty-title").await, "No revoked keys");
    browser.screenshot("no-revoked-keys").await;
    world.close().await;
}

/// Cases: 238.
#[tokio::test]
#[ignore = "needs chromium"]
async fn lost_connection_is_put_in_words() {
    let world = World::start().await;
    let browser = &world.browser;
    world.issue("acme", "Nightly import", Access::scoped([avala::TASKS_READ])).await;
    world.open("acme/ada@example.com").await;

    world.set_fault(Fault::Unavailable).await;
    browser.click("#refresh").await;
    browser.until_shown("#list-error").await;
    assert!(browser.text("#list-error [data-message]").await.starts_with("Service temporarily unavailable"));
    // What was there stays.
    assert_eq!(world.names().await, json!(["Nightly import"]));
    browser.screenshot("error").await;

    world.set_fault(Fault::Throttled).await;
    browser.click("#retry").await;
    browser.until("/Try again in \\d seconds?\\./.test(document.querySelector('#list-error').textContent)").await;
    assert!(!browser.find("#retry").await.is_enabled().await.expect("a button"));
    world.set_fault(None).await;
    browser.until("!document.querySelector('#retry').disabled").await;

    // Slow: the page reports that, and then that nothing came.
    browser
        .run("window.slow = AbortSignal.timeout; AbortSignal.timeout = () => window.slow.call(AbortSignal, 7000)")
        .await;
    world.set_fault(Fault::Never).await;
    browser.choose("#filter", "").await;
    browser.until("document.querySelector('#loading-text').textContent.startsWith('Still loading')").await;
    browser.until("document.querySelector('#list-error').textContent.includes('The server does not answer.')").await;
    world.set_fault(None).await;
    browser.click("#retry").await;
    browser.until(&format!("{} && document.querySelector('#list-error').hidden", row("Nightly import"))).await;

    browser.chrome("Network.enable", json!({})).await;
    let offline =
        |offline: bool| json!({"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
    browser.chrome("Network.emulateNetworkConditions", offline(true)).await;
    browser.click("#refresh").await;
    browser.until("document.querySelector('#list-error').textContent.includes('You are offline')").await;
    // Back online, the list comes by itself.
    browser.chrome("Network.emulateNetworkConditions", offline(false)).await;
    browser.until("document.querySelector('#list-error').hidden").await;

    // A change whose answer is lost may have been made.
    world.set_fault(Fault::Cut).await;
    world.manage("Nightly import").await;
    browser.fill("#key-name", "Renamed").await;
    browser.click("#rename-field button").await;
    browser.until_shown("#key-form [role=alert]").await;
    assert!(browser.text("#key-form [role=alert]").await.contains("The change may have been made"));
    browser.screenshot("change-without-an-answer").await;
    world.set_fault(None).await;
    browser.click("#key-form [data-close]").await;
    browser.click("#refresh").await;
    browser.until(&row("Renamed")).await;
    world.close().await;
}

/// Cases: 238.
#[tokio::test]
#[ignore = "needs chromium"]
async fn ended_login_keeps_a_new_key() {
    let world = World::start().await;
    let browser = &world.browser;
    world.open("acme/ada@example.com").await;
    browser.click("#create").await;
    browser.fill("#create-name", "Last").await;
    browser.click("#scope-list input").await;
    browser.click("#create-form button.primary").await;
    let key = world.new_key().await;
    world.set_fault(Fault::LoggedOut).await;
    browser.run("document.querySelector('#refresh').click()").await;
    browser.until("!document.querySelector('#ended').hidden").await;
    assert_eq!(browser.text("#new-key").await, key);
    browser.click("#saved").await;
    browser.screenshot("logged-out").await;
    assert_eq!(browser.run("return document.querySelectorAll('tr[data-uid]').length").await, json!(0));
    world.set_fault(None).await;
    browser.click("#log-in").await;
    browser.until(&row("Last")).await;

    // Out, on purpose: the cookie is gone, and the page goes to the login.
    browser.run("window.here = true").await;
    browser
        .run("[...document.querySelectorAll('#who button')].find((button) => button.textContent === 'Log out').click()")
        .await;
    browser.until("window.here !== true").await;
    world.close().await;
}
