//! Requests that another site makes a browser send.

use http::{HeaderValue, Method};
use serde_json::json;
use tower::ServiceExt;

use super::client::{Client, axum_server, console, hyper_server, keys, text};

const FOREIGN: [&[(&str, &str)]; 4] = [
    &[("origin", "https://evil.example")],
    &[("origin", "null")],
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site"), ("origin", "https://blog.example.com")],
];

/// Cases: 233.
#[tokio::test]
async fn foreign_page_reads_and_changes_nothing() {
    let keys = keys();
    for server in [axum_server(console(&keys).api()).await, hyper_server(console(&keys).api()).await] {
        for client in Client::both(&server, "acme/ada@example.com") {
            let uid = text(&client.post("/", &json!({"name": "mine", "full_access": true})).await.expect(201)["uid"]);
            let before = keys.counts_all().await.unwrap();
            let calls = [
                (Method::GET, "/".to_owned()),
                (Method::POST, "/".into()),
                (Method::PATCH, format!("/{uid}/")),
                (Method::POST, format!("/{uid}/revoke/")),
                (Method::POST, format!("/{uid}/regenerate/")),
            ];
            for foreign in FOREIGN {
                for (method, path) in &calls {
                    let headers = [foreign, &[("content-type", "application/json")]].concat();
                    let body = r#"{"name": "theirs", "full_access": true}"#;
                    let reply = client.send(method.clone(), path, &headers, body).await;
                    let expected = r#"{"detail":"This request comes from another site."}"#;
                    assert_eq!((reply.status, &*reply.body), (403, expected), "{foreign:?} {path}");
                    assert_eq!(reply.header("access-control-allow-origin"), "");
                }
            }
            // What a form of another site can send in an old browser.
            for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
                for (method, path) in &calls[1..] {
                    let headers = [("content-type", kind)];
                    let headers = if kind.is_empty() { &[][..] } else { &headers };
                    let body =
                        if path.ends_with("/revoke/") { "" } else { r#"{"name": "theirs", "full_access": true}"# };
                    assert_eq!(client.send(method.clone(), path, headers, body).await.status, 415, "{kind} {path}");
                }
            }
            assert_eq!(keys.counts_all().await.unwrap(), before);
            assert_eq!(client.get(&format!("/{uid}/")).await.json()["name"], "mine");
        }
    }
}

/// Cases: 233.
#[tokio::test]
async fn allowed_origin_reads_and_changes() {
    let console = console(&keys()).allow_origin(HeaderValue::from_static("https://admin.example"));
    let server = axum_server(console.api()).await;
    let client = Client::of(&server, "acme/ada@example.com");
    let body = json!({"name": "x", "full_access": true}).to_string();
    for (origin, status) in [("https://admin.example", 201), ("https://evil.example", 403)] {
        let headers = [("origin", origin), ("sec-fetch-site", "cross-site"), ("content-type", "application/json")];
        assert_eq!(client.send(Method::POST, "/", &headers, &body).await.status, status, "{origin}");
    }
}

#[tokio::test]
async fn path_outside_the_prefix_is_not_found() {
    let api = console(&keys()).api().at("/api/keys/");
    for (path, status) in
        [("/api/keys", 200), ("/api/keys/", 200), ("/api/keysx", 404), ("/", 404), ("/x/api/keys/", 404)]
    {
        let operator = tower_api_key::console::Operator::new("acme".parse().unwrap(), "ada");
        let request = http::Request::get(path).extension(operator).body(String::new()).unwrap();
        assert_eq!(api.clone().oneshot(request).await.unwrap().status(), status, "{path}");
    }
}
