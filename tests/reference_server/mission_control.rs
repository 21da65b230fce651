//! Mission Control, as its page calls it. The browser test covers the page itself.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use axum::routing::get;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_api_key::KeyStore;

use super::client::{Api, INVALID_KEY, Reply, text};
use super::server::Server;
use super::sessions::{HEADER, Sessions};

const PASSWORD: &str = "correct horse battery staple";
const LOGGED_OUT: &str = r#"{"detail":"You are not logged in."}"#;
const ENDED: &str = r#"{"detail":"Your session has ended. Log in again."}"#;

/// A call as the page makes it, with this session or with none.
async fn call(api: &Api, server: &Server, method: Method, path: &str, session: &str, body: Option<Value>) -> Reply {
    let mut headers = Vec::new();
    headers.extend((!session.is_empty()).then_some(("x-mission-control-session", session)));
    headers.extend(body.is_some().then_some(("content-type", "application/json")));
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    api.send(method, "", &url(server, path), &headers, body).await
}

fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.address())
}

async fn log_in(api: &Api, server: &Server, email: &str, password: &str) -> Reply {
    let body = json!({"email": email, "password": password});
    call(api, server, Method::POST, "/mission-control/login/", "", Some(body)).await
}

async fn session(api: &Api, server: &Server, email: &str) -> String {
    text(&log_in(api, server, email, PASSWORD).await.expect(200)["session"])
}

#[tokio::test]
async fn session_manages_keys_of_its_organization() {
    let server = Server::start_logging(&[], "info");
    let api = Api::of(&server);
    let ada = api.sign_up("ada").await.key;
    api.sign_up("bob").await;
    let reply = log_in(&api, &server, "ADA@example.com", PASSWORD).await;
    assert_eq!((reply.status, reply.header("cache-control")), (200, "no-store"));
    assert_eq!(reply.header("set-cookie"), "", "the page keeps the session, and no cookie");
    let ada_session = text(&reply.json()["session"]);
    assert_eq!(reply.json(), json!({"session": ada_session}));
    let who = call(&api, &server, Method::GET, "/mission-control/session/", &ada_session, None).await.expect(200);
    assert_eq!(who["email"], "ada@example.com");
    assert!((890..=900).contains(&who["seconds_left"].as_u64().unwrap()), "{who}");

    let keys = "/mission-control/api-keys/";
    let list = call(&api, &server, Method::GET, keys, &ada_session, None).await.expect(200);
    assert_eq!(list["results"].as_array().unwrap().len(), 1);
    let hostile = "<img src=x onerror=alert(1)>";
    let body = json!({"name": hostile, "scopes": ["tasks.read"]});
    let made = call(&api, &server, Method::POST, keys, &ada_session, Some(body)).await;
    assert_eq!((made.status, made.header("content-type")), (201, "application/json"));
    assert_eq!(made.json()["name"], hostile);
    let key = text(&made.json()["api_key"]);
    assert_eq!(api.get(&key, "/tasks/").await.status, 200);

    let bob = session(&api, &server, "bob@example.com").await;
    let revoke = format!("{keys}{}/revoke/", text(&made.json()["uid"]));
    call(&api, &server, Method::POST, &revoke, &bob, None).await.expect(404);
    // A user who has revoked the last key is not locked out.
    for key in list["results"].as_array().unwrap() {
        let revoke = format!("{keys}{}/revoke/", text(&key["uid"]));
        call(&api, &server, Method::POST, &revoke, &ada_session, None).await.expect(200);
    }
    api.get(&ada, "/tasks/").await.expect_text(401, INVALID_KEY);
    call(&api, &server, Method::POST, &revoke, &ada_session, None).await.expect(200);
    api.get(&key, "/tasks/").await.expect_text(401, INVALID_KEY);

    // A session is no key, and a key is no session.
    api.get(&ada_session, "/tasks/").await.expect_text(401, INVALID_KEY);
    call(&api, &server, Method::GET, keys, &key, None).await.expect_text(401, ENDED);
    call(&api, &server, Method::GET, keys, "", None).await.expect_text(401, LOGGED_OUT);
    api.get(&key, &url(&server, keys)).await.expect_text(401, LOGGED_OUT);

    let out = call(&api, &server, Method::POST, "/mission-control/logout/", &ada_session, None).await;
    assert_eq!(out.status, 204);
    call(&api, &server, Method::GET, keys, &ada_session, None).await.expect_text(401, ENDED);
    let (_, log) = server.stop();
    assert!(log.contains("logged in organization=") && log.contains("logged out organization="), "{log}");
    for secret in [&*ada_session, &*key, &*ada, PASSWORD] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// A browser sends cookies with cross-site requests too, and a preflight before it sends the session header for another
/// site.
#[tokio::test]
async fn cross_site_request_is_rejected() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    api.sign_up("ada").await;
    let session = session(&api, &server, "ada@example.com").await;
    let keys = url(&server, "/mission-control/api-keys/");
    let cookie = format!("x-mission-control-session={session}; session={session}");
    let headers = [("cookie", &*cookie), ("content-type", "application/json")];
    let body = json!({"name": "x", "full_access": true}).to_string();
    api.send(Method::POST, "", &keys, &headers, body).await.expect_text(401, LOGGED_OUT);
    let asked = [
        ("origin", "https://evil.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "x-mission-control-session"),
    ];
    let reply = api.send(Method::OPTIONS, "", &keys, &asked, "").await;
    let allows = |name: &str| reply.headers.contains_key(name);
    assert!(!allows("access-control-allow-origin") && !allows("access-control-allow-headers"), "{reply:?}");
    assert!(!(200..300).contains(&reply.status), "{reply:?}");
}

#[tokio::test]
async fn failed_login_reveals_nothing_and_is_limited() {
    const WRONG: &str = r#"{"detail":"The email or the password is wrong."}"#;
    let server = Server::start(&[]);
    let api = Api::of(&server);
    api.sign_up("ada").await;
    log_in(&api, &server, "ada@example.com", "wrong").await.expect_text(400, WRONG);
    for unknown in ["eve@example.com", "\0"] {
        log_in(&api, &server, unknown, PASSWORD).await.expect_text(400, WRONG);
    }
    let blank = log_in(&api, &server, "", "").await.expect(400);
    assert_eq!(blank["detail"]["password"][0], "This field may not be blank.");
    log_in(&api, &server, "ada@example.com", PASSWORD).await.expect(200);
    let throttled = log_in(&api, &server, "ada@example.com", PASSWORD).await;
    throttled.expect(429);
    assert!((1..=60).contains(&throttled.header("retry-after").parse::<u8>().expect("seconds")), "{throttled:?}");
    // Signups have a count of their own.
    api.sign_up("bob").await;
}

#[tokio::test]
async fn page_allows_no_foreign_content() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    let files = [
        ("", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ];
    for (file, content_type) in files {
        let reply = api.get("", &url(&server, &format!("/settings/security{file}"))).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, content_type));
        let policy = reply.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("x-frame-options"), "DENY");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        assert!(!reply.body.contains(" style=") && !reply.body.contains("innerHTML"), "{file}");
        assert!(!reply.body.contains(" onclick=") && !reply.body.contains("https:"), "{file}");
    }
}

/// Sessions of an hour, and the time of their clock.
fn sessions() -> (Sessions, Arc<Mutex<SystemTime>>) {
    let now = Arc::new(Mutex::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)));
    let hand = Arc::clone(&now);
    (Sessions::new(Duration::from_secs(3600), move || *hand.lock().unwrap()), now)
}

#[tokio::test]
async fn session_expires_by_the_clock() {
    let (sessions, now) = sessions();
    let (secret, record) = sessions.open("acme".parse().unwrap(), "ada@example.com").unwrap();
    let app = Router::new().route("/", get(|| async { "in" })).layer(sessions.layer());
    let status = async || {
        let request = Request::get("/").header(HEADER, secret.expose_secret()).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap().status().as_u16()
    };
    *now.lock().unwrap() += Duration::from_secs(3599);
    assert_eq!((status().await, sessions.left(&record)), (200, Duration::from_secs(1)));
    *now.lock().unwrap() += Duration::from_secs(1);
    assert_eq!((status().await, sessions.left(&record)), (401, Duration::ZERO));
}

#[tokio::test]
async fn session_count_is_bounded() {
    let (sessions, now) = sessions();
    let open = |organization: &str| sessions.open(organization.parse().unwrap(), "x").unwrap().1;
    let lives = async |record: &tower_api_key::key::KeyRecord| sessions.find(record.digest()).await.unwrap().is_some();
    let other = open("other");
    let mine: Vec<_> = (0..9).map(|_| open("mine")).collect();
    assert!(!lives(&mine[0]).await && lives(&mine[1]).await && lives(&other).await);
    sessions.end(mine[1].digest());
    assert!(!lives(&mine[1]).await && lives(&mine[2]).await);

    let last: Vec<_> = (0..1000).map(|number| open(&format!("n{number}"))).collect();
    assert!(!lives(&other).await && !lives(&mine[8]).await && lives(&last[0]).await && lives(&last[999]).await);
    // A session that has ended makes room.
    *now.lock().unwrap() += Duration::from_secs(3600);
    open("late");
    assert!(!lives(&last[999]).await);
}
