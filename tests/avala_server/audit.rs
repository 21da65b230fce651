//! The log: who used what, and never a secret.

use serde_json::json;

use super::client::{Api, raw, text};
use super::server::Server;
use super::stores::Store;

on_every_store!(no_secret_is_logged_even_at_trace,);

#[tokio::test]
async fn one_line_says_who_used_what() {
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
    // One for each request that came to the key layer, which signing up does not.
    assert_eq!(audit.len(), 8, "{log}");
    assert_eq!(log.matches(&format!("issued key={uid} organization=")).count(), 1, "{log}");
    assert!(!log.contains('\u{1b}'), "no colours where nobody looks: {log}");
}

#[tokio::test]
async fn case_102_a_path_cannot_write_to_the_log() {
    let server = Server::start(&[]);
    let key = Api::of(&server).sign_up("ada").await.key;
    // What no client library would send: a made-up key in the path, a quote, bytes that no terminal should see.
    for path in [format!("/api/v1/api-keys/{key}/revoke/"), "/api/v1/\u{202e}\u{9b}31m\"'/".to_owned()] {
        raw(&server, &format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
            .await;
    }
    let (_, log) = server.stop();
    assert!(!log.contains(&key), "{log}");
    assert!(log.contains("path=/api/v1/api-keys/[redacted]/revoke/ outcome=missing"), "{log}");
    assert!(log.chars().all(|c| c == '\n' || c.is_ascii_graphic() || c == ' '), "{log:?}");
}

async fn no_secret_is_logged_even_at_trace(store: &Store) {
    let server = store.start_logging(&[], "trace");
    let api = Api::of(&server);
    let password = "a password that nobody may read";
    let body = json!({"email": "ada@example.com", "password": password, "first_name": 5});
    api.post("", "/signup/", body).await.expect(400);
    let body = json!({"email": "ada@example.com", "password": password});
    let owner = text(&api.post("", "/signup/", body).await.expect(201)["api_key"]);
    let made = api.make_key(&owner, json!({"name": "x", "scopes": ["tasks.read"]})).await;
    let regenerated = api.order(&owner, &format!("/api-keys/{}/regenerate/", text(&made["uid"]))).await.expect(201);
    let marker = "/marker-in-a-path/";
    for key in [&owner, &text(&made["api_key"]), &text(&regenerated["api_key"]), "avk_never-issued-to-anybody"] {
        api.get(key, marker).await;
        api.post(key, "/api-keys/", json!({"name": key, "scopes": [key]})).await;
    }
    let http2 = Api::http2(&server);
    let over_http2 = http2.make_key(&owner, json!({"name": "y", "scopes": ["tasks.read"]})).await;
    http2.get(&text(&over_http2["api_key"]), marker).await.expect(404);
    let (_, log) = server.stop();

    let secrets = [
        owner,
        text(&made["api_key"]),
        text(&regenerated["api_key"]),
        text(&over_http2["api_key"]),
        password.to_owned(),
    ];
    let found = |log: &str| secrets.iter().filter(|secret| log.contains(secret.trim_start_matches("avk_"))).count();
    // The log is a full one, and the search finds what is there.
    assert!(log.contains("TRACE") && log.contains(" h2::") && log.matches(marker).count() >= 5, "{log}");
    assert_eq!(found(&format!("{log}{}", secrets.concat())), secrets.len());
    assert_eq!(found(&log), 0, "{log}");
    assert!(!log.contains("never-issued-to-anybody"), "{log}");
}
