use std::time::{Duration, SystemTime};

use fantoccini::key::Key;
use serde_json::json;

use crate::client::{Api, INVALID_KEY, text};
use crate::server::Server;
use crate::support::browser::Browser;

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery staple";
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

#[tokio::test]
#[ignore = "needs chromium"]
async fn key_lifecycle_works_in_the_page() {
    let server = Server::start(&["--requests-per-minute", "off"]);
    let (api, page) = (Api::of(&server), format!("http://{}/settings/security", server.address()));
    let browser = Browser::start("mission-control").await;
    let granted = json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]});
    browser.chrome("Browser.grantPermissions", granted).await;
    browser.client.goto(&page).await.expect("the page");

    // By keyboard alone, from the field that has the focus.
    browser.until_shown("#door-email").await;
    browser.screenshot("log-in").await;
    browser.click("#door-switch").await;
    browser.press(&format!("{EMAIL}{}{PASSWORD}", char::from(Key::Tab))).await;
    browser.screenshot("sign-up").await;
    browser.press(&char::from(Key::Enter).to_string()).await;
    browser.until("document.querySelector('#email').textContent === 'ada@example.com'").await;
    let owner = browser.text("#new-key").await;
    assert_eq!(api.get(&owner, "/datasets/").await.status, 200);
    // Escape does not lose it, however often.
    for _ in 0..3 {
        browser.press(&char::from(Key::Escape).to_string()).await;
    }
    browser.screenshot("first-key").await;
    browser.click("#saved").await;
    browser.until_shown("tr[data-uid]").await;
    assert_eq!(browser.text("#new-key").await, "");

    browser.click("#log-out").await;
    browser.fill("#door-email", EMAIL).await;
    browser.fill("#door-password", "wrong").await;
    browser.click("#door-submit").await;
    browser.until_shown("#door-error").await;
    assert_eq!(browser.text("#door-error").await, "The email or the password is wrong.");
    browser.screenshot("log-in-rejected").await;
    browser.fill("#door-password", PASSWORD).await;
    browser.click("#door-submit").await;
    browser.until_shown("tr[data-uid]").await;
    // The session is nowhere but in the memory of the page, so a reload forgets it.
    let kept = browser.run("return [document.cookie, localStorage.length, sessionStorage.length]").await;
    assert_eq!(kept, json!(["", 0, 0]));
    browser.client.refresh().await.expect("a reload");
    browser.fill("#door-email", EMAIL).await;
    browser.fill("#door-password", PASSWORD).await;
    browser.press(&char::from(Key::Enter).to_string()).await;
    browser.until_shown("tr[data-uid]").await;

    // Full access is named and must be confirmed.
    browser.click("#create").await;
    browser.fill("#create-name", "Nightly import").await;
    browser.press(&char::from(Key::Enter).to_string()).await;
    browser.until_shown("#full-error").await;
    browser.screenshot("create-full-access").await;
    browser.click("#scopes input[value='datasets.read']").await;
    browser.click("#scopes input[value='tasks.read']").await;
    assert_eq!(browser.run("return document.querySelector('#full').checkVisibility()").await, json!(false));
    browser.screenshot("create-scoped").await;
    browser.click("#create-form .primary").await;
    browser.until("document.querySelector('#new-dialog').open").await;
    browser.click("#copy").await;
    browser.until("document.querySelector('#copied').textContent === 'Copied to the clipboard.'").await;
    browser.screenshot("new-key").await;
    let scoped = browser.clipboard().await;
    assert!(scoped.starts_with("avk_") && scoped.len() == 44, "{scoped}");
    browser.click("#saved").await;
    browser.until("document.querySelectorAll('tr[data-uid]').length === 2").await;

    // The newest is the first.
    let used = "document.querySelector('tr[data-uid] .used > *').textContent";
    assert_eq!(browser.run(&format!("return {used}")).await, json!("Never"));
    assert_eq!(api.get(&scoped, "/datasets/").await.status, 200);
    assert_eq!(api.get(&scoped, "/projects/").await.status, 403);
    let refreshed =
        "document.querySelector('#table').ariaBusy === 'true' || document.querySelector('#refresh').click()";
    browser.until(&format!("{used} === 'Just now' || void ({refreshed})")).await;

    browser.click("tr[data-uid] .regenerate").await;
    browser.screenshot("regenerate").await;
    browser.click("#regenerate-form .primary").await;
    browser.until("document.querySelector('#new-dialog').open").await;
    let regenerated = browser.text("#new-key").await;
    browser.click("#saved").await;
    api.get(&scoped, "/datasets/").await.expect_text(401, INVALID_KEY);
    assert_eq!(api.get(&regenerated, "/datasets/").await.status, 200);

    let soon = jiff::Timestamp::try_from(SystemTime::now() + Duration::from_secs(2)).unwrap().to_string();
    let body = json!({"name": "Quarterly export", "scopes": ["exports.create"], "expires_at": soon});
    let expiring = api.make_key(&owner, body).await;
    let (uid, expired) = (text(&expiring["uid"]), text(&expiring["api_key"]));
    let status = format!("document.querySelector('tr[data-uid=\"{uid}\"] .expired')");
    browser.until(&format!("{status} || void ({refreshed})")).await;
    assert_eq!(api.get(&expired, "/exports/x/").await.status, 401);
    browser.screenshot("keys").await;
    browser.click(&format!("tr[data-uid='{uid}'] .regenerate")).await;
    browser.choose("#regenerate-expiry", "30").await;
    browser.screenshot("regenerate-expired").await;
    browser.click("#regenerate-form .primary").await;
    browser.until("document.querySelector('#new-dialog').open").await;
    let restored = browser.text("#new-key").await;
    browser.click("#saved").await;
    assert_eq!(api.get(&restored, "/exports/x/").await.status, 404);

    // The name is shown as it was written, wherever it is shown.
    browser.click("#create").await;
    browser.fill("#create-name", HOSTILE).await;
    browser.click("#full-confirmed").await;
    browser.click("#create-form .primary").await;
    browser.until("document.querySelector('#new-dialog').open").await;
    assert_eq!(browser.text("#new-name").await, HOSTILE);
    let hostile = browser.text("#new-key").await;
    browser.click("#saved").await;
    // Keys of one second are in any order.
    let row = format!(
        "[...document.querySelectorAll('tr[data-uid]')].find((row) => row.querySelector('.key-name').textContent === {})",
        json!(HOSTILE)
    );
    browser.until(&row).await;
    let row = format!("tr[data-uid='{}']", text(&browser.run(&format!("return {row}.dataset.uid")).await));
    browser.screenshot("hostile-name").await;
    browser.click(&format!("{row} .revoke")).await;
    assert_eq!(browser.text("#revoke-name").await, HOSTILE);
    assert_eq!(browser.run("return document.querySelectorAll('img[src=x]').length").await, json!(0));
    assert!(browser.client.get_alert_text().await.is_err(), "an alert");

    browser.screenshot("revoke").await;
    assert_eq!(api.get(&hostile, "/datasets/").await.status, 200);
    browser.click("#revoke-form .danger").await;
    browser.until_shown("#done").await;
    api.get(&hostile, "/datasets/").await.expect_text(401, INVALID_KEY);
    browser.until_shown(&format!("{row} .badge.revoked")).await;
    browser.screenshot("revoked").await;

    states_of_the_list(&browser).await;
    browser.click("#log-out").await;
    throttled(&browser).await;
    browser.client.clone().close().await.expect("closed");
    drop(browser);
    let (_, log) = server.stop();
    for secret in [&*owner, &*scoped, &*regenerated, &*restored, &*hostile, PASSWORD, "mcs_"] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
    assert!(log.contains("logged in organization="), "{log}");
}

async fn states_of_the_list(browser: &Browser) {
    browser.choose("#filter", "expired").await;
    browser.until_shown("#empty").await;
    assert_eq!(browser.text("#empty-title").await, "No expired keys");
    browser.screenshot("empty").await;

    // A server that never answers, and then one that cannot be reached.
    browser.run("window.answering = window.fetch; window.fetch = () => new Promise(() => {})").await;
    browser.choose("#filter", "").await;
    browser.until_shown("#loading").await;
    browser.screenshot("loading").await;
    browser.run("window.fetch = () => Promise.reject(new TypeError('offline'))").await;
    browser.click("#refresh").await;
    browser.until_shown("#list-error").await;
    browser.screenshot("error").await;
    browser.run("window.fetch = window.answering").await;
    browser.click("#retry").await;
    browser.until_shown("tr[data-uid]").await;
}

/// Of five attempts in a minute, four are used up.
async fn throttled(browser: &Browser) {
    browser.fill("#door-email", EMAIL).await;
    browser.fill("#door-password", "wrong").await;
    for _ in 0..3 {
        browser.click("#door-submit").await;
        browser.until_shown("#door-error").await;
    }
    browser.until("/Try again in \\d+ seconds\\./.test(document.querySelector('#door-error').textContent)").await;
    assert!(!browser.find("#door-submit").await.is_enabled().await.expect("a button"));
    browser.screenshot("throttled").await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn session_expires_in_the_page() {
    let server = Server::start(&["--session-ttl", "3s"]);
    let browser = Browser::start("mission-control").await;
    browser.client.goto(&format!("http://{}/settings/security", server.address())).await.expect("the page");
    browser.click("#door-switch").await;
    browser.fill("#door-email", EMAIL).await;
    browser.fill("#door-password", PASSWORD).await;
    browser.click("#door-submit").await;
    browser.until("document.querySelector('#email').textContent").await;
    // While a new key is shown, the end of the session does not take it away.
    browser.until_shown("#door-ended").await;
    assert!(browser.text("#new-key").await.starts_with("avk_"));
    browser.click("#saved").await;
    browser.screenshot("session-ended").await;
    assert_eq!(browser.run("return document.querySelectorAll('tr[data-uid]').length").await, json!(0));
    browser.client.clone().close().await.expect("closed");
}
