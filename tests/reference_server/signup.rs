use std::net::IpAddr;

use axum::http::Method;
use futures::future::join_all;
use serde_json::{Value, json};

use super::client::{Api, text};
use super::server::Server;
use super::stores::Store;

on_every_store!(
    signup_returns_full_access_key,
    taken_email_is_400_in_any_letter_case,
    one_of_parallel_signups_per_email_wins,
);

const PASSWORD: &str = "correct horse battery staple";

type Headers = &'static [(&'static str, &'static str)];

/// A client of its own for each call, since one address has five attempts per minute. On Linux every address of
/// 127.0.0.0/8 is this machine.
fn new_client(server: &Server, number: u8) -> Api {
    Api::from_address(server, IpAddr::from([127, 0, 1, number]))
}

async fn signup_returns_full_access_key(store: &Store) {
    let server = store.start(&[]);
    let api = Api::of(&server);
    let body = json!({"email": "Ada@Example.com", "password": PASSWORD, "first_name": "Ada", "last_name": "Byron"});
    let reply = api.post("", "/signup/", body).await;
    let json = reply.expect(201);
    assert_eq!(reply.header("cache-control"), "no-store");

    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&json), ["api_key", "user"]);
    let user = &json["user"];
    assert_eq!(fields(user), ["email", "first_name", "last_name", "uid", "username"]);
    assert_eq!(
        (&user["email"], &user["first_name"], &user["last_name"]),
        (&json!("Ada@Example.com"), &json!("Ada"), &json!("Byron"))
    );
    assert!(!text(&user["uid"]).is_empty() && !text(&user["username"]).is_empty());

    let key = text(&json["api_key"]);
    let body = key.strip_prefix("avk_").expect("the documented prefix");
    assert!(body.len() == 40 && body.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{key}");
    let keys = api.get(&key, "/api-keys/").await.expect(200);
    assert_eq!(keys["results"].as_array().unwrap().len(), 1);
    assert_eq!(keys["results"][0]["full_access"], true);

    let body = json!({"email": "ada@elsewhere.example", "password": PASSWORD, "first_name": null});
    let second = api.post("", "/signup/", body).await.expect(201);
    assert_eq!((&second["user"]["first_name"], &second["user"]["last_name"]), (&json!(""), &json!("")));
    assert_ne!(second["user"]["username"], user["username"]);
    assert_ne!(second["api_key"], json["api_key"]);
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn invalid_signup_is_400_naming_the_fields() {
    let required = json!(["This field is required."]);
    let blank = json!(["This field may not be blank."]);
    let not_null = json!(["This field may not be null."]);
    let type_error = json!(["Not a valid string."]);
    let address = json!(["Enter a valid email address."]);
    let short = ["Ensure this field has at least 8 characters."];
    let mut table = vec![
        (json!({}), json!({"email": required, "password": required})),
        (json!({"email": "a@example.com"}), json!({"password": required})),
        (json!({"email": "a@example.com", "password": "a"}), json!({"password": short})),
        (json!({"email": "a@example.com", "password": "äöüßéñ7"}), json!({"password": short})),
        (json!({"password": PASSWORD}), json!({"email": required})),
        (json!({"email": "", "password": " "}), json!({"email": blank, "password": blank})),
        (json!({"email": null, "password": null}), json!({"email": not_null, "password": not_null})),
        (json!({"email": 1, "password": ["x"]}), json!({"email": type_error, "password": type_error})),
        (
            json!({"email": "a@example.com", "password": PASSWORD, "first_name": {}, "last_name": true}),
            json!({"first_name": type_error, "last_name": type_error}),
        ),
        (
            json!({"email": format!("{}@example.com", "a".repeat(243)), "password": "x".repeat(1001)}),
            json!({
                "email": ["Ensure this field has no more than 254 characters."],
                "password": ["Ensure this field has no more than 1000 characters."],
            }),
        ),
    ];
    let invalid = [
        "ada",
        "@example.com",
        "ada@",
        "ada@example",
        "a@b@example.com",
        "a da@example.com",
        "ada@.com",
        "ada@example..com",
        "ada@example.com.",
        "a\n@example.com",
        "a\u{0}@example.com",
    ];
    table.extend(invalid.map(|email| (json!({"email": email, "password": PASSWORD}), json!({"email": address}))));

    let server = Server::start(&[]);
    for (number, (body, errors)) in (0..).zip(table) {
        let reply = new_client(&server, number).post("", "/signup/", body.clone()).await;
        assert_eq!(reply.expect(400), json!({"detail": errors}), "{body}");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert!(!reply.body.contains(PASSWORD), "{reply:?}");
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn signup_reads_only_bounded_json() {
    let server = Server::start(&[]);
    let valid = |name: &str| json!({"email": format!("{name}@example.com"), "password": PASSWORD}).to_string();
    let too_long = json!({"email": "x".repeat(70_000), "password": PASSWORD}).to_string();
    let table: Vec<(Headers, String, u16)> = vec![
        (&[], valid("a"), 415),
        (&[("content-type", "text/plain")], valid("b"), 415),
        (&[("content-type", "application/x-www-form-urlencoded")], "email=c%40example.com&password=x".into(), 415),
        (&[("content-type", "application/jsonp")], valid("d"), 415),
        (&[("content-type", "application/json"), ("content-type", "text/plain")], valid("e"), 415),
        (&[("content-type", "application/json")], String::new(), 400),
        (&[("content-type", "application/json")], "{".into(), 400),
        (&[("content-type", "application/json")], valid("f") + "x", 400),
        (&[("content-type", "application/json")], "[]".into(), 400),
        (&[("content-type", "application/json")], "\"email\"".into(), 400),
        (&[("content-type", "application/json")], "[".repeat(60_000), 400),
        (&[("content-type", "application/json")], too_long, 413),
        (&[("content-type", "application/json; charset=utf-8")], valid("g"), 201),
        (&[("content-type", "Application/JSON")], valid("h"), 201),
    ];
    for (number, (headers, body, status)) in (0..).zip(table) {
        let reply = new_client(&server, number).send(Method::POST, "", "/signup/", headers, body.clone()).await;
        assert_eq!(reply.status, status, "{body:.80} {reply:?}");
        if status != 201 {
            assert!(reply.json()["detail"].is_string(), "{reply:?}");
        }
    }
}

async fn taken_email_is_400_in_any_letter_case(store: &Store) {
    let server = store.start(&[]);
    let api = Api::of(&server);
    let body = |email: &str| json!({"email": email, "password": PASSWORD});
    api.post("", "/signup/", body("ada@example.com")).await.expect(201);
    for email in ["ada@example.com", "ADA@Example.COM"] {
        api.post("", "/signup/", body(email)).await.expect_text(400, r#"{"detail":"Email already registered."}"#);
    }
}

async fn one_of_parallel_signups_per_email_wins(store: &Store) {
    let server = store.start(&[]);
    let api = Api::of(&server);
    let body = || json!({"email": "ada@example.com", "password": PASSWORD});
    let replies = join_all((0..5).map(|_| api.post("", "/signup/", body()))).await;
    let mut statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 400, 400, 400, 400]);
}

#[tokio::test]
async fn five_signups_per_minute_are_accepted() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    // Every attempt counts, with any outcome.
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let attempts = [
        (api.post("", "/signup/", body.clone()).await, 201),
        (api.post("", "/signup/", body.clone()).await, 400),
        (api.post("", "/signup/", json!({})).await, 400),
        (api.send(Method::POST, "", "/signup/", &[("content-type", "text/plain")], "x").await, 415),
        (api.send(Method::POST, "", "/signup/", &[("content-type", "application/json")], "{").await, 400),
    ];
    for (reply, status) in attempts {
        assert_eq!(reply.status, status, "{reply:?}");
    }
    let body = json!({"email": "bob@example.com", "password": PASSWORD});
    let forged =
        [("content-type", "application/json"), ("x-forwarded-for", "192.0.2.7"), ("forwarded", "for=192.0.2.7")];
    for reply in [
        api.post("", "/signup/", body.clone()).await,
        // Forwarding headers are ignored.
        api.send(Method::POST, "", "/signup/", &forged, body.to_string()).await,
    ] {
        assert_eq!(reply.status, 429, "{reply:?}");
        let seconds: u64 = reply.header("retry-after").parse().expect("whole seconds");
        assert!((1..=60).contains(&seconds), "{seconds}");
        let detail = format!("{{\"detail\":\"Request was throttled. Expected available in {seconds} seconds.\"}}");
        reply.expect_text(429, &detail);
    }
    #[cfg(target_os = "linux")]
    new_client(&server, 1).post("", "/signup/", body).await.expect(201);
}

/// Cases: 40.
#[tokio::test]
async fn five_of_twenty_parallel_signups_are_accepted() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    let replies = join_all((0..20).map(|_| api.post("", "/signup/", json!({})))).await;
    let accepted = replies.iter().filter(|reply| reply.status == 400).count();
    let throttled = replies.iter().filter(|reply| reply.status == 429).count();
    assert_eq!((accepted, throttled), (5, 15));
}

/// One password hash takes 19 MiB; 25 at once would take 475.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn signup_flood_uses_bounded_memory() {
    let server = Server::start(&[]);
    let clients: Vec<_> = (0..5).map(|number| new_client(&server, number)).collect();
    let calls = (0..25).map(|number| {
        let body = json!({"email": format!("{number}@example.com"), "password": PASSWORD});
        clients[number % 5].post("", "/signup/", body)
    });
    assert!(join_all(calls).await.iter().all(|reply| reply.status == 201));
    let peak = server.peak_memory();
    assert!(peak < 200, "{peak} MiB");
}
