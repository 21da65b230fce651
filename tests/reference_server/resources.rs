//! The table of routes: what each requires of a key, and how it responds.

use axum::http::Method;
use serde_json::{Value, json};

use super::client::{Api, FORBIDDEN, INVALID_KEY, NO_KEY, NOT_FOUND, text};
use super::server::Server;
use super::stores::Store;

on_every_store!(
    each_route_requires_its_scope,
    organizations_cannot_see_each_other,
    response_shapes_match_the_clients,
    dataset_belongs_to_organization_of_the_key,
    dataset_is_updated_filled_and_deleted,
);

/// Every scope, in the order in which responses list them.
const SCOPES: [&str; 5] = ["datasets.read", "datasets.write", "exports.create", "projects.read", "tasks.read"];

/// The data of a signup, as paths name it.
struct Own {
    key: String,
    owner: String,
    dataset: String,
    slug: String,
    project: String,
    task: String,
    export: String,
}

async fn own(api: &Api, name: &str) -> Own {
    let user = api.sign_up(name).await;
    let key = user.key;
    let dataset = api.get(&key, "/datasets/").await.expect(200)["results"][0].clone();
    let project = api.get(&key, "/projects/").await.expect(200)["results"][0].clone();
    let task = api.get(&key, "/tasks/").await.expect(200)["results"][0].clone();
    let export = api.post(&key, "/exports/", json!({"dataset": dataset["uid"]})).await.expect(201);
    Own {
        key,
        owner: user.username,
        dataset: text(&dataset["uid"]),
        slug: text(&dataset["slug"]),
        project: text(&project["uid"]),
        task: text(&task["uid"]),
        export: text(&export["uid"]),
    }
}

/// A row of the table: a call, its status with an authorized key, and the scopes of which one is enough.
type Row = (Method, String, Option<Value>, u16, &'static [&'static str]);

fn table(own: &Own, number: usize) -> Vec<Row> {
    let Own { owner, dataset, slug, project, task, export, .. } = own;
    let get = |path: String, scopes: &'static [&'static str]| (Method::GET, path, None, 200, scopes);
    let new_dataset = json!({"name": format!("Dataset {number}")});
    let item = json!({"key": format!("item {number}")});
    vec![
        get("/datasets/".into(), &["datasets.read"]),
        get(format!("/datasets/{dataset}/"), &["datasets.read"]),
        get(format!("/datasets/{owner}/{slug}/items/"), &["datasets.read"]),
        (Method::POST, "/datasets/".into(), Some(new_dataset), 201, &["datasets.write"]),
        (
            Method::PATCH,
            format!("/datasets/{dataset}/"),
            Some(json!({"visibility": "public"})),
            200,
            &["datasets.write"],
        ),
        (Method::POST, format!("/datasets/{dataset}/items/"), Some(item), 201, &["datasets.write"]),
        get("/projects/".into(), &["projects.read"]),
        get("/users/me/projects/".into(), &["projects.read"]),
        get("/tasks/".into(), &["tasks.read", "projects.read"]),
        get(format!("/tasks/{task}/"), &["tasks.read", "projects.read"]),
        (Method::POST, "/exports/".into(), Some(json!({"project": project})), 201, &["exports.create"]),
        get(format!("/exports/{export}/"), &["exports.create"]),
        get(format!("/exports/{export}/download/"), &["exports.create"]),
        get("/users/me/permissions/".into(), &SCOPES),
        get("/api-keys/".into(), &[]),
    ]
}

async fn each_route_requires_its_scope(store: &Store) {
    let server = store.start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let own = own(&api, "ada").await;
    let revoked = api.make_key(&own.key, json!({"name": "revoked", "full_access": true})).await;
    api.order(&own.key, &format!("/api-keys/{}/revoke/", text(&revoked["uid"]))).await.expect(200);

    let mut number = 0;
    for scope in SCOPES {
        let key = text(&api.make_key(&own.key, json!({"name": scope, "scopes": [scope]})).await["api_key"]);
        number += 1;
        for (method, path, body, status, scopes) in table(&own, number) {
            let reply = api.call(method.clone(), &key, &path, body).await;
            if scopes.contains(&scope) {
                assert_eq!(reply.status, status, "{scope}: {method} {path}: {reply:?}");
            } else {
                reply.expect_text(403, FORBIDDEN);
            }
            if method == Method::GET {
                let head = api.call(Method::HEAD, &key, &path, None).await;
                assert_eq!((head.status, &*head.body), (reply.status, ""), "HEAD {path}");
                assert_eq!(head.header("content-length"), reply.header("content-length"), "HEAD {path}");
            }
        }
    }
    number += 1;
    for (method, path, body, status, _) in table(&own, number) {
        let reply = api.call(method.clone(), &own.key, &path, body.clone()).await;
        assert_eq!(reply.status, status, "{method} {path}: {reply:?}");
        let caching = if path.starts_with("/api-keys/") { "no-store" } else { "private" };
        assert_eq!(reply.header("cache-control"), caching, "{path}");
        api.call(method.clone(), &text(&revoked["api_key"]), &path, body.clone()).await.expect_text(401, INVALID_KEY);
        let rejected = api.call(method, "", &path, body).await;
        rejected.expect_text(401, NO_KEY);
        assert_eq!(rejected.header("www-authenticate"), r#"ApiKey realm="api", header="X-Avala-Api-Key""#);
    }
}

/// Cases: 161.
async fn dataset_is_updated_filled_and_deleted(store: &Store) {
    let server = store.start(&[]);
    let api = &Api::of(&server);
    let (ada, bob) = (own(api, "ada").await, own(api, "bob").await);
    let path = format!("/datasets/{}/", ada.dataset);
    let items = format!("{path}items/");
    let patch = async |key: &str, body: Value| api.call(Method::PATCH, key, &path, Some(body)).await;

    let changed = patch(&ada.key, json!({"name": "Night", "slug": "night", "visibility": null})).await.expect(200);
    assert_eq!((&changed["name"], &changed["slug"]), (&json!("Night"), &json!("night")));
    assert_eq!((&changed["visibility"], &changed["uid"]), (&json!("private"), &json!(ada.dataset)));
    assert_eq!(api.get(&ada.key, &path).await.expect(200), changed);
    api.post(&ada.key, "/datasets/", json!({"name": "Day"})).await.expect(201);
    for (body, field) in [
        (json!({"name": " "}), "name"),
        (json!({"slug": "no slug"}), "slug"),
        (json!({"slug": "day"}), "slug"),
        (json!({"data_type": 7}), "data_type"),
    ] {
        assert!(patch(&ada.key, body).await.expect(400)["detail"][field].is_array());
        assert_eq!(api.get(&ada.key, &path).await.expect(200), changed);
    }

    let item = api.post(&ada.key, &items, json!({"key": "frames/0004.jpg"})).await.expect(201);
    assert_eq!((&item["key"], &item["dataset"]), (&json!("frames/0004.jpg"), &json!(ada.dataset)));
    api.post(&ada.key, &items, json!({"key": "frames/0004.jpg"})).await.expect(400);
    assert_eq!(api.get(&ada.key, &path).await.expect(200)["item_count"], 4);
    let file = api.get(&ada.key, &format!("/exports/{}/download/", ada.export)).await.expect(200);
    assert_eq!(file["export"]["uid"], ada.export);
    assert_eq!(file["items"].as_array().unwrap().last(), Some(&item));

    // Another organization finds none of it.
    patch(&bob.key, json!({"name": "mine"})).await.expect_text(404, NOT_FOUND);
    api.post(&bob.key, &items, json!({"key": "x"})).await.expect_text(404, NOT_FOUND);
    api.call(Method::DELETE, &bob.key, &path, None).await.expect_text(404, NOT_FOUND);
    api.get(&bob.key, &format!("/exports/{}/download/", ada.export)).await.expect_text(404, NOT_FOUND);

    let reader = json!({"name": "reader", "scopes": ["datasets.read"]});
    let reader = text(&api.make_key(&ada.key, reader).await["api_key"]);
    api.call(Method::DELETE, &reader, &path, None).await.expect_text(403, FORBIDDEN);

    let deleted = api.call(Method::DELETE, &ada.key, &path, None).await;
    assert_eq!((deleted.status, &*deleted.body), (204, ""));
    api.get(&ada.key, &path).await.expect_text(404, NOT_FOUND);
    api.call(Method::DELETE, &ada.key, &path, None).await.expect_text(404, NOT_FOUND);
    let file = api.get(&ada.key, &format!("/exports/{}/download/", ada.export)).await.expect(200);
    assert_eq!(file["items"], json!([]));
}

#[tokio::test]
async fn expired_key_is_rejected_on_every_route() {
    let server = Server::start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let own = own(&api, "ada").await;
    let key = super::keys::expired(&api, &own.key, json!({"name": "short", "full_access": true})).await;
    for (method, path, body, _, _) in table(&own, 1) {
        let reply = api.call(method, &text(&key["api_key"]), &path, body).await;
        reply.expect_text(401, super::client::EXPIRED);
    }
}

/// Cases: 66.
async fn organizations_cannot_see_each_other(store: &Store) {
    let server = store.start(&["--requests-per-minute", "off"]);
    let api = Api::of(&server);
    let (ada, bob) = (own(&api, "ada").await, own(&api, "bob").await);
    assert_eq!(ada.slug, bob.slug, "only the owner distinguishes these two");

    let paths = |own: &Own| {
        [
            format!("/datasets/{}/", own.dataset),
            format!("/datasets/{}/{}/items/", own.owner, own.slug),
            format!("/tasks/{}/", own.task),
            format!("/exports/{}/", own.export),
        ]
    };
    for (own, other) in [(&ada, &bob), (&bob, &ada)] {
        for path in paths(own) {
            api.get(&own.key, &path).await.expect(200);
        }
        for path in paths(other) {
            // The response is that to an unknown name.
            api.get(&own.key, &path).await.expect_text(404, NOT_FOUND);
        }
        for body in [json!({"dataset": other.dataset}), json!({"project": other.project})] {
            api.post(&own.key, "/exports/", body).await.expect_text(404, NOT_FOUND);
        }
        for path in ["/datasets/", "/projects/", "/users/me/projects/", "/tasks/", "/api-keys/"] {
            let list = api.get(&own.key, path).await;
            assert_eq!(list.expect(200)["results"].as_array().unwrap().len(), 1, "{path}");
            for uid in [&other.dataset, &other.project, &other.task, &other.owner] {
                assert!(!list.body.contains(uid.as_str()), "{path}: {list:?}");
            }
        }
        // A filter finds nothing of another organization either.
        let list = api.get(&own.key, &format!("/tasks/?project={}", other.project)).await.expect(200);
        assert_eq!(list["results"], json!([]));
    }
}

async fn response_shapes_match_the_clients(store: &Store) {
    let server = store.start(&[]);
    let api = Api::of(&server);
    let own = own(&api, "ada").await;
    let dataset = api.get(&own.key, &format!("/datasets/{}/", own.dataset)).await.expect(200);
    for field in ["uid", "name", "slug", "owner_name", "data_type", "visibility", "created_at"] {
        assert!(dataset[field].is_string(), "{field}: {dataset}");
    }
    assert_eq!(dataset["owner_name"], *own.owner);
    let items = api.get(&own.key, &format!("/datasets/{}/{}/items/", own.owner, own.slug)).await.expect(200);
    let items = items["results"].as_array().unwrap();
    assert_eq!(dataset["item_count"], items.len());
    assert!(items.len() > 1);
    for item in items {
        assert!(item["uid"].is_string() && item["key"].is_string(), "{item}");
        assert_eq!(item["dataset"], *own.dataset);
    }

    let projects = api.get(&own.key, "/projects/").await;
    assert_eq!(projects.body, api.get(&own.key, "/users/me/projects/").await.body);
    let project = &projects.expect(200)["results"][0];
    assert!(project["uid"].is_string() && project["name"].is_string(), "{project}");
    let task = api.get(&own.key, &format!("/tasks/{}/", own.task)).await.expect(200);
    assert_eq!((&task["uid"], &task["project"]), (&json!(own.task), &project["uid"]));
    assert!(task["type"].is_string() && task["name"].is_string() && task["status"].is_string(), "{task}");

    let export = api.get(&own.key, &format!("/exports/{}/", own.export)).await.expect(200);
    assert_eq!((&export["uid"], &export["dataset"]), (&json!(own.export), &json!(own.dataset)));
    for time in [&dataset["created_at"], &items[0]["created_at"], &project["created_at"], &export["created_at"]] {
        super::keys::utc(time);
    }
}

/// Cases: 65.
async fn dataset_belongs_to_organization_of_the_key(store: &Store) {
    let server = store.start(&[]);
    let api = Api::of(&server);
    let user = api.sign_up("ada").await;
    let new = json!({
        "name": "Rear camera, day 2", "slug": "rear-2", "data_type": "video", "visibility": "public",
        "create_metadata": true, "owner_name": "bob", "organization_uid": "bob", "uid": "mine",
    });
    let made = api.post(&user.key, "/datasets/", new).await.expect(201);
    assert_eq!((&made["name"], &made["slug"]), (&json!("Rear camera, day 2"), &json!("rear-2")));
    assert_eq!((&made["data_type"], &made["visibility"]), (&json!("video"), &json!("public")));
    // The key decides who owns it, and not the body.
    assert_eq!(made["owner_name"], *user.username);
    assert_ne!(made["uid"], "mine");
    assert_eq!(api.get(&user.key, &format!("/datasets/{}/", text(&made["uid"]))).await.expect(200), made);
    let items = api.get(&user.key, &format!("/datasets/{}/rear-2/items/", user.username)).await.expect(200);
    assert_eq!(items, json!({"next": null, "previous": null, "results": []}));
    let list = api.get(&user.key, "/datasets/").await.expect(200);
    assert_eq!(list["results"].as_array().unwrap().len(), 2);

    let derived = api.post(&user.key, "/datasets/", json!({"name": "Front & Side (3)"})).await.expect(201);
    assert_eq!(derived["slug"], "front-side-3");
    let slug = "Enter a valid slug of letters, digits, underscores and hyphens.";
    for (body, errors) in [
        (json!({}), json!({"name": ["This field is required."]})),
        (json!({"name": "!"}), json!({"slug": [slug]})),
        (json!({"name": "x", "slug": "rear-2"}), json!({"slug": ["A dataset with this slug exists already."]})),
        (json!({"name": "x", "slug": "a/b"}), json!({"slug": [slug]})),
        (json!({"name": "x", "data_type": 1}), json!({"data_type": ["Not a valid string."]})),
    ] {
        assert_eq!(api.post(&user.key, "/datasets/", body).await.expect(400), json!({"detail": errors}));
    }
}

#[tokio::test]
async fn export_requires_existing_data() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    let own = own(&api, "ada").await;
    let errors = json!({"detail": {"dataset": ["Give the uid of a dataset or of a project."]}});
    assert_eq!(api.post(&own.key, "/exports/", json!({})).await.expect(400), errors);
    api.post(&own.key, "/exports/", json!({"dataset": "nowhere"})).await.expect_text(404, NOT_FOUND);
    let both = json!({"dataset": own.dataset, "project": own.project});
    let made = api.post(&own.key, "/exports/", both).await.expect(201);
    assert_eq!((&made["dataset"], &made["project"]), (&json!(own.dataset), &json!(own.project)));
}

#[tokio::test]
async fn permissions_distinguish_full_access() {
    let server = Server::start(&[]);
    let api = Api::of(&server);
    let key = api.sign_up("ada").await.key;
    let expected = |scopes: &[&str]| {
        json!({
            "type": "customer", "is_staff_privileged": false, "environment": "live",
            "scopes": scopes, "capabilities": [], "toolsets": [],
        })
    };
    assert_eq!(api.get(&key, "/users/me/permissions/").await.expect(200), expected(&SCOPES));
    let scoped = api.make_key(&key, json!({"name": "x", "scopes": ["tasks.read"]})).await;
    let scoped = text(&scoped["api_key"]);
    assert_eq!(api.get(&scoped, "/users/me/permissions/").await.expect(200), expected(&["tasks.read"]));
}
