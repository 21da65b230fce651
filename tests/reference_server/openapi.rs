//! `/api/v1/openapi.json` documents exactly what each operation does.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use serde_json::{Value, json};

use super::client::{Api, Reply, text};
use super::server::Server;
use super::stores::Store;

const PASSWORD: &str = "correct horse battery staple";

/// The operations by method and path, such as `POST /datasets/`.
type ByOperation<T> = BTreeMap<String, T>;

async fn document(api: &Api) -> Value {
    api.get("", "/openapi.json").await.expect(200)
}

/// The statuses that the document has for each operation.
fn documented(document: &Value) -> ByOperation<BTreeSet<u16>> {
    let mut statuses = BTreeMap::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/api/v1").expect("the base of the API");
        for (method, operation) in operations.as_object().unwrap() {
            let numbers = operation["responses"].as_object().unwrap().keys().map(|status| status.parse().unwrap());
            statuses.insert(format!("{} {path}", method.to_uppercase()), numbers.collect());
        }
    }
    statuses
}

/// A valid call of each operation, for an owner who has one of everything.
async fn valid_calls(api: &Api, owner: &str, username: &str) -> ByOperation<(String, Option<Value>)> {
    let first = async |path: &str| text(&api.get(owner, path).await.expect(200)["results"][0]["uid"]);
    let (dataset, task) = (first("/datasets/").await, first("/tasks/").await);
    let export = text(&api.post(owner, "/exports/", json!({"dataset": dataset})).await.expect(201)["uid"]);
    let spare = text(&api.post(owner, "/datasets/", json!({"name": "Spare"})).await.expect(201)["uid"]);
    let new_key = json!({"name": "x", "scopes": ["tasks.read"]});
    let key = text(&api.make_key(owner, new_key.clone()).await["uid"]);
    let sign_up = json!({"email": "other@example.com", "password": PASSWORD});
    let calls = [
        ("POST /signup/", "/signup/".to_owned(), Some(sign_up)),
        ("GET /openapi.json", "/openapi.json".into(), None),
        ("GET /datasets/", "/datasets/".into(), None),
        ("POST /datasets/", "/datasets/".into(), Some(json!({"name": "Night"}))),
        ("GET /datasets/{uid}/", format!("/datasets/{dataset}/"), None),
        ("PATCH /datasets/{uid}/", format!("/datasets/{dataset}/"), Some(json!({"name": "Second drive"}))),
        ("DELETE /datasets/{uid}/", format!("/datasets/{spare}/"), None),
        ("POST /datasets/{uid}/items/", format!("/datasets/{dataset}/items/"), Some(json!({"key": "4.jpg"}))),
        ("GET /datasets/{owner}/{slug}/items/", format!("/datasets/{username}/first-drive/items/"), None),
        ("GET /projects/", "/projects/".into(), None),
        ("GET /users/me/projects/", "/users/me/projects/".into(), None),
        ("GET /tasks/", "/tasks/".into(), None),
        ("GET /tasks/{uid}/", format!("/tasks/{task}/"), None),
        ("POST /exports/", "/exports/".into(), Some(json!({"dataset": dataset}))),
        ("GET /exports/{uid}/", format!("/exports/{export}/"), None),
        ("GET /exports/{uid}/download/", format!("/exports/{export}/download/"), None),
        ("GET /users/me/permissions/", "/users/me/permissions/".into(), None),
        ("GET /api-keys/", "/api-keys/".into(), None),
        ("POST /api-keys/", "/api-keys/".into(), Some(new_key)),
        ("GET /api-keys/{uid}/", format!("/api-keys/{key}/"), None),
        ("GET /organization/key-policy/", "/organization/key-policy/".into(), None),
        (
            "PUT /organization/key-policy/",
            "/organization/key-policy/".into(),
            Some(json!({"max_key_age_seconds": null})),
        ),
        // Sorted by name, so that the key is changed before it is regenerated, and that before it is revoked.
        ("PATCH /api-keys/{uid}/", format!("/api-keys/{key}/"), Some(json!({"name": "y"}))),
        ("POST /api-keys/{uid}/regenerate/", format!("/api-keys/{key}/regenerate/"), Some(json!({}))),
        ("POST /api-keys/{uid}/revoke/", format!("/api-keys/{key}/revoke/"), Some(json!({}))),
    ];
    calls.into_iter().map(|(operation, path, body)| (operation.to_owned(), (path, body))).collect()
}

/// Calls every operation in every way that makes a difference, and records the statuses.
struct Observer<'a> {
    api: &'a Api,
    calls: ByOperation<(String, Option<Value>)>,
    seen: ByOperation<BTreeSet<u16>>,
    client: u16,
}

impl Observer<'_> {
    fn saw(&mut self, operation: &str, reply: &Reply) {
        self.seen.entry(operation.to_owned()).or_default().insert(reply.status);
    }

    /// Calls every operation with this key, after `change` was applied to its valid path and body.
    async fn all(&mut self, key: &str, change: impl Fn(&mut String, &mut Option<String>, &mut &'static str)) {
        for (operation, (path, body)) in self.calls.clone() {
            let (mut path, mut body) = (path, body.map(|body| body.to_string()));
            let mut content_type = "application/json";
            change(&mut path, &mut body, &mut content_type);
            let method = Method::from_bytes(operation.split(' ').next().unwrap().as_bytes()).unwrap();
            // A client of its own for each call, where the server trusts this header.
            self.client += 1;
            let client = format!("2001:db8:0:{:x}::1", self.client);
            let mut headers = vec![("x-forwarded-for", &*client)];
            headers.extend(body.is_some().then_some(("content-type", content_type)));
            let reply = self.api.send(method, key, &path, &headers, body.unwrap_or_default()).await;
            self.saw(&operation, &reply);
        }
    }
}

/// Each operation is called in the same ways, also in those that should make no difference to it. The statuses of all calls
/// are exactly those of the document.
#[tokio::test]
async fn operations_give_only_documented_statuses() {
    let store = Store::sqlite();
    let server = store.start(&["--trusted-proxy", "127.0.0.1", "--requests-per-minute", "off"]);
    let limited = store.start(&["--requests-per-minute", "1"]);
    let api = Api::of(&server);
    let user = api.sign_up("ada").await;
    let owner = user.key;
    let none = text(&api.make_key(&owner, json!({"name": "none", "scopes": ["exports.create"]})).await["api_key"]);
    let other = text(&api.make_key(&owner, json!({"name": "none", "scopes": ["tasks.read"]})).await["api_key"]);
    let document = document(&Api::of(&limited)).await;

    let calls = valid_calls(&api, &owner, &user.username).await;
    let mut observer = Observer { api: &api, calls, seen: BTreeMap::new(), client: 0 };
    observer.all(&owner, |_, _, _| {}).await;
    // An email or a key can be used up once.
    observer.all(&owner, |_, _, _| {}).await;
    for key in ["", "avk_unknown", &none, &other] {
        observer.all(key, |_, _, _| {}).await;
    }
    observer.all(&owner, |path, _, _| path.push_str("?limit=0&cursor=-&x=%ff")).await;
    observer.all(&owner, |_, body, _| *body = body.take().map(|_| "[]".into())).await;
    observer.all(&owner, |_, body, kind| (*body, *kind) = (Some("{}".into()), "text/plain")).await;
    observer.all(&owner, |_, body, _| *body = body.take().map(|_| " ".repeat(64 * 1024 + 1))).await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    let elsewhere = |path: &mut String, body: &mut Option<String>, _: &mut &'static str| {
        *path = path
            .split('/')
            .map(|part| if part.len() == unknown.len() { unknown } else { part })
            .collect::<Vec<_>>()
            .join("/");
        *path = path.replace("/first-drive/", "/nowhere/");
        *body = body
            .take()
            .map(|body| if body.contains("dataset") { json!({"dataset": unknown}).to_string() } else { body });
    };
    observer.all(&owner, elsewhere).await;

    // One request of each key is accepted, and five signups.
    let limited = Api::of(&limited);
    let mut observer = Observer { api: &limited, ..observer };
    for _ in 0..6 {
        observer.all(&owner, |_, _, _| {}).await;
    }
    // A key that was never looked up is not in the cache.
    store.run("ALTER TABLE tower_api_key_keys RENAME TO gone; DROP TABLE avala_accounts").await;
    let mut observer = Observer { api: &api, ..observer };
    observer
        .all("avk_unseen", |path, body, _| {
            if path == "/signup/" {
                *body = Some(json!({"email": "late@example.com", "password": PASSWORD}).to_string());
            }
        })
        .await;

    let mut expected = documented(&document);
    assert_eq!(expected.len(), 25);
    for (operation, statuses) in &mut expected {
        // A body that is late takes longer than this test: `transport.rs` has one.
        let has_body = statuses.remove(&408);
        assert_eq!(has_body, statuses.contains(&415), "{operation}");
        assert_eq!(observer.seen[operation], *statuses, "{operation}");
    }
    assert_eq!(observer.seen.len(), expected.len());
}

#[tokio::test]
async fn document_lists_limits_and_rejections() {
    for (options, limited, forbidden) in [
        (&["--requests-per-minute", "5"][..], true, false),
        (&["--requests-per-minute", "off"], false, false),
        (&["--requests-per-minute", "off", "--require-https", "--trusted-proxy", "127.0.0.1"], false, true),
    ] {
        let server = Server::start(options);
        let api = Api::of(&server);
        let https = [("x-forwarded-proto", "https")];
        let document = api.send(Method::GET, "", "/openapi.json", &https, "").await.expect(200);
        let statuses = documented(&document);
        assert_eq!(statuses["GET /tasks/"].contains(&429), limited, "{options:?}");
        assert!(statuses["POST /signup/"].contains(&429), "{options:?}");
        for operation in ["GET /openapi.json", "POST /signup/", "GET /users/me/permissions/"] {
            assert_eq!(statuses[operation].contains(&403), forbidden, "{operation} {options:?}");
        }
        assert_eq!(api.get("", "/openapi.json").await.status == 403, forbidden, "{options:?}");
    }
}

/// It is the same for every client, and each reference resolves.
#[tokio::test]
async fn document_is_public_and_complete() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    let owner = api.sign_up("ada").await.key;
    let reply = api.get("", "/openapi.json").await;
    let document = reply.expect(200);
    for key in [&owner, "avk_unknown"] {
        assert_eq!(api.get(key, "/openapi.json").await.body, reply.body);
    }
    assert_eq!(
        api.call(Method::HEAD, "", "/openapi.json", None).await.header("content-length"),
        reply.header("content-length")
    );
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(
        document["components"]["securitySchemes"],
        json!({"ApiKey": {"type": "apiKey", "in": "header", "name": "X-Avala-Api-Key"}})
    );
    let read_tasks = json!([{"ApiKey": ["projects.read"]}, {"ApiKey": ["tasks.read"]}]);
    assert_eq!(document["paths"]["/api/v1/tasks/"]["get"]["security"], read_tasks);
    for (path, operations) in document["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{path}: {operation}");
            assert!(operation["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2')), "{path}");
        }
    }
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 50, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a reference into the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect_references(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            references.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| collect_references(value, references));
        }
        Value::Array(array) => array.iter().for_each(|value| collect_references(value, references)),
        _ => {}
    }
}
