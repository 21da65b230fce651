//! The OpenAPI document of a route table describes what the layer does.
#![cfg(feature = "openapi")]

use http::{HeaderName, Method};
use serde_json::{Value, json};
use tower_api_key::Requirement;
use tower_api_key::routes::RouteTable;
use tower_api_key::scope::avala;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{Info, OpenApi, Paths};

#[test]
fn requirement_is_a_list_of_alternatives() {
    let [read, write, export] = [avala::DATASETS_READ, avala::DATASETS_WRITE, avala::EXPORTS_CREATE];
    for (requirement, security, forbidden) in [
        (Requirement::any_key(), json!([{ "ApiKey": [] }]), false),
        (read.clone().into(), json!([{ "ApiKey": ["datasets.read"] }]), true),
        (
            Requirement::all_of([read.clone(), write.clone()]),
            json!([{ "ApiKey": ["datasets.read", "datasets.write"] }]),
            true,
        ),
        (
            Requirement::any_of([read.clone(), write.clone()]),
            json!([{ "ApiKey": ["datasets.read"] }, { "ApiKey": ["datasets.write"] }]),
            true,
        ),
        (
            Requirement::all_and_any_of([export], [read, write]),
            json!([{ "ApiKey": ["exports.create", "datasets.read"] }, { "ApiKey": ["exports.create", "datasets.write"] }]),
            true,
        ),
        (Requirement::full_access(), json!([{ "ApiKey": [] }]), true),
    ] {
        let asks = format!("Asks for: {requirement}.");
        let table = RouteTable::builder().route(Method::GET, "/a/", requirement).build().unwrap();
        let operation = &document(&table)["paths"]["/a/"]["get"];
        assert_eq!(operation["security"], security);
        assert_eq!(operation["description"], asks);
        assert_eq!(operation["responses"].get("403").is_some(), forbidden, "{asks}");
        assert_eq!(operation["responses"]["401"], json!({ "$ref": "#/components/responses/Unauthorized" }));
        assert_eq!(operation["responses"]["503"], json!({ "$ref": "#/components/responses/ServiceUnavailable" }));
        assert!(operation["responses"].get("429").is_none(), "{asks}");
    }
}

#[test]
fn public_operation_requires_nothing() {
    let table = RouteTable::builder().public(Method::POST, "/signup/").build().unwrap();
    let operation = &document(&table)["paths"]["/signup/"]["post"];
    assert_eq!(operation["security"], json!([]));
    assert_eq!(operation["responses"], json!({}));
    let throttled = json_of(&table.openapi().throttled().document(Info::new("test", "1")));
    let responses = &throttled["paths"]["/signup/"]["post"]["responses"];
    assert_eq!(*responses, json!({ "429": { "$ref": "#/components/responses/TooManyRequests" } }));
}

/// Cases: 155.
#[test]
fn ways_to_authenticate_are_alternatives() {
    let [read, write] = [avala::DATASETS_READ, avala::DATASETS_WRITE];
    let table = RouteTable::builder()
        .route(Method::GET, "/any/", Requirement::any_key())
        .route(Method::GET, "/one/", read.clone())
        .route(Method::GET, "/either/", Requirement::any_of([read, write]))
        .route(Method::GET, "/full/", Requirement::full_access())
        .public(Method::GET, "/public/")
        .build()
        .unwrap();
    let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("session")));
    let openapi = table.openapi().accept_bearer().or_scheme("Session", cookie).allow_anonymous();
    let document = json_of(&openapi.document(Info::new("test", "1")));
    assert_eq!(
        document["components"]["securitySchemes"],
        json!({
            "ApiKey": { "type": "apiKey", "in": "header", "name": "X-Avala-Api-Key" },
            "Bearer": { "type": "http", "scheme": "bearer" },
            "Session": { "type": "apiKey", "in": "cookie", "name": "session" },
        })
    );
    for (path, security) in [
        ("/any/", json!([{ "ApiKey": [] }, { "Bearer": [] }, { "Session": [] }, {}])),
        (
            "/one/",
            json!([{ "ApiKey": ["datasets.read"] }, { "Bearer": ["datasets.read"] }, { "Session": ["datasets.read"] }]),
        ),
        (
            "/either/",
            json!([
                { "ApiKey": ["datasets.read"] }, { "ApiKey": ["datasets.write"] },
                { "Bearer": ["datasets.read"] }, { "Bearer": ["datasets.write"] },
                { "Session": ["datasets.read"] }, { "Session": ["datasets.write"] },
            ]),
        ),
        ("/full/", json!([{ "ApiKey": [] }, { "Bearer": [] }, { "Session": [] }])),
        ("/public/", json!([])),
    ] {
        assert_eq!(document["paths"][path]["get"]["security"], security, "{path}");
    }
}

/// Cases: 155.
#[test]
fn responses_404_and_429_are_where_they_occur() {
    let table = RouteTable::builder()
        .route(Method::GET, "/items/", Requirement::any_key())
        .route(Method::GET, "/items/{id}", Requirement::any_key())
        .route(Method::GET, "/files/{*path}", Requirement::any_key())
        .public(Method::GET, "/open/{id}")
        .build()
        .unwrap();
    let none = [("/items/", false), ("/items/{id}", false), ("/files/{path}", false), ("/open/{id}", false)];
    let keys = [("/items/", true), ("/items/{id}", true), ("/files/{path}", true), ("/open/{id}", false)];
    let all = keys.map(|(path, _)| (path, true));
    for (openapi, throttled) in [
        (table.openapi(), none),
        (table.openapi().throttled_keys(), keys),
        (table.openapi().throttled(), all),
        (table.openapi().throttled().throttled_keys(), all),
    ] {
        let document = json_of(&openapi.document(Info::new("test", "1")));
        for (path, throttled) in throttled {
            let responses = &document["paths"][path]["get"]["responses"];
            assert_eq!(responses.get("429").is_some(), throttled, "{path}");
            let not_found = matches!(path, "/items/{id}" | "/files/{path}");
            let reference = json!({ "$ref": "#/components/responses/NotFound" });
            assert_eq!(responses.get("404"), not_found.then_some(&reference), "{path}");
        }
    }
}

#[test]
fn patterns_become_templates_with_parameters() {
    for (pattern, template, names) in [
        ("/", "/", &[][..]),
        ("/datasets/{owner}/{slug}/items/", "/datasets/{owner}/{slug}/items/", &["owner", "slug"]),
        ("/files/{*path}", "/files/{path}", &["path"]),
        ("/v{version}/x", "/v{version}/x", &["version"]),
        ("/a{{b}}/{c}", "/a%7Bb%7D/{c}", &["c"]),
        ("/ä/{x}", "/ä/{x}", &["x"]),
    ] {
        let table = RouteTable::builder().public(Method::GET, pattern).build().unwrap();
        let document = document(&table);
        let operation = &document["paths"][template]["get"];
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let expected = names
            .iter()
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
        assert_eq!(parameters, expected.collect::<Vec<_>>(), "{pattern}: {document}");
        assert_eq!(document["paths"].as_object().unwrap().len(), 1, "{pattern}");
    }
}

#[test]
fn scheme_names_header_and_responses_are_shared() {
    let document = json_of(&table().openapi().throttled().document(Info::new("test", "1")));
    let components = &document["components"];
    let header = json!({ "type": "apiKey", "in": "header", "name": "X-Avala-Api-Key" });
    assert_eq!(components["securitySchemes"], json!({ "ApiKey": header }));
    let replies: Vec<_> = components["responses"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(replies, ["Forbidden", "NotFound", "ServiceUnavailable", "TooManyRequests", "Unauthorized"]);
    for (reply, header) in [("ServiceUnavailable", "Retry-After"), ("Unauthorized", "WWW-Authenticate")] {
        let reply = &components["responses"][reply];
        assert_eq!(reply["content"]["application/json"]["schema"], json!({ "$ref": "#/components/schemas/Error" }));
        assert!(reply["headers"].get(header).is_some(), "{reply}");
    }
    let own = table();
    let own = own.openapi().header(HeaderName::from_static("x-acme-key")).document(Info::new("test", "1"));
    assert_eq!(json_of(&own)["components"]["securitySchemes"]["ApiKey"]["name"], "X-Acme-Key");
}

/// The table replaces the security of an operation and keeps what the handlers document.
#[test]
fn handler_document_is_completed() {
    let operation = OperationBuilder::new()
        .description(Some("Lists."))
        .parameter(ParameterBuilder::new().name("limit"))
        .response("200", ResponseBuilder::new().description("A page"))
        .response("401", ResponseBuilder::new().description("Mine"));
    let mut paths = Paths::new();
    paths.add_path_operation("/datasets/", vec![HttpMethod::Get], operation);
    paths.add_path_operation("/elsewhere/", vec![HttpMethod::Get], OperationBuilder::new());
    let mut document = OpenApi::new(Info::new("test", "1"), paths);
    table().openapi().add_to(&mut document);
    let document = json_of(&document);
    let operation = &document["paths"]["/datasets/"]["get"];
    assert_eq!(operation["description"], "Lists.\n\nAsks for: datasets.read.");
    assert_eq!(operation["parameters"][0]["name"], "limit");
    assert_eq!(operation["responses"]["200"]["description"], "A page");
    assert_eq!(operation["responses"]["401"]["description"], "Mine");
    assert_eq!(operation["responses"]["403"]["$ref"], "#/components/responses/Forbidden");
    assert_eq!(document["paths"]["/datasets/"]["post"]["security"], json!([{ "ApiKey": ["datasets.write"] }]));
    assert_eq!(document["paths"]["/elsewhere/"], json!({ "get": { "responses": {} } }));
}

#[test]
fn known_methods_become_operations() {
    for method in
        [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::OPTIONS, Method::PATCH, Method::TRACE]
    {
        let name = method.as_str().to_lowercase();
        let table = RouteTable::builder().route(method, "/a/", avala::DATASETS_READ).build().unwrap();
        let document = document(&table);
        let operations = document["paths"]["/a/"].as_object().unwrap();
        assert_eq!(operations.keys().collect::<Vec<_>>(), [&name]);
        assert_eq!(operations[&name]["security"], json!([{ "ApiKey": ["datasets.read"] }]));
    }
}

#[test]
fn unknown_method_is_left_out() {
    let purge = Method::from_bytes(b"PURGE").unwrap();
    let table = RouteTable::builder().public(purge, "/cache/").public(Method::GET, "/cache/");
    let document = document(&table.build().unwrap());
    let methods: Vec<_> = document["paths"]["/cache/"].as_object().unwrap().keys().collect();
    assert_eq!(methods, ["get"]);
}

fn table() -> RouteTable {
    RouteTable::builder()
        .route(Method::GET, "/datasets/", avala::DATASETS_READ)
        .route(Method::POST, "/datasets/", avala::DATASETS_WRITE)
        .build()
        .unwrap()
}

fn document(table: &RouteTable) -> Value {
    json_of(&table.openapi().document(Info::new("test", "1")))
}

fn json_of(document: &OpenApi) -> Value {
    serde_json::to_value(document).unwrap()
}
