//! Keys, prefixes and expiry, and many requests at once.

use std::time::Duration;

use ::redis::Commands;
use tokio::task::JoinSet;
use tower_api_key::client::ClientNetwork;
use tower_api_key::key::KeyId;
use tower_api_key::throttle::{Hit, Limit, LimitStore, Limits, RedisLimits};

use crate::support::redis::RedisServer;

fn redis(server: &RedisServer) -> RedisLimits {
    RedisLimits::new(&server.url()).unwrap().with_timeout(Duration::from_secs(20))
}

/// Cases: 258.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn every_key_has_prefix_and_expiry() {
    let server = RedisServer::start();
    let redis = redis(&server);
    let both = [Limit::per_minute(5), Limit::per_day(5_000)];
    let key = Hit::new(KeyId::from_u128(7), both).with_name("requests");
    let client = Hit::new(ClientNetwork::UNKNOWN, Limit::per_second(1));
    for (redis, hit) in [(redis.clone(), &key), (redis.clone().with_prefix("{invoices}"), &key), (redis, &client)] {
        for _ in 0..6 {
            redis.acquire(hit).await.unwrap();
        }
    }
    let keys = server.keys();
    let subject = "{requests:key:00000000-0000-0000-0000-000000000007}";
    assert_eq!(
        keys,
        [
            format!("invoices:{subject}:5000:86400000000"),
            format!("invoices:{subject}:5:60000000"),
            "limits:{:client:unknown}:1:1000000".to_owned(),
            format!("limits:{subject}:5000:86400000000"),
            format!("limits:{subject}:5:60000000"),
        ]
    );
    let mut connection = server.connection();
    for (key, window) in keys.iter().zip([86_400, 60, 1, 86_400, 60]) {
        let expiry: i64 = connection.pttl(key).unwrap();
        // A second more than the window, and a 64th of that for a limit of thousands.
        let longest = (window + window / 64 + 1) * 1_000;
        assert!(expiry > (window - 5) * 1_000 && expiry <= longest, "{key}: {expiry} ms");
    }
}

/// What a hit costs in Redis, whatever the limit.
/// Cases: 249, 257.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn subject_takes_few_fields_whatever_its_limit() {
    let server = RedisServer::start();
    let redis = redis(&server);
    for requests in [100, 101, 1_000_000] {
        let hit = Hit::new(&*requests.to_string(), Limit::new(requests, Duration::from_secs(2)));
        for _ in 0..300 {
            redis.acquire(&hit).await.unwrap();
        }
    }
    for key in server.keys() {
        let fields: usize = server.connection().hlen(&key).unwrap();
        assert!((1..=100).contains(&fields), "{key}: {fields}");
    }
    // Without limits there is nothing to count.
    let before = server.keys();
    assert!(redis.acquire(&Hit::new("none", Limits::NONE)).await.unwrap().is_allowed());
    assert_eq!(server.keys(), before);
}

/// Of parallel requests, exactly as many as the limit are accepted.
/// Cases: 257.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn parallel_hits_in_redis_are_exact() {
    let server = RedisServer::start();
    let redis = redis(&server);
    let mut hits = JoinSet::new();
    for n in 0..900 {
        let redis = redis.clone();
        hits.spawn(async move {
            let key = n % 3;
            let hit = Hit::new(&*key.to_string(), [Limit::per_hour(100), Limit::per_day(150 + key)]);
            (key, redis.acquire(&hit).await.unwrap().is_allowed())
        });
    }
    let hits = hits.join_all().await;
    let allowed = [0, 1, 2].map(|key| hits.iter().filter(|&&hit| hit == (key, true)).count());
    assert_eq!(allowed, [100; 3]);
    // A server that forgets its scripts gets the script again.
    let _: () = ::redis::cmd("SCRIPT").arg("FLUSH").query(&mut server.connection()).unwrap();
    assert!(!redis.acquire(&Hit::new("0", Limit::per_hour(100))).await.unwrap().is_allowed());
}

#[test]
fn unusable_url_is_an_error_without_the_password() {
    for url in ["", "127.0.0.1", "http://127.0.0.1", "redis://", "unix:///tmp/x", "redis://u:secret@h:port/"] {
        let error = RedisLimits::new(url).map(|_| ()).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains("redis://HOST:PORT") && !text.contains("secret"), "{text}");
    }
    assert!(RedisLimits::cluster(["rediss://127.0.0.1"]).is_err());
    assert!(RedisLimits::new("redis://127.0.0.1").unwrap().with_root_certificates(b"").is_err());
    assert!(RedisLimits::new("rediss://127.0.0.1").unwrap().with_root_certificates(b"none").is_err());
}
