//! Other people, and other sites in the same browser.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::json;
use tower_api_key::Access;

use super::world::{World, row};
use crate::support::axum_server::serve_axum;

/// Cases: 234, 238.
#[tokio::test]
#[ignore = "needs chromium"]
async fn second_account_sees_nothing_of_the_first() {
    let world = World::start().await;
    let browser = &world.browser;
    let key = world.issue("acme", "Secret of acme", Access::Full).await;
    world.open("acme/ada@example.com").await;
    browser.until(&row("Secret of acme")).await;
    world.open("other/eve@example.com").await;
    browser.choose("#filter", "").await;
    browser.until_shown("#empty").await;
    assert!(!browser.client.source().await.unwrap().contains("Secret of acme"));
    // Nor by the calls of the page.
    let uid = key.record.id();
    for (method, path) in [("GET", ""), ("PATCH", ""), ("POST", "revoke/"), ("POST", "regenerate/")] {
        let script = format!(
            "const done = arguments[0]; fetch('/api/keys/{uid}/{path}', {{ method: '{method}', \
             headers: {{ 'Content-Type': 'application/json' }}, body: '{method}' === 'GET' ? undefined : '{{}}' }}) \
             .then((response) => done(response.status))"
        );
        assert_eq!(browser.client.execute_async(&script, vec![]).await.unwrap(), json!(404), "{method} {path}");
    }
    assert_eq!(world.status(key.secret.expose_secret()).await, 200);
    world.close().await;
}

/// Cases: 233, 238.
///
/// The other page is of the same site, a port of this machine, so that the browser sends the `SameSite=Strict` cookie.
#[tokio::test]
#[ignore = "needs chromium"]
async fn page_of_another_origin_changes_nothing() {
    let world = World::start().await;
    let browser = &world.browser;
    let key = world.issue("acme", "Mine", Access::Full).await;
    let foreign = Router::new().route("/", get(async || Html("<!DOCTYPE html><title>Other</title><body>")));
    let foreign = serve_axum(foreign).await;
    world.open("acme/ada@example.com").await;
    browser.client.goto(&format!("http://{}/", foreign.http1)).await.unwrap();

    let uid = key.record.id();
    let base = world.url("/api/keys");
    let attack = format!(
        "const done = arguments[0]; \
         const body = JSON.stringify({{ name: 'theirs', full_access: true }}); \
         const paths = ['{base}/', '{base}/{uid}/', '{base}/{uid}/revoke/', '{base}/{uid}/regenerate/', '{}']; \
         const kinds = ['text/plain', 'application/json', 'application/x-www-form-urlencoded']; \
         const calls = []; \
         for (const path of paths) for (const method of ['GET', 'POST', 'PATCH']) for (const kind of kinds) \
           for (const mode of ['no-cors', 'cors']) \
             calls.push(fetch(path, {{ method, mode, credentials: 'include', headers: {{ 'Content-Type': kind }}, \
               body: method === 'GET' ? undefined : body }}).then((response) => response.text(), () => '')); \
         const frame = document.createElement('iframe'); frame.src = '{}'; document.body.append(frame); \
         frame.onload = () => Promise.all(calls).then((texts) => done(texts.join('')))",
        world.url("/unprotected"),
        world.url("/settings/keys")
    );
    let read = browser.client.execute_async(&attack, vec![]).await.unwrap();
    assert_eq!(read, json!(""), "the other page has read something");
    // The browser did send the requests, with the cookie.
    let arrived = world.login.unprotected.lock().unwrap().clone();
    assert!(
        arrived.iter().any(|method| method == "POST") && arrived.iter().any(|method| method == "GET"),
        "{arrived:?}"
    );

    let counts = world.keys.counts_all().await.unwrap();
    assert_eq!((counts.active, counts.revoked), (1, 0));
    let after = world.keys.get(&"acme".parse().unwrap(), uid).await.unwrap();
    assert_eq!((after.name(), after.replaced_by()), ("Mine", None));
    assert_eq!(world.status(key.secret.expose_secret()).await, 200);
    world.close().await;
}
