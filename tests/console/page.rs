//! The files of the page. The browser test covers what it does.

use axum::Router;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use tower::ServiceBuilder;
use tower::ServiceExt;
use tower::util::MapRequestLayer;
use tower_api_key::Scope;
use tower_api_key::console::{ConsolePage, ConsoleText, Operator};
use tower_api_key::manage::IssueRules;
use tower_api_key::scope::ScopeCatalog;

use super::client::{console, keys, log_in};
use crate::support::axum_server::serve_axum;
use crate::support::http1_client::connect_http1;
use crate::support::http2_client::connect_http2;
use crate::support::hyper_server::serve_hyper;
use crate::support::reply::Reply;

const MODULES: [&str; 13] = [
    "page.js",
    "main.js",
    "api.js",
    "config.js",
    "create.js",
    "dom.js",
    "feedback.js",
    "format.js",
    "list.js",
    "manage.js",
    "regenerate.js",
    "revoke.js",
    "secret.js",
];

async fn get(page: &ConsolePage, path: &str) -> Reply {
    let request = Request::get(path).extension(Operator::new("acme".parse().unwrap(), "ada@example.com"));
    let Ok(response) = page.clone().oneshot(request.body(()).unwrap()).await;
    Reply::of(response).await
}

/// Cases: 238.
#[tokio::test]
async fn page_and_files_are_served_on_every_server() {
    let page = console(&keys()).page("/api/keys");
    let login = || MapRequestLayer::new(log_in);
    let nested = Router::new()
        .nest_service("/settings/keys", page.clone())
        .layer(MapRequestLayer::new(log_in::<axum::body::Body>));
    let bare = ServiceBuilder::new().layer(login()).service(page);
    for server in [serve_axum(nested).await, serve_hyper(bare).await] {
        for (file, kind) in [
            ("", "text/html; charset=utf-8"),
            ("/", "text/html; charset=utf-8"),
            ("?page.css", "text/css; charset=utf-8"),
            ("/?page.css", "text/css; charset=utf-8"),
            ("?icon.svg", "image/svg+xml"),
            ("/main.js", "text/javascript; charset=utf-8"),
            ("?config.json", "application/json"),
        ] {
            let path = format!("/settings/keys{file}");
            let request = |uri: String| {
                let request = Request::get(uri).header("host", "keys.example").header("x-test-login", "acme/ada");
                request.body(Full::<Bytes>::default()).unwrap()
            };
            let http1 = connect_http1(server.http1).await.send_request(request(path.clone())).await.unwrap();
            let url = format!("http://{}{path}", server.http2);
            let http2 = connect_http2(server.http2).await.send_request(request(url)).await.unwrap();
            for reply in [Reply::of(http1).await, Reply::of(http2).await] {
                assert_eq!((reply.status, reply.header("content-type")), (200, kind), "{file}");
                assert!(reply.body.len() > 100, "{file}");
            }
        }
    }
}

/// Cases: 238.
#[tokio::test]
async fn page_allows_no_foreign_content() {
    let page = console(&keys()).page("/api/keys");
    let files = ["/", "/?page.css", "/?icon.svg", "/?config.json", "/missing.js"].map(str::to_owned);
    for file in files.into_iter().chain(MODULES.map(|module| format!("/{module}"))) {
        let reply = get(&page, &file).await;
        let policy = reply.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        for (header, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(reply.header(header), value, "{file}");
        }
        for never in [" style=", "innerHTML", " onclick=", "https:", "<script>", "eval(", "document.write"] {
            assert!(!reply.body.contains(never), "{file}: {never}");
        }
    }
}

/// Cases: 238.
#[tokio::test]
async fn every_import_of_a_module_is_served() {
    let page = console(&keys()).page("/api/keys");
    let mut imported = 0;
    for module in MODULES {
        let body = get(&page, &format!("/settings/keys/{module}")).await.body;
        for name in body.split("from \"./").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(MODULES.contains(&name), "{module} imports {name}");
            imported += 1;
        }
    }
    assert!(imported > 20, "{imported}");
    for (path, status) in [("/missing.js", 404), ("/keys?missing.js", 200), ("/.env", 404), ("/settings/keys", 200)] {
        assert_eq!(get(&page, path).await.status, status, "{path}");
    }
    let request = Request::builder().method(Method::POST).uri("/").body(()).unwrap();
    let Ok(response) = page.clone().oneshot(request).await;
    assert_eq!(
        (response.status(), &response.headers()["allow"]),
        (http::StatusCode::METHOD_NOT_ALLOWED, &"GET, HEAD".parse().unwrap())
    );
    let request = Request::builder().method(Method::HEAD).uri("/").body(()).unwrap();
    let Ok(response) = page.oneshot(request).await;
    let reply = Reply::of(response).await;
    assert!(reply.body.is_empty() && reply.header("content-length").parse::<usize>().unwrap() > 1000);
}

/// Cases: 238.
#[tokio::test]
async fn settings_reach_the_page_as_text() {
    let hostile = "</title><img src=x onerror=alert(1)> & \"co\"";
    let rules = IssueRules::new()
        .with_catalog(ScopeCatalog::new(["a.read", "b.read", "c.read"].map(Scope::from_static)))
        .with_grantable_scopes(["c.read", "a.read"].map(Scope::from_static));
    let page = console(&keys().with_rules(rules))
        .title(hostile)
        .header_link("Settings", "/settings")
        .log_in_at("/login")
        .log_out_at("/logout")
        .scope_meanings([(Scope::from_static("c.read"), "Reads c"), (Scope::from_static("b.read"), "Reads b")])
        .example_url("https://api.example.com/v1/me")
        .key_header("x-acme-key".parse().unwrap())
        .text(ConsoleText::Lead, hostile)
        .page("/api/keys");
    let html = get(&page, "/").await.body;
    assert!(html.contains("&lt;/title&gt;&lt;img src=x onerror=alert(1)&gt; &amp; &quot;co&quot;"), "{html:.800}");
    assert!(!html.contains("<img src=x") && !html.contains("{{"));
    let reply = get(&page, "/?config.json").await;
    assert_eq!(reply.header("cache-control"), "no-store");
    let mut config: Value = serde_json::from_str(&reply.body).unwrap();
    let texts = config.as_object_mut().unwrap().remove("texts").unwrap();
    assert_eq!((&texts["lead"], &texts["heading"]), (&json!(hostile), &json!("API keys")));
    let expected = json!({
        "api": "/api/keys",
        "actor": "ada@example.com",
        "all_organizations": false,
        "links": [{"text": "Settings", "href": "/settings"}],
        "log_in": "/login",
        "log_out": "/logout",
        "scopes": [{"name": "c.read", "meaning": "Reads c"}, {"name": "a.read", "meaning": null}],
        "any_scope": false,
        "full_access": false,
        "expiry_required": false,
        "default_lifetime": false,
        "environments": [],
        "example": "https://api.example.com/v1/me",
        "header": "X-Acme-Key",
    });
    assert_eq!(config, expected);
}
