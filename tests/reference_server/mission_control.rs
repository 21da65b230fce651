//! Mission Control, as its pages call it. The browser test covers the pages themselves.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Extension, Router};
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_api_key::console::Operator;

use super::client::{Api, FORBIDDEN, INVALID_KEY, NO_KEY, Reply, text};
use super::server::Server;
use super::sessions::{Sessions, cookie, identify};

const PASSWORD: &str = "correct horse battery staple";
const LOGGED_OUT: &str = r#"{"detail":"You are not logged in."}"#;
const FOREIGN: &str = r#"{"detail":"This request comes from another site."}"#;

/// A call as the page makes it, with this cookie or with none.
async fn call(api: &Api, server: &Server, method: Method, path: &str, cookie: &str, body: Option<Value>) -> Reply {
    with(api, server, method, path, &[("cookie", cookie)], body).await
}

async fn with(
    api: &Api,
    server: &Server,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> Reply {
    let mut headers: Vec<_> = headers.iter().copied().filter(|(_, value)| !value.is_empty()).collect();
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

/// The cookie of a login, as a browser returns it.
async fn session(api: &Api, server: &Server, email: &str) -> String {
    let reply = log_in(api, server, email, PASSWORD).await;
    reply.expect(200);
    reply.header("set-cookie").split(';').next().unwrap().to_owned()
}

const KEYS: &str = "/api/v1/api-keys/";

#[tokio::test]
async fn session_manages_keys_of_its_organization() {
    let server = Server::start_logging(&[], "info");
    let api = Api::of(&server);
    let ada = api.sign_up("ada").await.key;
    api.sign_up("bob").await;
    let reply = log_in(&api, &server, "ADA@example.com", PASSWORD).await;
    assert_eq!(reply.header("cache-control"), "no-store");
    let body = reply.expect(200);
    assert_eq!((&body["email"], body.as_object().unwrap().len()), (&json!("ada@example.com"), 2));
    let lifetime = text(&body["expires_at"]).parse::<jiff::Timestamp>().unwrap().duration_since(jiff::Timestamp::now());
    assert!((43_190..=43_200).contains(&lifetime.as_secs()), "{lifetime:?}");
    let cookie = reply.header("set-cookie").to_owned();
    assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{cookie}");
    let ada_session = cookie.split(';').next().unwrap();
    let who = call(&api, &server, Method::GET, "/mission-control/session/", ada_session, None).await.expect(200);
    assert_eq!(who, body);

    let list = call(&api, &server, Method::GET, KEYS, ada_session, None).await.expect(200);
    assert_eq!(list["results"].as_array().unwrap().len(), 1);
    let hostile = "<img src=x onerror=alert(1)>";
    let body = json!({"name": hostile, "scopes": ["tasks.read"]});
    let made = call(&api, &server, Method::POST, KEYS, ada_session, Some(body)).await;
    assert_eq!((made.status, made.header("content-type")), (201, "application/json"));
    assert_eq!((&made.json()["name"], &made.json()["created_by"]), (&json!(hostile), &json!("ada@example.com")));
    let key = text(&made.json()["api_key"]);
    assert_eq!(api.get(&key, "/tasks/").await.status, 200);

    let bob = session(&api, &server, "bob@example.com").await;
    let revoke = format!("{KEYS}{}/revoke/", text(&made.json()["uid"]));
    call(&api, &server, Method::POST, &revoke, &bob, Some(json!({}))).await.expect(404);
    // A user who has revoked the last key is not locked out.
    for key in list["results"].as_array().unwrap() {
        let revoke = format!("{KEYS}{}/revoke/", text(&key["uid"]));
        call(&api, &server, Method::POST, &revoke, ada_session, Some(json!({}))).await.expect(200);
    }
    api.get(&ada, "/tasks/").await.expect_text(401, INVALID_KEY);
    call(&api, &server, Method::POST, &revoke, ada_session, Some(json!({}))).await.expect(200);
    api.get(&key, "/tasks/").await.expect_text(401, INVALID_KEY);

    call(&api, &server, Method::POST, "/mission-control/logout/", "", Some(json!({})))
        .await
        .expect_text(401, LOGGED_OUT);
    let out = call(&api, &server, Method::POST, "/mission-control/logout/", ada_session, Some(json!({}))).await;
    assert_eq!((out.status, out.header("set-cookie").contains("Max-Age=0")), (204, true));
    call(&api, &server, Method::GET, KEYS, ada_session, None).await.expect_text(401, NO_KEY);
    call(&api, &server, Method::GET, "/mission-control/session/", ada_session, None).await.expect_text(401, LOGGED_OUT);
    let (_, log) = server.stop();
    assert!(log.contains("logged in organization=") && log.contains("logged out organization="), "{log}");
    assert!(log.contains("key=login organization="), "{log}");
    let token = ada_session.split_once('=').unwrap().1;
    for secret in [token, &key, &ada, PASSWORD] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// The cookie is good for the routes that manage keys, and for no other.
#[tokio::test]
async fn login_is_accepted_on_key_routes_alone() {
    let server = Server::start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let cookie = session(&api, &server, "ada@example.com").await;
    let document = api.get("", "/openapi.json").await.expect(200);
    let mut others = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let is_public = operation["security"].as_array().unwrap().is_empty();
            if is_public || path.starts_with(KEYS) {
                continue;
            }
            others += 1;
            let path = path.replace("{uid}", "x").replace("{owner}", "x").replace("{slug}", "x");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let reply = call(&api, &server, method, &path, &cookie, Some(json!({}))).await;
            assert_eq!((reply.status, &*reply.body), (401, NO_KEY), "{path}");
        }
    }
    assert_eq!(others, 17);
    // A key in the same request decides, also if it is invalid.
    let scoped = text(&api.make_key(&owner, json!({"name": "x", "scopes": ["tasks.read"]})).await["api_key"]);
    for (key, status, body) in [("avk_unknown", 401, INVALID_KEY), (&*scoped, 403, FORBIDDEN)] {
        let headers = [("cookie", &*cookie), ("x-avala-api-key", key)];
        with(&api, &server, Method::GET, KEYS, &headers, None).await.expect_text(status, body);
    }
    // Neither passes for the other.
    let token = cookie.split_once('=').unwrap().1;
    api.get(token, "/api-keys/").await.expect_text(401, INVALID_KEY);
    call(&api, &server, Method::GET, KEYS, &format!("mission_control={owner}"), None).await.expect_text(401, NO_KEY);
    for cookies in [format!("{cookie}; {cookie}"), format!("mission_control=x; {cookie}"), format!("x{cookie}")] {
        call(&api, &server, Method::GET, KEYS, &cookies, None).await.expect_text(401, NO_KEY);
    }
    call(&api, &server, Method::GET, KEYS, &format!("theme=dark; {cookie}"), None).await.expect(200);
    let wrong = call(&api, &server, Method::DELETE, KEYS, &cookie, None).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "GET,HEAD,POST"));
}

/// A browser sends cookies with requests of other origins on this site too.
#[tokio::test]
async fn cross_site_request_is_rejected() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    api.sign_up("ada").await;
    let cookie = session(&api, &server, "ada@example.com").await;
    let own = format!("http://{}", server.address());
    let body = || Some(json!({"name": "x", "full_access": true, "email": "ada@example.com", "password": PASSWORD}));
    for path in [KEYS, "/mission-control/login/", "/mission-control/logout/"] {
        for foreign in [("origin", "https://evil.example"), ("sec-fetch-site", "same-site"), ("origin", "null")] {
            let headers = [("cookie", &*cookie), foreign];
            with(&api, &server, Method::POST, path, &headers, body()).await.expect_text(403, FOREIGN);
        }
        let headers = [("cookie", &*cookie), ("content-type", "text/plain")];
        let form = api.send(Method::POST, "", &url(&server, path), &headers, body().unwrap().to_string()).await;
        assert_eq!(form.status, 415, "{path}");
    }
    let asked = [("origin", "https://evil.example"), ("access-control-request-method", "POST")];
    let reply = with(&api, &server, Method::OPTIONS, KEYS, &asked, None).await;
    assert!(!reply.headers.contains_key("access-control-allow-origin"), "{reply:?}");
    assert!(!(200..300).contains(&reply.status), "{reply:?}");
    // The session is still there, and so is its one key.
    for site in [("origin", &*own), ("sec-fetch-site", "same-origin")] {
        let headers = [("cookie", &*cookie), site];
        let list = with(&api, &server, Method::GET, KEYS, &headers, None).await.expect(200);
        assert_eq!(list["results"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn cookie_is_secure_behind_https() {
    let server = Server::start(&["--trusted-proxy", "127.0.0.1", "--require-https"]);
    let api = Api::of(&server);
    let https = [("x-forwarded-proto", "https"), ("x-forwarded-for", "192.0.2.7")];
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    with(&api, &server, Method::POST, "/api/v1/signup/", &https, Some(body.clone())).await.expect(201);
    let reply = with(&api, &server, Method::POST, "/mission-control/login/", &https, Some(body.clone())).await;
    assert!(reply.header("set-cookie").ends_with("; HttpOnly; SameSite=Strict; Secure"), "{reply:?}");
    let plain = with(&api, &server, Method::POST, "/mission-control/login/", &[], Some(body)).await;
    plain.expect_text(403, r#"{"detail":"HTTPS is required."}"#);
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

/// Each account has its own count, and calls of the API have another one.
#[tokio::test]
async fn session_calls_are_limited_by_account() {
    let server = Server::start(&["--requests-per-minute", "5"]);
    let api = Api::of(&server);
    api.sign_up("ada").await;
    api.sign_up("bob").await;
    let ada = [session(&api, &server, "ada@example.com").await, session(&api, &server, "ada@example.com").await];
    let bob = session(&api, &server, "bob@example.com").await;
    let who =
        async |cookie: &str| call(&api, &server, Method::GET, "/mission-control/session/", cookie, None).await.status;
    for number in 0..60 {
        assert_eq!(who(&ada[number % 2]).await, 200, "{number}");
    }
    assert_eq!((who(&ada[0]).await, who(&ada[1]).await, who(&bob).await), (429, 429, 200));
    let list = async |cookie: &str| call(&api, &server, Method::GET, KEYS, cookie, None).await.status;
    for number in 0..5 {
        assert_eq!(list(&ada[number % 2]).await, 200, "{number}");
    }
    assert_eq!((list(&ada[0]).await, list(&ada[1]).await, list(&bob).await), (429, 429, 200));
}

#[tokio::test]
async fn page_is_behind_the_login() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    api.sign_up("ada").await;
    let cookie = session(&api, &server, "ada@example.com").await;
    let anyone = call(&api, &server, Method::GET, "/settings/security", "", None).await;
    assert_eq!((anyone.status, anyone.header("location")), (303, "/mission-control/"));
    let page = call(&api, &server, Method::GET, "/settings/security", &cookie, None).await;
    assert!(page.status == 200 && page.body.contains("<title>API keys · Mission Control</title>"), "{page:?}");
    let config = call(&api, &server, Method::GET, "/settings/security?config.json", &cookie, None).await.expect(200);
    assert_eq!((&config["actor"], &config["api"]), (&json!("ada@example.com"), &json!(KEYS)));
    assert_eq!(config["scopes"].as_array().unwrap().len(), 5);
    assert!(config["scopes"].as_array().unwrap().iter().all(|scope| scope["meaning"].is_string()));

    for (file, kind) in [
        ("/mission-control/", "text/html; charset=utf-8"),
        ("/mission-control/login.css", "text/css; charset=utf-8"),
        ("/mission-control/login.js", "text/javascript; charset=utf-8"),
        ("/settings/security?page.css", "text/css; charset=utf-8"),
        ("/settings/security/main.js", "text/javascript; charset=utf-8"),
    ] {
        let reply = call(&api, &server, Method::GET, file, "", None).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, kind), "{file}");
        let policy = reply.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!((reply.header("x-content-type-options"), reply.header("x-frame-options")), ("nosniff", "DENY"));
        for never in [" style=", "innerHTML", " onclick=", "https:", "<script>"] {
            assert!(!reply.body.contains(never), "{file}: {never}");
        }
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
    let (secret, session) = sessions.open("acme".parse().unwrap(), "ada@example.com").unwrap();
    let who =
        async |operator: Option<Extension<Operator>>| operator.map_or_else(String::new, |who| who.actor().to_owned());
    let app = Router::new().route("/", get(who)).layer(from_fn_with_state(sessions.clone(), identify));
    let asked = async || {
        let cookie = format!("mission_control={}", secret.expose_secret());
        let request = Request::get("/").header("cookie", cookie).body(Body::empty()).unwrap();
        let body = app.clone().oneshot(request).await.unwrap().into_body();
        axum::body::to_bytes(body, 100).await.unwrap()
    };
    assert_eq!(session.expires_at, *now.lock().unwrap() + sessions.lifetime());
    let set = cookie(Some("x"), sessions.lifetime(), true);
    assert_eq!(set, "mission_control=x; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict; Secure");
    assert!(set.is_sensitive());
    *now.lock().unwrap() += Duration::from_secs(3599);
    assert_eq!(asked().await, "ada@example.com");
    *now.lock().unwrap() += Duration::from_secs(1);
    assert_eq!(asked().await, "");
}

#[test]
fn session_count_is_bounded() {
    let (sessions, now) = sessions();
    let open = |organization: &str| sessions.open(organization.parse().unwrap(), "x").unwrap().0;
    let lives = |secret: &tower_api_key::key::KeySecret| sessions.find(secret.expose_secret().as_bytes()).is_some();
    let other = open("other");
    let mine: Vec<_> = (0..9).map(|_| open("mine")).collect();
    assert!(!lives(&mine[0]) && lives(&mine[1]) && lives(&other));
    let ended = sessions.find(mine[1].expose_secret().as_bytes()).unwrap();
    sessions.end(&ended);
    assert!(!lives(&mine[1]) && lives(&mine[2]));

    let last: Vec<_> = (0..1000).map(|number| open(&format!("n{number}"))).collect();
    assert!(!lives(&other) && !lives(&mine[8]) && lives(&last[0]) && lives(&last[999]));
    // A session that has ended makes room.
    *now.lock().unwrap() += Duration::from_secs(3600);
    open("late");
    assert!(!lives(&last[999]));
}

/// A person with many accounts must not log out the others.
#[test]
fn login_of_the_busiest_makes_room() {
    let (sessions, _) = sessions();
    let open = |organization: &str| sessions.open(organization.parse().unwrap(), "x").unwrap().0;
    let other = open("other");
    for number in 0..250 {
        (0..8).for_each(|_| drop(open(&format!("n{number}"))));
    }
    assert!(sessions.find(other.expose_secret().as_bytes()).is_some());
}
