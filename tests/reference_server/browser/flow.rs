use fantoccini::key::Key;
use serde_json::json;

use crate::client::{Api, text};
use crate::server::Server;
use crate::support::browser::Browser;

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// The console's own browser test covers what its page does.
///
/// Cases: 238.
#[tokio::test]
#[ignore = "needs chromium"]
async fn account_reaches_its_keys_and_leaves() {
    let server = Server::start(&["--requests-per-minute", "off"]);
    let (api, page) = (Api::of(&server), format!("http://{}/settings/security", server.address()));
    let browser = Browser::start("mission-control").await;
    let granted = json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]});
    browser.chrome("Browser.grantPermissions", granted).await;
    browser.client.goto(&page).await.expect("the page");

    // By keyboard alone, from the field that has the focus.
    browser.until("document.activeElement?.id === 'door-email'").await;
    browser.screenshot("log-in").await;
    browser.click("#door-switch").await;
    browser.press(&format!("{EMAIL}{}short{}", char::from(Key::Tab), char::from(Key::Enter))).await;
    browser.until_shown("#door-password-error").await;
    assert_eq!(browser.text("#door-password-error").await, "Ensure this field has at least 8 characters.");
    browser.screenshot("sign-up-invalid").await;
    browser.fill("#door-password", PASSWORD).await;
    browser.press(&char::from(Key::Enter).to_string()).await;
    browser.until("document.querySelector('#new-dialog').open").await;
    let owner = browser.text("#new-key").await;
    assert_eq!(api.get(&owner, "/datasets/").await.status, 200);
    // Escape does not lose it, however often.
    for _ in 0..3 {
        browser.press(&char::from(Key::Escape).to_string()).await;
    }
    browser.screenshot("first-key").await;
    browser.click("#copy").await;
    browser.until("document.querySelector('#copied').textContent === 'The key is copied to the clipboard.'").await;
    assert_eq!(browser.clipboard().await, owner);
    browser.click("#saved").await;
    browser.until_shown("tr[data-uid]").await;
    assert_eq!(browser.text("#actor").await, EMAIL);
    browser.screenshot("keys").await;

    // A reload keeps the login, and no script can read it.
    browser.client.refresh().await.expect("a reload");
    browser.until_shown("tr[data-uid]").await;
    let kept = browser.run("return [document.cookie, localStorage.length, sessionStorage.length]").await;
    assert_eq!(kept, json!(["", 0, 0]));

    // A key that is created here works in the API, until it is revoked here.
    browser.click("#create").await;
    browser.fill("#create-name", "Nightly import").await;
    browser.click("#scope-list input[value='datasets.read']").await;
    browser.click("#create-form button.primary").await;
    browser.until("document.querySelector('#new-dialog').open").await;
    let key = browser.text("#new-key").await;
    let curl = browser.text("#new-curl").await;
    assert_eq!(curl, format!("curl {}/users/me/permissions/ -H 'X-Avala-Api-Key: {key}'", server.base));
    browser.click("#saved").await;
    assert_eq!((api.get(&key, "/datasets/").await.status, api.get(&key, "/tasks/").await.status), (200, 403));
    let listed = api.get(&owner, "/api-keys/?search=nightly").await.expect(200)["results"][0].clone();
    assert_eq!(listed["created_by"], EMAIL);
    browser.until("document.querySelectorAll('tr[data-uid]').length === 2").await;
    browser.run(&format!("document.querySelector('tr[data-uid=\"{}\"] .manage').click()", text(&listed["uid"]))).await;
    browser.click("#revoke").await;
    browser.click("#revoke-form button.danger").await;
    browser.until_shown("#done").await;
    assert_eq!(api.get(&key, "/datasets/").await.status, 401);

    browser
        .run("[...document.querySelectorAll('#who button')].find((button) => button.textContent === 'Log out').click()")
        .await;
    browser.until_shown("#door-form").await;
    browser.client.goto(&page).await.expect("the page");
    browser.until_shown("#door-form").await;
    throttled(&browser).await;
    browser.client.clone().close().await.expect("closed");
    drop(browser);
    let (_, log) = server.stop();
    for secret in [&*owner, &*key, PASSWORD, "mcs_"] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
    assert!(log.contains("logged in organization="), "{log}");
}

/// Of five attempts in a minute, one is used up.
async fn throttled(browser: &Browser) {
    browser.fill("#door-email", EMAIL).await;
    browser.fill("#door-password", "wrong").await;
    for _ in 0..4 {
        browser.click("#door-submit").await;
        browser.until_shown("#door-error").await;
        assert_eq!(browser.text("#door-error").await, "The email or the password is wrong.");
        browser.until("!document.querySelector('#door-submit').disabled").await;
    }
    browser.screenshot("log-in-rejected").await;
    browser.click("#door-submit").await;
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
    browser.click("#saved").await;
    browser.until("document.querySelector('#door-form')?.checkVisibility() || document.querySelector('#ended')?.checkVisibility() || void document.querySelector('#refresh')?.click()").await;
    browser.screenshot("session-ended").await;
    assert_eq!(browser.run("return document.querySelectorAll('tr[data-uid]').length").await, json!(0));
    browser.client.clone().close().await.expect("closed");
}
