//! The log: which key was used for what, and never a secret.

use axum::http::Method;
use base64ct::{Base64, Base64Url, Encoding};
use serde_json::json;

use super::client::{Api, raw, text};
use super::server::Server;
use super::stores::Store;

on_every_store!(trace_log_contains_no_secret,);

#[tokio::test]
async fn use_is_one_log_line_with_its_key() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let made = api.make_key(&owner, json!({"name": "x", "scopes": ["tasks.read"]})).await;
    let (key, uid) = (text(&made["api_key"]), text(&made["uid"]));
    for path in ["/tasks/?page=1", "/datasets/", "/nowhere/"] {
        api.get(&key, path).await;
    }
    api.order(&owner, &format!("/api-keys/{uid}/revoke/")).await.expect(200);
    for key in [&key, "", "avk_unknown"] {
        api.get(key, "/tasks/").await;
    }
    let (_, log) = server.stop();

    let audit: Vec<_> =
        log.lines().filter_map(|line| line.split_once(" avala::audit: ")).map(|(_, line)| line).collect();
    let of_key: Vec<_> = audit.iter().filter(|line| line.starts_with(&format!("key={uid} organization="))).collect();
    let ends = |of_key: &[&&str]| {
        of_key.iter().map(|line| line.split_once(" method=").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        ends(&of_key),
        [
            "GET path=/api/v1/tasks/ outcome=accepted status=200",
            "GET path=/api/v1/datasets/ outcome=insufficient_scope status=403",
            "GET path=/api/v1/nowhere/ outcome=not_found status=404",
            "GET path=/api/v1/tasks/ outcome=revoked status=401",
        ]
    );
    for line in [
        "key=- organization=- method=GET path=/api/v1/tasks/ outcome=missing status=401",
        "key=- organization=- method=GET path=/api/v1/tasks/ outcome=unknown status=401",
    ] {
        assert_eq!(audit.iter().filter(|logged| **logged == line).count(), 1, "{log}");
    }
    // One for each request that reached the key layer. A signup does not.
    assert_eq!(audit.iter().filter(|line| line.starts_with("key=")).count(), 8, "{log}");
    assert!(!log.contains('\u{1b}'), "no colors outside a terminal: {log}");
}

/// Cases: 204.
/// Which key issued, revoked and replaced which key, and which one tried to.
#[tokio::test]
async fn change_is_one_log_line_with_its_actor() {
    let server = Server::start(&["--max-key-age", "90d"]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let listed = api.get(&owner, "/api-keys/").await.expect(200)["results"][0]["uid"].clone();
    let first = text(&listed);
    let issue = json!({"name": "x", "scopes": ["tasks.read"]});
    let made = text(&api.make_key(&owner, issue).await["uid"]);
    let order = async |uid: &str, what: &str| api.order(&owner, &format!("/api-keys/{uid}/{what}/")).await;
    let new = text(&order(&made, "regenerate").await.expect(201)["uid"]);
    order(&made, "regenerate").await.expect(409);
    order(&new, "revoke").await.expect(200);
    let unknown = "00000000-0000-4000-8000-000000000000";
    order(unknown, "revoke").await.expect(404);
    // A key in place of a scope is an unknown scope, which the log does not name.
    let pasted = api.post(&owner, "/api-keys/", json!({"name": "x", "scopes": [owner]})).await;
    pasted.expect(400);
    let (_, log) = server.stop();

    let lines = log.lines().filter_map(|line| line.split_once(" avala::audit: change="));
    let lines: Vec<_> = lines.map(|(start, line)| (start.split_whitespace().last().unwrap(), line)).collect();
    let organization = lines[0].1.split("organization=").nth(1).unwrap().split(' ').next().unwrap();
    let of = format!("organization={organization}");
    let expected = [
        ("INFO", format!("policy_changed key=- {of} max_key_age=7776000s by=signup outcome=done")),
        ("INFO", format!("issued key={first} {of} by=signup outcome=done")),
        ("INFO", format!("issued key={made} {of} by={first} outcome=done")),
        ("INFO", format!("regenerated key={made} new={new} {of} by={first} outcome=done")),
        ("WARN", format!("regenerated key={made} {of} by={first} outcome=rejected")),
        ("INFO", format!("revoked key={new} {of} by={first} outcome=done")),
        ("WARN", format!("revoked key={unknown} {of} by={first} outcome=rejected")),
        ("WARN", format!("issued key=- {of} by={first} outcome=rejected")),
    ];
    assert_eq!(lines, expected.each_ref().map(|(level, line)| (*level, &**line)), "{log}");
    assert!(!log.contains(&owner), "{log}");
}

/// Cases: 204.
/// A server that starts with another policy than the last time changes that of every organization.
#[tokio::test]
async fn policy_change_is_one_log_line_per_organization() {
    let store = Store::sqlite();
    let server = store.start(&[]);
    let api = Api::of(&server);
    for name in ["ada", "bob"] {
        api.sign_up(name).await;
    }
    server.stop();
    for (options, expected) in [
        (&["--max-key-age", "24h"][..], &["max_key_age=86400s by=- outcome=done"; 2][..]),
        (&["--max-key-age", "24h"], &[]),
        (&[], &["max_key_age=none by=- outcome=done"; 2]),
        (&[], &[]),
    ] {
        let (_, log) = store.start(options).stop();
        let lines = log.lines().filter(|line| line.contains("change=policy_changed key=- organization="));
        let ends: Vec<_> = lines.map(|line| line.split("max_key_age=").nth(1).unwrap()).collect();
        let expected: Vec<_> = expected.iter().map(|line| line.strip_prefix("max_key_age=").unwrap()).collect();
        assert_eq!(ends, expected, "{log}");
    }
}

/// Cases: 102.
#[tokio::test]
async fn path_cannot_inject_log_lines() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    let key = api.sign_up("ada").await.key;
    let body = json!({"email": "ada@example.com", "password": "correct horse battery staple"});
    let url = format!("http://{}/mission-control/login/", server.address());
    let login = api.post("", &url, body).await;
    let session = login.header("set-cookie").split(['=', ';']).nth(1).unwrap().to_owned();
    // No client library sends these: a key or a session in the path, encoded or not, a quote, control and direction
    // characters.
    let secrets = [key.clone(), session.clone()].into_iter().flat_map(|secret| {
        let percent = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        [
            secret.replace('_', "%5F"),
            secret.replace('_', "%255f"),
            secret.to_uppercase(),
            percent(&secret),
            percent(&percent(&secret)),
            secret[4..].to_owned(),
            Base64Url::encode_string(secret.as_bytes()),
            Base64::encode_string(secret.as_bytes()).replace('=', "%3D"),
            base16ct::lower::encode_string(secret.as_bytes()),
            secret,
        ]
    });
    let mut pasted = Vec::new();
    for secret in secrets {
        raw(&server, &format!("GET /api/v1/tasks/{secret}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        pasted.push(secret);
    }
    for path in [format!("/api/v1/api-keys/{key}/revoke/"), "/api/v1/\u{202e}\u{9b}31m\"'/".to_owned()] {
        raw(&server, &format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
            .await;
    }
    // Encoded more often than any client does.
    raw(&server, "GET /api/v1/exports/x%252525252525/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let (_, log) = server.stop();
    assert!(log.contains("path=/api/v1/exports/[redacted]/ outcome=missing"), "{log}");
    let known = log.to_lowercase();
    for secret in pasted.iter().flat_map(|secret| [secret.clone(), secret[4..].to_owned()]) {
        assert!(!known.contains(&secret.to_lowercase()), "{secret}: {log}");
    }
    assert_eq!(log.matches("path=/api/v1/tasks/[redacted]/ outcome=missing").count(), 20, "{log}");
    assert!(log.contains("path=/api/v1/api-keys/[redacted]/revoke/ outcome=missing"), "{log}");
    assert!(log.chars().all(|c| c == '\n' || c.is_ascii_graphic() || c == ' '), "{log:?}");
}

async fn trace_log_contains_no_secret(store: &Store) {
    let server = store.start_logging(&[], "trace");
    let api = Api::of(&server);
    let password = "a password that is never shown";
    let body = json!({"email": "ada@example.com", "password": password, "first_name": 5});
    api.post("", "/signup/", body).await.expect(400);
    let body = json!({"email": "ada@example.com", "password": password});
    let owner = text(&api.post("", "/signup/", body).await.expect(201)["api_key"]);
    let made = api.make_key(&owner, json!({"name": "x", "scopes": ["tasks.read"]})).await;
    let regenerated = api.order(&owner, &format!("/api-keys/{}/regenerate/", text(&made["uid"]))).await.expect(201);
    let marker = "/marker-in-a-path/";
    for key in [&owner, &text(&made["api_key"]), &text(&regenerated["api_key"]), "avk_never-issued"] {
        api.get(key, marker).await;
        api.post(key, "/api-keys/", json!({"name": key, "scopes": [key]})).await;
    }
    let http2 = Api::http2(&server);
    let over_http2 = http2.make_key(&owner, json!({"name": "y", "scopes": ["tasks.read"]})).await;
    http2.get(&text(&over_http2["api_key"]), marker).await.expect(404);
    let login = json!({"email": "ada@example.com", "password": password});
    let url = |path: &str| format!("http://{}{path}", server.address());
    let login = api.post("", &url("/mission-control/login/"), login).await;
    let session = login.header("set-cookie").split(['=', ';']).nth(1).unwrap().to_owned();
    for api in [&api, &http2] {
        let cookie = format!("mission_control={session}");
        let headers = [("cookie", &*cookie)];
        api.send(Method::GET, "", &url("/mission-control/session/"), &headers, "").await.expect(200);
        api.send(Method::GET, "", "/api-keys/", &headers, "").await.expect(200);
    }
    let (_, log) = server.stop();

    let secrets = [
        session.trim_start_matches("mcs_").to_owned(),
        owner,
        text(&made["api_key"]),
        text(&regenerated["api_key"]),
        text(&over_http2["api_key"]),
        password.to_owned(),
    ];
    let found = |log: &str| secrets.iter().filter(|secret| log.contains(secret.trim_start_matches("avk_"))).count();
    // The log is complete, and the search finds a secret where there is one.
    assert!(log.contains("TRACE") && log.contains(" h2::") && log.matches(marker).count() >= 5, "{log}");
    assert_eq!(found(&format!("{log}{}", secrets.concat())), secrets.len());
    assert_eq!(found(&log), 0, "{log}");
    assert!(!log.contains("never-issued"), "{log}");
}
