//! Data that outlives a process or is shared by two, and a database that fails.

use std::time::{Duration, Instant};

use axum::http::Method;
use futures::future::join_all;
use serde_json::{Value, json};

use super::client::{Api, EXPIRED, INVALID_KEY, Reply, text};
use super::server::Server;
use super::stores::Store;
use crate::support::sqlite::Dir;

on_every_database!(
    restart_keeps_everything,
    kill_keeps_everything_acknowledged,
    kill_loses_at_most_one_usage_interval,
    last_use_is_shown_after_restart,
    maximum_age_is_that_of_the_last_start,
    several_processes_start_at_once,
    key_revoked_by_other_process_is_rejected,
    two_processes_change_one_organization,
    outage_is_503_on_every_route,
    failed_signup_leaves_nothing,
    invalid_rows_grant_nothing,
);

const UNAVAILABLE: &str = r#"{"detail":"Service temporarily unavailable, try again later."}"#;

/// Far below the 5 seconds for which a server remembers a key, and far above the time that a notification takes.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test]
async fn default_store_is_a_file_in_working_directory() {
    let directory = Dir::new();
    let key = {
        let server = Server::start_in(directory.path());
        let key = Api::of(&server).sign_up("ada").await.key;
        assert!(directory.path().join("avala.db").is_file());
        let (status, log) = server.stop();
        assert_eq!(status.code(), Some(0), "{log}");
        key
    };
    let server = Server::start_in(directory.path());
    Api::of(&server).get(&key, "/datasets/").await.expect(200);
}

/// A user with a dataset, an export and keys, and the responses about them.
struct Filled {
    owner: String,
    scoped: String,
    revoked: String,
    replies: Vec<(String, Value)>,
}

async fn fill(api: &Api) -> Filled {
    let owner = api.sign_up("ada").await.key;
    api.post(&owner, "/datasets/", json!({"name": "Zweiter \u{0} Satz \"'; --"})).await.expect(201);
    let dataset = text(&api.get(&owner, "/datasets/").await.expect(200)["results"][0]["uid"]);
    let export = api.post(&owner, "/exports/", json!({"dataset": dataset})).await.expect(201);
    let scoped = api.make_key(&owner, json!({"name": "scoped", "scopes": ["tasks.read"]})).await;
    let revoked = api.make_key(&owner, json!({"name": "revoked", "full_access": true})).await;
    api.order(&owner, &format!("/api-keys/{}/revoke/", text(&revoked["uid"]))).await.expect(200);

    let mut replies = Vec::new();
    for path in ["/datasets/", "/projects/", "/tasks/", &format!("/exports/{}/", text(&export["uid"]))] {
        replies.push((path.to_owned(), api.get(&owner, path).await.expect(200)));
    }
    Filled { owner, scoped: text(&scoped["api_key"]), revoked: text(&revoked["api_key"]), replies }
}

impl Filled {
    async fn check(&self, api: &Api) {
        for (path, reply) in &self.replies {
            assert_eq!(api.get(&self.owner, path).await.expect(200), *reply, "{path}");
        }
        api.get(&self.scoped, "/tasks/").await.expect(200);
        assert_eq!(api.get(&self.scoped, "/datasets/").await.status, 403);
        api.get(&self.revoked, "/tasks/").await.expect_text(401, INVALID_KEY);
        let again = json!({"email": "ADA@example.com", "password": "correct horse battery staple"});
        api.post("", "/signup/", again).await.expect_text(400, r#"{"detail":"Email already registered."}"#);
    }
}

async fn restart_keeps_everything(store: &Store) {
    let server = store.start(&[]);
    let filled = fill(&Api::of(&server)).await;
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0), "{log}");

    let server = store.start(&[]);
    filled.check(&Api::of(&server)).await;
}

async fn kill_keeps_everything_acknowledged(store: &Store) {
    let server = store.start(&[]);
    let filled = fill(&Api::of(&server)).await;
    server.signal("KILL");
    server.wait();

    let server = store.start(&[]);
    filled.check(&Api::of(&server)).await;
}

async fn last_use_is_shown_after_restart(store: &Store) {
    let server = store.start(&[]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let made = api.make_key(&owner, json!({"name": "used", "scopes": ["tasks.read"]})).await;
    api.make_key(&owner, json!({"name": "unused", "scopes": ["tasks.read"]})).await;
    for _ in 0..20 {
        api.get(&text(&made["api_key"]), "/tasks/").await.expect(200);
    }
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    let requests = "SELECT CAST(requests AS BIGINT) FROM tower_api_key_usage JOIN tower_api_key_keys ON key = id \
        WHERE name = 'used'";
    assert_eq!(store.count(requests).await, 20);

    let server = store.start(&[]);
    let listed = Api::of(&server).get(&owner, "/api-keys/").await.expect(200);
    for key in listed["results"].as_array().unwrap() {
        match key["name"].as_str().unwrap() {
            "unused" => assert_eq!(key["last_used_at"], json!(null)),
            _ => assert!(super::keys::utc(&key["last_used_at"]) >= super::keys::utc(&key["created_at"]), "{key}"),
        }
    }
}

/// A server that is killed loses the usage since the last report, and nothing else.
async fn kill_loses_at_most_one_usage_interval(store: &Store) {
    const USED: &str = "SELECT CAST(coalesce(sum(requests), 0) AS BIGINT) FROM tower_api_key_usage \
        JOIN tower_api_key_keys ON key = id WHERE name = 'used'";
    let server = store.start(&[]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let made = api.make_key(&owner, json!({"name": "used", "scopes": ["tasks.read"]})).await;
    let ask = async |times: usize| {
        for _ in 0..times {
            api.get(&text(&made["api_key"]), "/tasks/").await.expect(200);
        }
    };
    ask(20).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while store.count(USED).await < 20 {
        assert!(Instant::now() < deadline, "no usage is reported");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ask(15).await;
    server.signal("KILL");
    server.wait();
    let reported = store.count(USED).await;
    assert!((20..=35).contains(&reported), "{reported}");
}

/// The server's policy applies to every organization, also to those that signed up under an earlier one.
async fn maximum_age_is_that_of_the_last_start(store: &Store) {
    let server = store.start(&[]);
    let owner = Api::of(&server).sign_up("ada").await.key;
    server.stop();
    tokio::time::sleep(Duration::from_millis(2100)).await;

    let server = store.start(&["--max-key-age", "1s"]);
    Api::of(&server).get(&owner, "/datasets/").await.expect_text(401, EXPIRED);
    server.stop();
    let server = store.start(&[]);
    Api::of(&server).get(&owner, "/datasets/").await.expect(200);
}

async fn several_processes_start_at_once(store: &Store) {
    let servers: Vec<_> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..4).map(|_| scope.spawn(|| store.start(&[]))).collect();
        starting.into_iter().map(|server| server.join().unwrap()).collect()
    });
    let owner = Api::of(&servers[0]).sign_up("ada").await.key;
    for server in &servers {
        Api::of(server).get(&owner, "/datasets/").await.expect(200);
    }
}

async fn key_revoked_by_other_process_is_rejected(store: &Store) {
    let (one, other) = (store.start(&[]), store.start(&["--requests-per-minute", "off"]));
    let (one, other) = (Api::of(&one), Api::of(&other));
    let owner = one.sign_up("ada").await.key;
    for action in ["revoke", "regenerate", "revoke"] {
        let made = one.make_key(&owner, json!({"name": "x", "scopes": ["tasks.read"]})).await;
        let key = text(&made["api_key"]);
        other.get(&key, "/tasks/").await.expect(200);
        let changed = one.order(&owner, &format!("/api-keys/{}/{action}/", text(&made["uid"]))).await;
        assert!(matches!(changed.status, 200 | 201), "{changed:?}");
        let since = Instant::now();
        let rejected = loop {
            let reply = other.get(&key, "/tasks/").await;
            if reply.status != 200 {
                break reply;
            }
            assert!(since.elapsed() < SOON, "it still works after {:?}", since.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        rejected.expect_text(401, INVALID_KEY);
    }
}

/// No dataset replaces another one.
async fn two_processes_change_one_organization(store: &Store) {
    let servers = [store.start(&[]), store.start(&[])];
    let owner = Api::of(&servers[0]).sign_up("ada").await.key;
    let create = (0..20).map(|number| {
        let (api, owner) = (Api::of(&servers[number % 2]), owner.clone());
        async move { api.post(&owner, "/datasets/", json!({"name": format!("Set {number}")})).await.expect(201) }
    });
    let created = join_all(create).await;
    let listed = Api::of(&servers[0]).get(&owner, "/datasets/").await.expect(200);
    let listed = listed["results"].as_array().unwrap();
    assert_eq!(listed.len(), 21);
    assert!(created.iter().all(|dataset| listed.contains(dataset)));
}

/// Checks that this is exactly the documented response to an outage.
fn unavailable(reply: &Reply, what: &str) {
    assert_eq!((reply.status, &*reply.body), (503, UNAVAILABLE), "{what}: {reply:?}");
    assert_eq!((reply.header("retry-after"), reply.header("cache-control")), ("1", "no-store"), "{what}");
}

async fn outage_is_503_on_every_route(store: &Store) {
    let server = store.start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let made = api.make_key(&owner, json!({"name": "x", "scopes": ["tasks.read"]})).await;
    let unseen = text(&made["api_key"]);
    let uid = text(&made["uid"]);
    let calls = [
        (Method::GET, "/datasets/", json!(null)),
        (Method::GET, "/datasets/x/", json!(null)),
        (Method::GET, "/datasets/x/y/items/", json!(null)),
        (Method::POST, "/datasets/", json!({"name": "x"})),
        (Method::GET, "/projects/", json!(null)),
        (Method::GET, "/users/me/projects/", json!(null)),
        (Method::GET, "/tasks/", json!(null)),
        (Method::GET, "/tasks/x/", json!(null)),
        (Method::POST, "/exports/", json!({"dataset": "x"})),
        (Method::GET, "/exports/x/", json!(null)),
        (Method::GET, "/api-keys/", json!(null)),
        (Method::POST, "/api-keys/", json!({"name": "x", "full_access": true})),
        (Method::POST, &*format!("/api-keys/{uid}/revoke/"), json!(null)),
        (Method::POST, &*format!("/api-keys/{uid}/regenerate/"), json!(null)),
        (Method::POST, "/signup/", json!({"email": "bob@example.com", "password": "correct horse battery staple"})),
    ];
    let tables = ["avala_accounts", "tower_api_key_keys"];
    for table in tables {
        store.run(&format!("ALTER TABLE {table} RENAME TO {table}_away")).await;
    }
    // The owner's key is in the cache. The other one fails in the key layer.
    for key in [&*owner, &*unseen] {
        for (method, path, body) in &calls {
            let body = Some(body.clone()).filter(|body| !body.is_null());
            unavailable(&api.call(method.clone(), key, path, body).await, &format!("{method} {path}"));
        }
    }
    unavailable(&api.get(&unseen, "/users/me/permissions/").await, "permissions");
    unavailable(&api.get(&unseen, "/nowhere/").await, "no route");

    for table in tables {
        store.run(&format!("ALTER TABLE {table}_away RENAME TO {table}")).await;
    }
    api.get(&unseen, "/tasks/").await.expect(200);
    api.get(&owner, "/datasets/").await.expect(200);
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    // The log names the cause.
    assert!(log.contains("answering 503: ") && log.contains("avala_accounts"), "{log}");
}

async fn failed_signup_leaves_nothing(store: &Store) {
    let server = store.start(&[]);
    let api = Api::of(&server);
    let body = json!({"email": "ada@example.com", "password": "correct horse battery staple"});
    let (accounts, keys) =
        ("SELECT count(*) FROM avala_accounts", "SELECT count(*) FROM tower_api_key_keys WHERE revoked_at IS NULL");
    for table in ["tower_api_key_keys", "avala_accounts"] {
        let (forbid, allow) = match store {
            Store::Postgres(_) => (
                format!(
                    "CREATE OR REPLACE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS \
                     $$ BEGIN RAISE 'forbidden'; END $$; \
                     CREATE TRIGGER forbidden BEFORE INSERT ON {table} EXECUTE FUNCTION forbid()"
                ),
                format!("DROP TRIGGER forbidden ON {table}"),
            ),
            _ => (
                format!(
                    "CREATE TRIGGER forbidden BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'forbidden'); END"
                ),
                "DROP TRIGGER forbidden".to_owned(),
            ),
        };
        store.run(&forbid).await;
        unavailable(&api.post("", "/signup/", body.clone()).await, table);
        assert_eq!((store.count(accounts).await, store.count(keys).await), (0, 0), "{table}");
        store.run(&allow).await;
    }
    // The same email can sign up afterwards.
    let owner = text(&api.post("", "/signup/", body).await.expect(201)["api_key"]);
    api.get(&owner, "/datasets/").await.expect(200);
    assert_eq!((store.count(accounts).await, store.count(keys).await), (1, 1));
}

async fn invalid_rows_grant_nothing(store: &Store) {
    let server = store.start(&[]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    for document in ["", "{", "null", "[]", "{}", "{\"datasets\": []}"] {
        store.run(&format!("UPDATE avala_accounts SET data = '{document}', account = '{document}'")).await;
        unavailable(&api.get(&owner, "/datasets/").await, document);
        unavailable(&api.post(&owner, "/datasets/", json!({"name": "x"})).await, document);
    }
    let body = json!({"email": "ada@example.com", "password": "correct horse battery staple"});
    unavailable(&api.post("", "/signup/", body).await, "an unreadable account");
    // Without an account there is no data, and the key reaches no other organization.
    store.run("DELETE FROM avala_accounts").await;
    assert_eq!(api.get(&owner, "/datasets/").await.status, 404);
}
