//! Paths that are no route: 401 without a valid key, 404 with one.

use axum::http::Method;

use super::client::{Api, INVALID_KEY, NO_KEY, NOT_FOUND, raw};
use super::server::Server;

const ODD: &[&str] = &[
    "/api",
    "/api/",
    "/api/v1",
    "/api/v1/",
    "/api/v1/nowhere/",
    "/api/v1/openapi.json/",
    "/api/v1/openapi",
    "/api/v2/datasets/",
    "/api/v1/datasets",
    "/api/v1/api-keys",
    "/api/v1//datasets/",
    "//api/v1/datasets/",
    "/api/v1/./datasets/",
    "/api/v1/x/../datasets/",
    "/api/v1/%64atasets/",
    "/api/v1/datasets%2f",
    "/api/v1/datasets/;x=1/y/",
    "/api/v1/DATASETS/",
    "/api/v1/datasets/../../../etc/passwd",
    "/api/v1/signup",
    "/api/v1/signup-admin/",
    "/api/v1/signup/x/",
    "/api/v1/SIGNUP/",
    "/api/v1/signup%2f",
    "/signup/",
];

/// Routes with a parameter that names nothing.
const NAMELESS: &[&str] = &[
    "/api/v1/datasets//",
    "/api/v1/datasets/%2e%2e/",
    "/api/v1/datasets/%2f/",
    "/api/v1/tasks/%ff/",
    "/api/v1/exports/%00/",
    "/api/v1/datasets/%ff/%ff/items/",
];

/// Cases: 25, 37.
#[tokio::test]
async fn other_paths_are_closed() {
    let server = Server::start(&["--requests-per-minute", "off"]);
    let key = Api::of(&server).sign_up("ada").await.key;
    let dead = format!("{}0", &key[..key.len() - 1]);
    let dead = if dead == key { format!("{}1", &key[..key.len() - 1]) } else { dead };
    let odd = ODD.iter().flat_map(|path| ["GET", "POST", "DELETE"].map(|method| (method, path)));
    let nameless = NAMELESS.iter().map(|path| ("GET", path));
    for (method, path) in odd.chain(nameless) {
        for (key, status, body) in [("", 401, NO_KEY), (&*dead, 401, INVALID_KEY), (&*key, 404, NOT_FOUND)] {
            let credential = if key.is_empty() { String::new() } else { format!("X-Avala-Api-Key: {key}\r\n") };
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\n{credential}Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let (got, response) = raw(&server, &request).await;
            assert_eq!(got, status, "{request}{response}");
            assert!(response.ends_with(body), "{request}{response}");
            let lower = response.to_lowercase();
            assert!(!lower.contains("\r\nlocation:") && !lower.contains("\r\nallow:"), "{request}{response}");
        }
    }
}

/// Cases: 27.
#[tokio::test]
async fn other_target_forms_need_a_key() {
    let server = Server::start(&[]);
    for target in ["http://elsewhere.example/api/v1/datasets/", "http://elsewhere.example/api/v1/nowhere/"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n");
        assert_eq!(raw(&server, &request).await.0, 401, "{target}");
    }
    assert_eq!(raw(&server, "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.0, 401);
    // With a valid key, a target with scheme and host is matched by its path.
    let key = Api::of(&server).sign_up("ada").await.key;
    for (path, status) in [("datasets", 200), ("nowhere", 404)] {
        let request = format!(
            "GET http://elsewhere.example/api/v1/{path}/ HTTP/1.1\r\nHost: elsewhere.example\r\n\
             X-Avala-Api-Key: {key}\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(raw(&server, &request).await.0, status, "{path}");
    }
}

/// Cases: 28, 29.
#[tokio::test]
async fn other_method_is_405_with_valid_key() {
    let server = Server::start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let key = api.sign_up("ada").await.key;
    let table = [
        ("/datasets/", "GET,HEAD,POST"),
        ("/datasets/x/", "GET,HEAD,PATCH,DELETE"),
        ("/datasets/x/items/", "POST"),
        ("/datasets/x/y/items/", "GET,HEAD"),
        ("/projects/", "GET,HEAD"),
        ("/users/me/projects/", "GET,HEAD"),
        ("/tasks/", "GET,HEAD"),
        ("/tasks/x/", "GET,HEAD"),
        ("/exports/", "POST"),
        ("/exports/x/", "GET,HEAD"),
        ("/exports/x/download/", "GET,HEAD"),
        ("/users/me/permissions/", "GET,HEAD"),
        ("/api-keys/", "GET,HEAD,POST"),
        ("/api-keys/x/", "GET,HEAD,PATCH"),
        ("/api-keys/x/revoke/", "POST"),
        ("/api-keys/x/regenerate/", "POST"),
        ("/organization/key-policy/", "GET,HEAD,PUT"),
        ("/signup/", "POST"),
        ("/openapi.json", "GET,HEAD"),
    ];
    for (path, allowed) in table {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if allowed.split(',').any(|allowed| allowed == method) {
                continue;
            }
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let reply = api.call(method.clone(), &key, path, None).await;
            reply.expect_text(405, &format!("{{\"detail\":\"Method \\\"{method}\\\" not allowed.\"}}"));
            assert_eq!(reply.header("allow"), allowed, "{method} {path}");
            api.call(method.clone(), "", path, None).await.expect_text(401, NO_KEY);
            // A header cannot make it another method.
            let overridden = [("x-http-method-override", "GET")];
            assert_eq!(api.send(method, &key, path, &overridden, "").await.status, 405);
        }
    }
}
