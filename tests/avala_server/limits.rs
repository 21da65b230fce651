use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::Method;
use serde_json::json;

use super::client::{Api, Reply, text};
use super::peer::Peer;
use super::server::Server;

/// Limit and remaining, after a look at the time of the reset.
fn told(reply: &Reply) -> (&str, &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let reset: u64 = reply.header("x-ratelimit-reset").parse().unwrap_or_else(|_| panic!("no reset: {reply:?}"));
    assert!((now..=now + 61).contains(&reset), "{reset} at {now}");
    (reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining"))
}

#[tokio::test]
async fn each_key_has_its_own_limit() {
    let server = Server::start(&["--requests-per-minute", "3"]);
    let api = Api::of(&server);
    let (ada, bob) = (api.sign_up("ada").await.key, api.sign_up("bob").await.key);
    for remaining in ["2", "1", "0"] {
        let reply = api.get(&ada, "/datasets/").await;
        reply.expect(200);
        assert_eq!(told(&reply), ("3", remaining));
    }
    for _ in 0..3 {
        let reply = api.get(&ada, "/datasets/").await;
        assert_eq!(told(&reply), ("3", "0"));
        assert_eq!(reply.header("cache-control"), "no-store");
        let seconds: u64 = reply.header("retry-after").parse().expect("whole seconds");
        assert!((1..=60).contains(&seconds), "{seconds}");
        let detail = format!("{{\"detail\":\"Request was throttled. Expected available in {seconds} seconds.\"}}");
        reply.expect_text(429, &detail);
    }
    // The limit says nothing of anybody else, and a bad key is refused as ever.
    assert_eq!(told(&api.get(&bob, "/datasets/").await), ("3", "2"));
    assert_eq!(api.get("", "/datasets/").await.status, 401);
}

#[tokio::test]
async fn every_authenticated_reply_tells_the_limit() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let made = api.make_key(&owner, json!({"name": "x", "scopes": ["tasks.read"]})).await;
    let key = text(&made["api_key"]);
    let replies = [
        (api.get(&key, "/tasks/").await, 200),
        (api.get(&key, "/datasets/").await, 403),
        (api.get(&key, "/tasks/x/").await, 404),
        (api.get(&key, "/nowhere/").await, 404),
        (api.call(Method::DELETE, &key, "/tasks/", None).await, 405),
        (api.get(&key, "/signup/").await, 405),
        (api.get(&key, "/tasks/?limit=x").await, 400),
    ];
    for ((reply, status), remaining) in replies.into_iter().zip((0..100).rev()) {
        assert_eq!(reply.status, status, "{reply:?}");
        assert_eq!(told(&reply), ("100", &*remaining.to_string()));
    }
    for refused in [api.get("", "/tasks/").await, api.get("avk_unknown", "/tasks/").await] {
        assert_eq!(refused.status, 401);
        assert!(!refused.headers.contains_key("x-ratelimit-limit"), "{refused:?}");
    }
}

/// The documented limit, to the request.
#[tokio::test]
async fn a_hundred_a_minute_unless_it_is_off() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    let key = api.sign_up("ada").await.key;
    for _ in 0..100 {
        assert_eq!(api.get(&key, "/tasks/").await.status, 200);
    }
    assert_eq!(api.get(&key, "/tasks/").await.status, 429);

    let server = Server::start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let key = api.sign_up("ada").await.key;
    for _ in 0..150 {
        let reply = api.get(&key, "/tasks/").await;
        assert_eq!(reply.status, 200);
        assert!(!reply.headers.contains_key("x-ratelimit-limit"), "{reply:?}");
    }
}

#[test]
fn case_040_an_ipv6_network_counts_as_one_client() {
    let peer = |address: &str| Peer::from(address.parse::<IpAddr>().unwrap());
    assert_eq!(peer("2001:db8:1:2::1"), peer("2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_ne!(peer("2001:db8:1:2::1"), peer("2001:db8:1:3::1"));
    assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
    // A socket that serves both families shows the first in the form of the second.
    assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
    assert_ne!(peer("::ffff:192.0.2.1"), peer("::ffff:192.0.2.2"));
}
