//! Rejected plain HTTP, and trusted proxies.

use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Api, Reply};
use super::server::Server;

const HTTPS_REQUIRED: &str = r#"{"detail":"HTTPS is required."}"#;
/// Logged where no request can be HTTPS.
const NO_HTTPS: &str = "nothing but a --trusted-proxy can bring HTTPS";

#[tokio::test]
async fn plain_http_is_rejected_where_https_is_required() {
    let server = Server::start(&["--require-https"]);
    let api = Api::of(&server);
    let key = format!("avk_{}", "0".repeat(40));
    for (key, path) in [("", "/tasks/"), (&*key, "/tasks/"), ("", "/nowhere/")] {
        api.get(key, path).await.expect_text(403, HTTPS_REQUIRED);
    }
    api.post("", "/signup/", json!({})).await.expect_text(403, HTTPS_REQUIRED);
    // No proxy is trusted, so the header is ignored.
    forwarded(&api, "", &[("x-forwarded-proto", "https")]).await.expect_text(403, HTTPS_REQUIRED);

    let (_, log) = server.stop();
    assert_eq!(log.matches(NO_HTTPS).count(), 1, "{log}");
    assert_eq!(log.matches("a key came over plain HTTP").count(), 1, "{log}");
    assert!(!log.contains(&key), "{log}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn trusted_proxy_reports_https() {
    let server = Server::start(&["--require-https", "--trusted-proxy", "127.0.4.1", "--trusted-proxy", "127.0.5.0/24"]);
    let from = |address: [u8; 4]| Api::from_address(&server, address.into());
    for proxy in [[127, 0, 4, 1], [127, 0, 5, 77]] {
        assert_eq!(forwarded(&from(proxy), "", &[("x-forwarded-proto", "https")]).await.status, 401);
        for scheme in ["http", "http, https", ""] {
            forwarded(&from(proxy), "", &[("x-forwarded-proto", scheme)]).await.expect_text(403, HTTPS_REQUIRED);
        }
    }
    let untrusted = from([127, 0, 4, 2]);
    forwarded(&untrusted, "", &[("x-forwarded-proto", "https")]).await.expect_text(403, HTTPS_REQUIRED);
    let (_, log) = server.stop();
    assert!(!log.contains(NO_HTTPS), "{log}");
}

/// Signs up once for each value: how many signups are throttled.
async fn throttled(api: &Api, values: impl IntoIterator<Item = String>) -> usize {
    let mut throttled = 0;
    for value in values {
        let headers = [("content-type", "application/json"), ("x-forwarded-for", &*value)];
        let reply = api.send(Method::POST, "", "/signup/", &headers, "{}").await;
        assert!(matches!(reply.status, 400 | 429), "{reply:?}");
        throttled += usize::from(reply.status == 429);
    }
    throttled
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn attempts_are_counted_by_proxied_address() {
    let server = Server::start(&["--trusted-proxy", "127.0.4.1"]);
    let proxy = Api::from_address(&server, [127, 0, 4, 1].into());
    // Each of its clients has five attempts. A client can add entries only on the left.
    assert_eq!(throttled(&proxy, (0..20).map(|host| format!("192.0.2.{host}"))).await, 0);
    assert_eq!(throttled(&proxy, (0..8).map(|host| format!("203.0.113.{host}, 198.51.100.1"))).await, 3);
    // Without the proxy, the header is ignored.
    let untrusted = Api::from_address(&server, [127, 0, 4, 2].into());
    assert_eq!(throttled(&untrusted, (0..8).map(|host| format!("203.0.113.{host}"))).await, 3);
}

/// Cases: 122.
/// A client has five attempts, with any header that it adds to those of the proxy.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn spoofed_forwarded_gives_no_more_attempts() {
    let server = Server::start(&["--trusted-proxy", "127.0.4.1"]);
    let proxy = Api::from_address(&server, [127, 0, 4, 1].into());
    let mut throttled = 0;
    for spoofed in
        ["", "for=6.6.6.6", "for=127.0.4.1", "for=\"203.0.113.9", "for=203.0.113.9", "unknown", "for=_x", ","]
    {
        let headers =
            [("content-type", "application/json"), ("x-forwarded-for", "203.0.113.9"), ("forwarded", spoofed)];
        let reply = proxy.send(Method::POST, "", "/signup/", &headers, "{}").await;
        throttled += usize::from(reply.status == 429);
    }
    assert_eq!(throttled, 3);
}

async fn forwarded(api: &Api, key: &str, headers: &[(&str, &str)]) -> Reply {
    api.send(Method::GET, key, "/tasks/", headers, "").await
}

/// A client that holds connections open costs the server nothing for long.
#[tokio::test]
async fn slow_headers_and_bodies_are_given_up() {
    let server = Server::start(&[]);
    let body = "POST /mission-control/login/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let answers = ["", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", body].map(|start| async {
        let mut stream = TcpStream::connect(server.address()).await.expect("a connection");
        stream.write_all(start.as_bytes()).await.expect("sent");
        let (began, mut answer) = (Instant::now(), String::new());
        let ended = tokio::time::timeout(Duration::from_secs(40), stream.read_to_string(&mut answer)).await;
        ended.expect("the server ends the connection").expect("UTF-8");
        assert!(began.elapsed() > Duration::from_secs(8), "{:?}", began.elapsed());
        answer
    });
    let answers = futures::future::join_all(answers).await;
    assert_eq!(answers[0], "");
    assert!(answers[1].is_empty() || answers[1].starts_with("HTTP/1.1 408"), "{answers:?}");
    assert!(answers[2].starts_with("HTTP/1.1 408") && answers[2].contains("The body did not arrive"), "{answers:?}");
}
