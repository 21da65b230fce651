//! `/metrics`, as Prometheus reads it.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::json;

use super::client::{Api, NO_KEY, text};
use super::server::Server;

/// The URL that a server prints with `--metrics-listen`.
fn printed_url(server: &Server) -> String {
    let lines = std::iter::repeat_with(|| server.printed());
    lines.filter_map(|line| line.strip_prefix("Metrics at ").map(str::to_owned)).next().unwrap()
}

/// Each sample by its name and labels.
async fn scrape(api: &Api, url: &str) -> BTreeMap<String, f64> {
    let reply = api.get("", url).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "text/plain; version=0.0.4; charset=utf-8"));
    let samples = reply.body.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let sample = |line: &str| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
    samples.map(|line| sample(line).unwrap_or_else(|| panic!("not a sample: {line}"))).collect()
}

#[tokio::test]
async fn metrics_count_requests_and_changes() {
    let server = Server::start(&["--metrics-listen", "127.0.0.1:0"]);
    let (api, url) = (Api::of(&server), printed_url(&server));
    assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/metrics") && !url.contains(":0/"), "{url}");
    assert_eq!(scrape(&api, &url).await, BTreeMap::new());

    let user = api.sign_up("ada").await;
    let owner = user.key;
    let made = api.make_key(&owner, json!({"name": "x", "scopes": ["tasks.read"]})).await;
    let (key, uid) = (text(&made["api_key"]), text(&made["uid"]));
    let work = async || {
        api.get(&key, "/tasks/").await.expect(200);
        api.get(&key, "/datasets/").await.expect(403);
        api.get("", &format!("/datasets/{key}/")).await.expect(401);
        api.get("avk_unknown", "/tasks/").await.expect(401);
    };
    work().await;
    let of = |outcome: &str| format!("api_key_requests_total{{outcome=\"{outcome}\"}}");
    let changes = |change: &str| format!("api_key_changes_total{{change=\"{change}\",outcome=\"done\"}}");
    let timed = |outcome: &str| format!("api_key_request_duration_seconds_count{{outcome=\"{outcome}\"}}");
    let first = scrape(&api, &url).await;
    // The first key and the one that was made, and the request that made it.
    assert_eq!((first[&changes("issued")], first[&of("accepted")]), (2.0, 2.0));
    for outcome in ["insufficient_scope", "missing", "unknown"] {
        assert_eq!(first[&of(outcome)], 1.0, "{first:?}");
    }

    work().await;
    api.order(&owner, &format!("/api-keys/{uid}/revoke/")).await.expect(200);
    let reply = api.get("", &url).await.body;
    let second = scrape(&api, &url).await;
    for (sample, count) in [
        (changes("issued"), 2.0),
        (changes("revoked"), 1.0),
        (of("accepted"), 4.0),
        (of("insufficient_scope"), 2.0),
        (of("missing"), 2.0),
        (of("unknown"), 2.0),
        // A request with an invalid key is not counted.
        ("api_key_limits_total{limit=\"requests\",outcome=\"allowed\"}".to_owned(), 6.0),
        ("api_key_limits_total{limit=\"signups\",outcome=\"allowed\"}".to_owned(), 1.0),
        (timed("accepted"), 4.0),
        (timed("unknown"), 2.0),
    ] {
        assert_eq!(second[&sample], count, "{sample}: {second:?}");
    }
    let slow = second["api_key_request_duration_seconds_bucket{outcome=\"accepted\",le=\"+Inf\"}"];
    assert_eq!(slow, 4.0);
    for metric in ["api_key_requests_total counter", "api_key_changes_total counter"] {
        assert!(reply.contains(&format!("# TYPE {metric}\n")), "{reply}");
    }
    assert!(reply.contains("# TYPE api_key_request_duration_seconds histogram\n"), "{reply}");
    assert!(reply.contains("# HELP api_key_requests_total "), "{reply}");

    // Each label is one of these, and each value is a word of this crate or the end of a bucket.
    for sample in second.keys() {
        let labels = sample.split_once('{').map_or("", |(_, labels)| labels).trim_end_matches('}');
        for (name, value) in labels.split(',').map(|label| label.split_once('=').unwrap()) {
            let value = value.trim_matches('"');
            let is_word = value.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let is_end = value == "+Inf" || value.parse::<f64>().is_ok();
            assert!(matches!(name, "outcome" | "change" | "limit") && is_word || name == "le" && is_end, "{sample}");
        }
    }
    let organization = api.get(&owner, "/datasets/").await.expect(200)["results"][0]["owner_name"].clone();
    for secret in [&owner[4..], &key[4..], &uid, &*text(&organization), &user.username, "tasks", "/api"] {
        assert!(!reply.contains(secret), "{secret}: {reply}");
    }
}

#[tokio::test]
async fn metrics_address_serves_nothing_else() {
    let server = Server::start(&["--metrics-listen", "127.0.0.1:0"]);
    let (api, url) = (Api::of(&server), printed_url(&server));
    let key = api.sign_up("ada").await.key;
    let base = url.strip_suffix("/metrics").unwrap();
    for path in ["/", "/api/v1/tasks/", "/api/v1/signup/", "/metrics/", "/metrics/x"] {
        assert_eq!(api.get(&key, &format!("{base}{path}")).await.status, 404, "{path}");
    }
    assert_eq!(api.call(Method::POST, &key, &url, None).await.status, 405);
    // It ends with the server, although a client keeps its connection.
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn metrics_are_off_by_default() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    let key = api.sign_up("ada").await.key;
    let url = format!("http://{}/metrics", server.address());
    api.get("", &url).await.expect_text(401, NO_KEY);
    assert_eq!(api.get(&key, &url).await.status, 404);
    server.signal("TERM");
    while let Some(line) = server.next_printed() {
        assert!(!line.contains("etrics"), "{line}");
    }
}
