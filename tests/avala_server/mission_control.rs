//! Mission Control, as its page calls it. What the page shows is in the browser test.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use axum::routing::get;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_api_key::KeyStore;

use super::client::{Api, BAD_KEY, Reply, text};
use super::server::Server;
use super::sessions::{HEADER, Sessions};

const PASSWORD: &str = "correct horse battery staple";
const FROM_PAGE: (&str, &str) = ("x-mission-control", "1");
const FOREIGN: &str = r#"{"detail":"This request does not come from Mission Control."}"#;
const LOGGED_OUT: &str = r#"{"detail":"You are not logged in."}"#;
const ENDED: &str = r#"{"detail":"Your session has ended. Log in again."}"#;

/// A call as the page makes it, with this cookie.
async fn call(api: &Api, server: &Server, method: Method, path: &str, cookie: &str, body: Option<Value>) -> Reply {
    let mut headers = vec![FROM_PAGE, ("cookie", cookie)];
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

/// What the browser sends back.
fn cookie(reply: &Reply) -> String {
    reply.header("set-cookie").split(';').next().expect("a pair").to_owned()
}

#[tokio::test]
async fn a_session_manages_the_keys_of_its_own_organization() {
    let server = Server::start_logging(&[], "info");
    let api = Api::of(&server);
    let ada = api.sign_up("ada").await.key;
    api.sign_up("bob").await;
    let reply = log_in(&api, &server, "ADA@example.com", PASSWORD).await;
    assert_eq!(reply.expect(200)["email"], "ada@example.com");
    assert_eq!(reply.header("cache-control"), "no-store");
    let set = reply.header("set-cookie");
    assert!(set.starts_with("mission_control_session=mcs_"), "{set}");
    assert!(set.ends_with("; Path=/mission-control/; Max-Age=900; HttpOnly; SameSite=Strict"), "{set}");
    let session = cookie(&reply);
    let secret = session.split_once('=').unwrap().1;
    assert!(!reply.body.contains(secret), "{reply:?}");

    let keys = "/mission-control/api-keys/";
    let list = call(&api, &server, Method::GET, keys, &session, None).await.expect(200);
    assert_eq!(list["results"].as_array().unwrap().len(), 1);
    let hostile = "<img src=x onerror=alert(1)>";
    let body = json!({"name": hostile, "scopes": ["tasks.read"]});
    let made = call(&api, &server, Method::POST, keys, &session, Some(body)).await;
    assert_eq!((made.status, made.header("content-type")), (201, "application/json"));
    assert_eq!(made.json()["name"], hostile);
    let key = text(&made.json()["api_key"]);
    assert_eq!(api.get(&key, "/tasks/").await.status, 200);

    let bob = cookie(&log_in(&api, &server, "bob@example.com", PASSWORD).await);
    let revoke = format!("{keys}{}/revoke/", text(&made.json()["uid"]));
    call(&api, &server, Method::POST, &revoke, &bob, None).await.expect(404);
    // Whoever has revoked the last key is not locked out.
    for key in list["results"].as_array().unwrap() {
        let revoke = format!("{keys}{}/revoke/", text(&key["uid"]));
        call(&api, &server, Method::POST, &revoke, &session, None).await.expect(200);
    }
    api.get(&ada, "/tasks/").await.expect_text(401, BAD_KEY);
    call(&api, &server, Method::POST, &revoke, &session, None).await.expect(200);
    api.get(&key, "/tasks/").await.expect_text(401, BAD_KEY);

    // A session is no key, and a key is no session.
    api.get(secret, "/tasks/").await.expect_text(401, BAD_KEY);
    let pretended = format!("mission_control_session={key}");
    call(&api, &server, Method::GET, keys, &pretended, None).await.expect_text(401, ENDED);

    let out = call(&api, &server, Method::POST, "/mission-control/logout/", &session, None).await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").contains("=; Path=/mission-control/; Max-Age=0;"), "{out:?}");
    call(&api, &server, Method::GET, keys, &session, None).await.expect_text(401, ENDED);
    let (_, log) = server.stop();
    assert!(log.contains("logged in organization=") && log.contains("logged out organization="), "{log}");
    for secret in [secret, &*key, &*ada, PASSWORD] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn a_cookie_alone_is_refused() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    api.sign_up("ada").await;
    let session = cookie(&log_in(&api, &server, "ada@example.com", PASSWORD).await);
    let keys = url(&server, "/mission-control/api-keys/");
    let body = json!({"name": "x", "full_access": true}).to_string();
    let json = ("content-type", "application/json");
    let forged = [
        vec![("cookie", &*session), json],
        vec![("cookie", &*session), json, FROM_PAGE, ("sec-fetch-site", "cross-site")],
        vec![("cookie", &*session), json, FROM_PAGE, ("sec-fetch-site", "same-site")],
    ];
    for headers in forged {
        api.send(Method::POST, "", &keys, &headers, body.clone()).await.expect_text(403, FOREIGN);
    }
    let own = [("cookie", &*session), json, FROM_PAGE, ("sec-fetch-site", "same-origin")];
    api.send(Method::POST, "", &keys, &own, body.clone()).await.expect(201);
    // Nor can a page elsewhere log somebody in, or hand over a session otherwise than as a cookie.
    let login = url(&server, "/mission-control/login/");
    api.send(Method::POST, "", &login, &[json], "{}").await.expect_text(403, FOREIGN);
    let secret = session.split_once('=').unwrap().1;
    let headers = [FROM_PAGE, ("x-mission-control-session", secret)];
    api.send(Method::GET, "", &keys, &headers, "").await.expect_text(401, LOGGED_OUT);
}

#[tokio::test]
async fn a_wrong_login_says_nothing_and_is_limited() {
    const WRONG: &str = r#"{"detail":"The email or the password is wrong."}"#;
    let server = Server::start(&[]);
    let api = Api::of(&server);
    api.sign_up("ada").await;
    log_in(&api, &server, "ada@example.com", "wrong").await.expect_text(400, WRONG);
    for nobody in ["eve@example.com", "\0"] {
        log_in(&api, &server, nobody, PASSWORD).await.expect_text(400, WRONG);
    }
    let blank = log_in(&api, &server, "", "").await.expect(400);
    assert_eq!(blank["detail"]["password"][0], "This field may not be blank.");
    log_in(&api, &server, "ada@example.com", PASSWORD).await.expect(200);
    let refused = log_in(&api, &server, "ada@example.com", PASSWORD).await;
    refused.expect(429);
    assert!((1..=60).contains(&refused.header("retry-after").parse::<u8>().expect("seconds")), "{refused:?}");
    // Signing up is counted apart.
    api.sign_up("bob").await;
}

#[tokio::test]
async fn the_page_allows_nothing_from_elsewhere() {
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

#[tokio::test]
async fn over_https_the_cookie_is_secure() {
    let server = Server::start(&["--require-https", "--trusted-proxy", "127.0.0.1"]);
    let api = Api::of(&server);
    let https = [("content-type", "application/json"), ("x-forwarded-proto", "https"), FROM_PAGE];
    let body = json!({"email": "ada@example.com", "password": PASSWORD}).to_string();
    api.send(Method::POST, "", "/signup/", &https, body.clone()).await.expect(201);
    let reply = api.send(Method::POST, "", &url(&server, "/mission-control/login/"), &https, body).await;
    reply.expect(200);
    assert!(reply.header("set-cookie").ends_with("; HttpOnly; SameSite=Strict; Secure"), "{reply:?}");
}

/// Sessions of an hour, and the hand of their clock.
fn sessions() -> (Sessions, Arc<Mutex<SystemTime>>) {
    let now = Arc::new(Mutex::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)));
    let hand = Arc::clone(&now);
    (Sessions::new(Duration::from_secs(3600), move || *hand.lock().unwrap()), now)
}

#[tokio::test]
async fn a_session_ends_by_the_clock() {
    let (sessions, now) = sessions();
    assert_eq!(sessions.lifetime(), Duration::from_secs(3600));
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
async fn there_are_never_more_sessions_than_so_many() {
    let (sessions, now) = sessions();
    let open = |organization: &str| sessions.open(organization.parse().unwrap(), "x").unwrap().1;
    let lives = async |record: &tower_api_key::KeyRecord| sessions.find(record.digest()).await.unwrap().is_some();
    let other = open("other");
    let mine: Vec<_> = (0..9).map(|_| open("mine")).collect();
    assert!(!lives(&mine[0]).await && lives(&mine[1]).await && lives(&other).await);
    sessions.end(mine[1].digest());
    assert!(!lives(&mine[1]).await && lives(&mine[2]).await);

    let last: Vec<_> = (0..1000).map(|number| open(&format!("n{number}"))).collect();
    assert!(!lives(&other).await && !lives(&mine[8]).await && lives(&last[0]).await && lives(&last[999]).await);
    // One that has ended makes room.
    *now.lock().unwrap() += Duration::from_secs(3600);
    open("late");
    assert!(!lives(&last[999]).await);
}
