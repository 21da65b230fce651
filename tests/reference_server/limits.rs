use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::Method;
use futures::future::{join, join_all};
use serde_json::json;

use super::client::{Api, Reply, text};
use super::server::Server;
use crate::support::redis::RedisServer;
use crate::support::sqlite::Dir;

/// Limit and remaining, after a check of the reset time.
fn limit_headers(reply: &Reply) -> (&str, &str) {
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
        assert_eq!(limit_headers(&reply), ("3", remaining));
    }
    for _ in 0..3 {
        let reply = api.get(&ada, "/datasets/").await;
        assert_eq!(limit_headers(&reply), ("3", "0"));
        assert_eq!(reply.header("cache-control"), "no-store");
        let seconds: u64 = reply.header("retry-after").parse().expect("whole seconds");
        assert!((1..=60).contains(&seconds), "{seconds}");
        let detail = format!("{{\"detail\":\"Request was throttled. Expected available in {seconds} seconds.\"}}");
        reply.expect_text(429, &detail);
    }
    // Another key has its own count, and a request without a key still gets the 401.
    assert_eq!(limit_headers(&api.get(&bob, "/datasets/").await), ("3", "2"));
    assert_eq!(api.get("", "/datasets/").await.status, 401);
}

#[tokio::test]
async fn signup_response_has_limit_headers() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    // An invalid body is an attempt too.
    for (remaining, status) in [("4", 400), ("3", 400), ("2", 400), ("1", 400), ("0", 400), ("0", 429), ("0", 429)] {
        let reply = api.post("", "/signup/", json!({})).await;
        assert_eq!((reply.status, limit_headers(&reply)), (status, ("5", remaining)));
    }
    // Another method is no attempt.
    assert_eq!(api.get("", "/signup/").await.status, 401);
}

#[tokio::test]
async fn authenticated_response_has_limit_headers() {
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
        assert_eq!(limit_headers(&reply), ("100", &*remaining.to_string()));
    }
    for rejected in [api.get("", "/tasks/").await, api.get("avk_unknown", "/tasks/").await] {
        assert_eq!(rejected.status, 401);
        assert!(!rejected.headers.contains_key("x-ratelimit-limit"), "{rejected:?}");
    }
}

/// The documented limit, to the request.
#[tokio::test]
async fn limit_is_hundred_per_minute_unless_off() {
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

/// A counter that restarts every minute would accept twice the limit at the edge. One request comes first and the others at
/// the end of its minute, so exactly one more is accepted just after. Each address and each key has its own count.
#[tokio::test]
#[ignore = "needs a minute"]
#[cfg(target_os = "linux")]
async fn limit_holds_across_window_edges() {
    const ADDRESSES: u8 = 6;
    let server = Server::start(&[]);
    let attempts = |round: usize, number: usize| {
        let of_one = |host| {
            let api = Api::from_address(&server, IpAddr::from([127, 0, 2, host]));
            async move { statuses(number, |n| sign_up(api.clone(), format!("{host}-{round}-{n}"))).await }
        };
        join_all((1..=ADDRESSES).map(of_one).collect::<Vec<_>>())
    };
    let keys = join_all((1..=ADDRESSES).map(|host| {
        let api = Api::from_address(&server, IpAddr::from([127, 0, 3, host]));
        async move { (api.sign_up(&format!("owner-{host}")).await.key, api) }
    }))
    .await;
    let requests = |number: usize| {
        let of_one = |(key, api): &(String, Api)| {
            let (key, api) = (key.clone(), api.clone());
            async move { statuses(number, |_| get_tasks(api.clone(), key.clone())).await }
        };
        join_all(keys.iter().map(of_one).collect::<Vec<_>>())
    };
    let all = |one: (usize, usize)| vec![one; usize::from(ADDRESSES)];

    let first = Instant::now();
    let (signed_up, got) = join(attempts(0, 1), requests(1)).await;
    assert_eq!((signed_up, got), (all((1, 0)), all((1, 0))));
    let counted = Instant::now();

    tokio::time::sleep_until((first + Duration::from_secs(55)).into()).await;
    let (signed_up, got) = join(attempts(1, 7), requests(120)).await;
    assert!(first.elapsed() < Duration::from_secs(60), "this machine is too slow for the test: {:?}", first.elapsed());
    assert_eq!((signed_up, got), (all((4, 3)), all((99, 21))));

    tokio::time::sleep_until((counted + Duration::from_millis(60_100)).into()).await;
    let (signed_up, got) = join(attempts(2, 7), requests(120)).await;
    assert_eq!((signed_up, got), (all((1, 6)), all((1, 119))));
}

async fn sign_up(api: Api, name: String) -> Reply {
    let body = json!({"email": format!("{name}@example.com"), "password": "correct horse battery staple"});
    api.post("", "/signup/", body).await
}

async fn get_tasks(api: Api, key: String) -> Reply {
    api.get(&key, "/tasks/").await
}

/// Makes this many calls at once: how many were accepted and how many were throttled.
#[cfg(target_os = "linux")]
async fn statuses<F: Future<Output = Reply>>(number: usize, call: impl Fn(usize) -> F) -> (usize, usize) {
    let replies = join_all((0..number).map(call)).await;
    let throttled = replies.iter().filter(|reply| reply.status == 429).count();
    let accepted = replies.iter().filter(|reply| matches!(reply.status, 200 | 201)).count();
    assert_eq!(accepted + throttled, number, "{replies:?}");
    (accepted, throttled)
}

/// Two servers with one Redis count requests and signups together.
/// Cases: 260.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn two_servers_share_limits_in_redis() {
    let redis = RedisServer::start();
    let url = redis.url();
    let directory = Dir::new();
    let store = format!("sqlite:{}/avala.db", directory.path().display());
    let options = ["--limits", &url, "--store", &store, "--requests-per-minute", "4"];
    let servers = [Server::start(&options), Server::start(&options)];
    let [one, two] = servers.each_ref().map(Api::of);
    let key = one.sign_up("ada").await.key;
    for (api, remaining) in [(&one, "3"), (&two, "2"), (&one, "1"), (&two, "0")] {
        let reply = api.get(&key, "/datasets/").await;
        reply.expect(200);
        assert_eq!(limit_headers(&reply), ("4", remaining));
    }
    for api in [&one, &two] {
        assert_eq!(api.get(&key, "/datasets/").await.status, 429);
    }
    for (api, status) in [(&two, 400), (&one, 400), (&two, 400), (&one, 400), (&two, 429), (&one, 429)] {
        assert_eq!(api.post("", "/signup/", json!({})).await.status, status);
    }
    assert!(redis.keys().iter().all(|key| key.starts_with("avala:{requests:") || key.starts_with("avala:{signups:")));
}
