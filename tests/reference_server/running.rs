//! The server, from the first line it prints to its end.

use std::process::Command;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Api, NO_KEY, raw};
use super::server::Server;

/// Cases: 161.
#[tokio::test]
async fn printed_command_works_when_pasted() {
    let server = Server::start(&[]);
    assert!(server.base.starts_with("http://127.0.0.1:") && !server.base.contains(":0/"), "{}", server.base);
    std::iter::repeat_with(|| server.printed()).find(|line| line.starts_with("Paste ")).unwrap();
    let [sign_up, use_key, open] = [server.printed(), server.printed(), server.printed()];

    let lines = format!("{sign_up}\n{use_key}\n");
    let shell = Command::new("sh").args(["-c", &lines]).output().expect("a shell");
    assert!(shell.status.success() && shell.stderr.is_empty(), "{shell:?}");
    let text = String::from_utf8(shell.stdout).unwrap();
    let [signed_up, datasets] = &text.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {text}") };
    let reply: Value = serde_json::from_str(signed_up).expect("JSON");
    let key = reply["api_key"].as_str().expect("a key");
    assert_eq!(Api::of(&server).get(key, "/datasets/").await.body, *datasets);
    let (_, page) = open.split_once(' ').expect("a command and an address");
    assert_eq!(page, server.base.replace("/api/v1", "/settings/security"));
}

/// Cases: 161.
#[tokio::test]
async fn root_leads_to_the_page() {
    let server = Server::start(&[]);
    let (status, reply) = raw(&server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status, 303);
    assert!(reply.contains("location: /settings/security\r\n"), "{reply}");
    for (path, status) in [("/settings/security", 303), ("/mission-control/", 200)] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!(raw(&server, &request).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn server_accepts_once_it_prints() {
    for _ in 0..10 {
        let server = Server::start(&[]);
        let (status, _) = raw(&server, "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert_eq!(status, 401);
    }
}

#[tokio::test]
async fn wildcard_address_is_printed_as_usable_one() {
    let server = Server::start(&["--listen", "0.0.0.0:0", "--insecure-http"]);
    assert!(server.base.starts_with("http://127.0.0.1:"), "{}", server.base);
    assert_eq!(Api::of(&server).get("", "/datasets/").await.status, 401);
}

/// A signup whose head has arrived and whose body the server is waiting for.
async fn half_sent(server: &Server, body: &str) -> TcpStream {
    let length = body.len();
    let head = format!(
        "POST /api/v1/signup/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// The server finishes a request that is half sent, and does not wait for an idle connection.
#[tokio::test]
async fn signals_drain_and_exit_with_zero() {
    for signal in ["TERM", "INT"] {
        let server = Server::start(&[]);
        let idle = TcpStream::connect(server.address()).await.unwrap();
        let kept_alive = Api::of(&server);
        assert_eq!(kept_alive.get("", "/datasets/").await.status, 401);
        let body = r#"{"email": "slow@example.com", "password": "correct horse battery staple"}"#;
        let mut slow = half_sent(&server, body).await;

        server.signal(signal);
        // The server drains once it accepts no connection.
        while TcpStream::connect(server.address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
        slow.write_all(body.as_bytes()).await.unwrap();
        let mut response = String::new();
        slow.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 201 Created\r\n"), "{response}");
        assert!(response.contains("\"api_key\":\"avk_"), "{response}");

        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(!log.contains("WARN") && !log.contains("panicked"), "{log}");
        drop((idle, kept_alive));
    }
}

/// Takes the ten seconds that the server waits for a request.
#[tokio::test]
async fn endless_request_does_not_block_shutdown() {
    let server = Server::start(&[]);
    let stalled = half_sent(&server, "{ ... }").await;
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("requests under way"), "{log}");
    drop(stalled);
}

/// Clients write the head of a request and its body one after the other. A rejection in between leaves the connection
/// usable.
#[tokio::test]
async fn late_body_after_rejection_keeps_the_connection() {
    let server = Server::start(&[]);
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head =
        "POST /api/v1/datasets/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n";
    for _ in 0..3 {
        stream.write_all(head.as_bytes()).await.unwrap();
        let reply = read_until(&mut stream, NO_KEY).await;
        assert!(reply.starts_with("HTTP/1.1 401 "), "{reply}");
        stream.write_all(b"{\"name\": \"x\"").await.unwrap();
    }
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut reply = String::new();
    while !reply.ends_with(end) {
        let byte = stream.read_u8().await.unwrap_or_else(|error| panic!("{error} after {reply:?}"));
        reply.push(char::from(byte));
    }
    reply
}
