//! What people do on the page, from the first key to the last.

use std::time::{Duration, SystemTime};

use fantoccini::key::Key;
use serde_json::json;
use tower_api_key::scope::avala;
use tower_api_key::{Access, NewKey};

use super::world::{World, row};

const HOSTILE: &str = "<img src=x onerror=alert(1)>";

/// Cases: 238.
#[tokio::test]
#[ignore = "needs chromium"]
async fn key_lifecycle_works_in_the_page() {
    let world = World::start().await;
    let browser = &world.browser;
    world.open("acme/ada@example.com").await;
    assert_eq!(browser.text("#empty-title").await, "No active keys");
    assert_eq!(browser.text("#actor").await, "ada@example.com");
    assert_eq!(browser.client.title().await.unwrap(), "API keys · Mission Control");
    browser.screenshot("no-keys").await;

    full_access_is_confirmed(&world).await;
    let scoped = scoped_key_is_created(&world).await;
    let hint = format!("avk_...{}", &scoped[40..]);

    // Used, and seen.
    assert_eq!((world.status(&scoped).await, world.status("").await), (200, 401));
    browser.click("#refresh").await;
    browser.until(&format!("{}?.querySelector('.used').textContent === 'Just now'", row("Nightly import"))).await;
    let text = world.row_text("Nightly import").await;
    for part in [&hint, "datasets.read", "tasks.read", "Active", "Just now"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Of creation and expiry, the date.
    let dates =
        format!("return [...{}.querySelectorAll('time')].map((time) => time.dateTime.length)", row("Nightly import"));
    assert_eq!(browser.run(&dates).await, json!([20, 20, 20]), "created, expires, used");

    renamed_suspended_and_resumed(&world, &scoped).await;
    regenerated(&world, &scoped).await;
    hostile_name_is_text(&world).await;
    last_full_access_is_warned_about(&world).await;
    world.close().await;
}

async fn full_access_is_confirmed(world: &World) {
    let browser = &world.browser;
    browser.click("#create").await;
    // The field for the name has the focus. Nothing is made of a form without a name.
    browser.screenshot("create").await;
    browser.click("#full-confirmed").await;
    browser.press(&char::from(Key::Enter).to_string()).await;
    browser.until_shown("#create-form .field-error").await;
    assert_eq!(browser.text("#create-form-name-error").await, "This field may not be blank.");
    let invalid = "return [document.activeElement.id, document.activeElement.getAttribute('aria-describedby'), document.activeElement.ariaInvalid]";
    assert_eq!(browser.run(invalid).await, json!(["create-name", "create-form-name-error", "true"]));
    browser.screenshot("create-invalid").await;
    browser.click("#full-confirmed").await;
    browser.fill("#create-name", "Operations").await;
    browser.press(&char::from(Key::Enter).to_string()).await;
    browser.until_shown("#full-error").await;
    assert_eq!(world.keys.counts_all().await.unwrap().active, 0);
    browser.screenshot("create-full-access").await;
    browser.click("#full-confirmed").await;
    browser.choose("#create-expiry", "").await;
    browser.click("#create-form button.primary").await;
    let full = world.new_key().await;
    assert_eq!(world.status(&full).await, 200);
    // Escape does not lose it, however often.
    for _ in 0..3 {
        browser.press(&char::from(Key::Escape).to_string()).await;
    }
    browser.screenshot("new-key-full-access").await;
    browser.click("#saved").await;
    browser.until_shown("#done").await;
    assert_eq!(browser.text("#new-key").await, "");
    let focused = browser.run("return document.activeElement.id").await;
    assert_eq!(focused, "done", "the focus is on what was done");
}

/// By keyboard alone.
async fn scoped_key_is_created(world: &World) -> String {
    let browser = &world.browser;
    let tab = char::from(Key::Tab);
    browser.run("document.querySelector('#create').focus()").await;
    browser.press(&char::from(Key::Enter).to_string()).await;
    browser.until("document.activeElement.id === 'create-name'").await;
    browser.press(&format!("Nightly import{tab} ")).await;
    browser.until("document.querySelector('#scope-list input:checked')?.value === 'datasets.read'").await;
    browser.press(&format!("{tab}{tab}{tab} ")).await;
    browser.until("document.querySelectorAll('#scope-list input:checked').length === 2").await;
    assert_eq!(browser.run("return document.querySelector('#full').checkVisibility()").await, json!(false));
    browser.run("document.querySelector('#create-more summary').click()").await;
    browser.click("#add-metadata").await;
    browser.press(&format!("ticket{tab}OPS-7")).await;
    browser.choose("#create-environment", "live").await;
    browser.fill("#create-networks", "127.0.0.0/8 x").await;
    browser.screenshot("create-scoped").await;
    browser.press(&char::from(Key::Enter).to_string()).await;
    browser.until_shown("#create-form-allowed_networks-error").await;
    browser.fill("#create-networks", "").await;
    browser.press(&char::from(Key::Enter).to_string()).await;
    let scoped = world.new_key().await;
    assert!(scoped.starts_with("avk_") && scoped.len() == 44, "{scoped}");
    browser.until("document.activeElement.id === 'copy'").await;
    browser.press(&char::from(Key::Enter).to_string()).await;
    browser.until("document.querySelector('#copied').textContent === 'The key is copied to the clipboard.'").await;
    assert_eq!(browser.clipboard().await, scoped);
    browser.screenshot("new-key").await;
    browser.click("#copy-curl").await;
    browser.until("document.querySelector('#copied').textContent === 'The command is copied to the clipboard.'").await;
    let curl = browser.clipboard().await;
    assert_eq!(curl, format!("curl {} -H 'X-Avala-Api-Key: {scoped}'", world.url("/v1/me")));
    browser.click("#saved").await;
    browser.until("document.querySelectorAll('tr[data-uid]').length === 2").await;
    browser.screenshot("keys").await;
    scoped
}

async fn renamed_suspended_and_resumed(world: &World, key: &str) {
    let browser = &world.browser;
    world.manage("Nightly import").await;
    let facts = browser.text("#key-facts").await;
    for fact in ["ticket", "OPS-7", "by ada@example.com", "live", "datasets.read"] {
        assert!(facts.contains(fact), "{facts}");
    }
    browser.screenshot("manage").await;
    browser.fill("#key-name", " ").await;
    browser.click("#rename-field button").await;
    browser.until_shown("#key-form-name-error").await;
    browser.fill("#key-name", "Daily import").await;
    browser.click("#rename-field button").await;
    browser.until_shown("#done").await;
    assert_eq!(browser.text("#done").await, "The key is now called “Daily import”.");

    world.manage("Daily import").await;
    browser.click("#suspend").await;
    browser.screenshot("suspend").await;
    assert_eq!(
        browser.run("return document.activeElement.textContent").await,
        "Cancel",
        "the safe choice has the focus"
    );
    browser.click("#suspend-form button.primary").await;
    browser.until("document.querySelector('#done').textContent.includes('is suspended')").await;
    assert_eq!(world.status(key).await, 401);
    browser.choose("#filter", "suspended").await;
    browser.until(&row("Daily import")).await;
    browser.screenshot("suspended").await;
    world.manage("Daily import").await;
    browser.screenshot("manage-suspended").await;
    browser.click("#resume").await;
    browser.until("document.querySelector('#done').textContent.includes('works again')").await;
    assert_eq!(world.status(key).await, 200);
    browser.choose("#filter", "active").await;
    browser.until(&row("Daily import")).await;
}

async fn regenerated(world: &World, old: &str) {
    let browser = &world.browser;
    world.manage("Daily import").await;
    browser.click("#regenerate").await;
    assert!(browser.text("#regenerate-subject").await.contains("Last used: just now"));
    browser.screenshot("regenerate").await;
    browser.choose("#overlap", "3600").await;
    browser.choose("#regenerate-expiry", "30").await;
    assert!(browser.text("#regenerate-text").await.contains("The old one works until"));
    browser.screenshot("regenerate-overlap").await;
    browser.click("#regenerate-form button.primary").await;
    let new = world.new_key().await;
    assert_eq!((world.status(old).await, world.status(&new).await), (200, 200));
    browser.screenshot("regenerated").await;
    browser.click("#saved").await;
    browser.until("document.querySelectorAll('tr[data-uid]').length === 3").await;
    browser.screenshot("overlap").await;

    // At once, and expired.
    let acme = "acme".parse().unwrap();
    let expiring = NewKey::new("Quarterly export", Access::scoped([avala::EXPORTS_CREATE])).unwrap();
    let expiring = expiring.with_expires_at(SystemTime::now() + Duration::from_secs(2));
    let expired = world.keys.issue(&acme, expiring).await.unwrap();
    browser.choose("#filter", "expired").await;
    let refreshed =
        "document.querySelector('#table').ariaBusy === 'true' || document.querySelector('#refresh').click()";
    browser.until(&format!("{} || void ({refreshed})", row("Quarterly export"))).await;
    assert_eq!(world.status(expired.secret.expose_secret()).await, 401);
    browser.screenshot("expired").await;
    world.manage("Quarterly export").await;
    browser.click("#regenerate").await;
    assert!(browser.text("#regenerate-text").await.contains("This key has expired."));
    assert_eq!(browser.run("return document.querySelector('#overlap').checkVisibility()").await, json!(false));
    browser.choose("#regenerate-expiry", "at").await;
    browser.click("#regenerate-form button.primary").await;
    browser.until_shown("#regenerate-form-expires_at-error").await;
    browser.screenshot("regenerate-at-a-time").await;
    browser.choose("#regenerate-expiry", "30").await;
    browser.click("#regenerate-form button.primary").await;
    let restored = world.new_key().await;
    assert_eq!(world.status(&restored).await, 200);
    browser.click("#saved").await;
    browser.choose("#filter", "active").await;
}

/// The name is shown as it was written, wherever it is shown.
async fn hostile_name_is_text(world: &World) {
    let browser = &world.browser;
    browser.click("#create").await;
    browser.fill("#create-name", HOSTILE).await;
    browser.click("#scope-list input").await;
    browser.click("#create-form button.primary").await;
    let hostile = world.new_key().await;
    assert_eq!(browser.text("#new-name").await, HOSTILE);
    browser.click("#saved").await;
    browser.until(&row(HOSTILE)).await;
    browser.screenshot("hostile-name").await;
    world.manage(HOSTILE).await;
    browser.click("#revoke").await;
    let subject = browser.text("#revoke-subject").await;
    for part in [HOSTILE, &format!("avk_...{}", &hostile[40..]), "Never used"] {
        assert!(subject.contains(part), "{subject}");
    }
    assert!(browser.text("#revoke-text").await.contains("This is final."));
    assert_eq!(
        browser.run("return document.activeElement.textContent").await,
        "Cancel",
        "the safe choice has the focus"
    );
    browser.screenshot("revoke").await;
    // Nothing happens before the button.
    browser.press(&char::from(Key::Escape).to_string()).await;
    browser.until("!document.querySelector('#revoke-dialog').open").await;
    assert_eq!(world.status(&hostile).await, 200);
    world.manage(HOSTILE).await;
    browser.click("#revoke").await;
    browser.click("#revoke-form button.danger").await;
    browser.until_shown("#done").await;
    assert_eq!(world.status(&hostile).await, 401);
    assert_eq!(browser.run("return document.querySelectorAll('img[src=x]').length").await, json!(0));
    assert!(browser.client.get_alert_text().await.is_err(), "an alert");
    // By default, what is over is out of the way.
    browser.until(&format!("!{}", row(HOSTILE))).await;
    browser.choose("#filter", "").await;
    browser.until(&row(HOSTILE)).await;
    assert!(world.row_text(HOSTILE).await.contains("Revoked"));
    let revoked = format!("return {}.querySelector('.status time').dateTime.length", row(HOSTILE));
    assert_eq!(browser.run(&revoked).await, json!(20));
    // What works comes first.
    let statuses = "return [...document.querySelectorAll('tr[data-uid]')].map((row) => row.className)";
    let statuses = browser.run(statuses).await;
    let statuses: Vec<_> = statuses.as_array().unwrap().iter().map(|status| status.as_str().unwrap()).collect();
    assert!(statuses.is_sorted() && statuses.first() == Some(&"active") && statuses.last() == Some(&"revoked"));
    browser.screenshot("all-keys").await;
    world.manage(HOSTILE).await;
    assert_eq!(browser.run("return document.querySelector('#key-actions').checkVisibility()").await, json!(false));
    browser.screenshot("details-of-a-revoked-key").await;
    browser.click("#key-form [data-close]").await;
    browser.choose("#filter", "active").await;
}

async fn last_full_access_is_warned_about(world: &World) {
    let browser = &world.browser;
    let second = world.issue("acme", "Second", Access::Full).await;
    // Keys of others do not count.
    world.issue("other", "Other", Access::Full).await;
    browser.click("#refresh").await;
    for (name, warned) in [("Second", false), ("Operations", true)] {
        world.manage(name).await;
        browser.click("#revoke").await;
        if warned {
            browser.until_shown("#revoke-last").await;
            browser.screenshot("revoke-last-full-access").await;
        } else {
            // The answer is there once the list has been asked for.
            browser
                .until("performance.getEntriesByType('resource').some((entry) => entry.name.includes('limit=1000'))")
                .await;
            assert_eq!(
                browser.run("return document.querySelector('#revoke-last').checkVisibility()").await,
                json!(false)
            );
        }
        browser.click("#revoke-form button.danger").await;
        browser.until_shown("#done").await;
    }
    assert_eq!(world.status(second.secret.expose_secret()).await, 401);
}
