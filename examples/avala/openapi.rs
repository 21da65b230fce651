//! The document of what this server takes and answers. What an operation requires of a key, and how it is rejected, comes
//! from the table that the server enforces; what it answers, from the types that it answers with, and of keys from the console.

use axum::body::Bytes;
use serde_json::{Value, json};
use tower_api_key::BoxError;
use tower_api_key::console::Console;
use tower_api_key::routes::RouteTable;
use utoipa::OpenApi;
use utoipa::openapi::Info;

use crate::app::{API_KEYS, BASE};
use crate::data::{Dataset, Export, ExportFile, Item, Project, Task};
use crate::listing::Page;
use crate::operations::{self, Operation, json_content};
use crate::options::{Options, RequestsPerMinute};
use crate::policy::KeyPolicy;
use crate::resources::Permissions;
use crate::routes;
use crate::signup::SignedUp;

/// The replies of the handlers, under the names by which operations refer to them.
#[derive(OpenApi)]
#[openapi(components(schemas(
    Dataset,
    Export,
    ExportFile,
    Item,
    KeyPolicy,
    Page<Dataset>,
    Page<Item>,
    Page<Project>,
    Page<Task>,
    Permissions,
    SignedUp,
    Task,
)))]
struct Replies;

/// The document of a server with these options.
pub(crate) fn document(table: &RouteTable, console: &Console, options: &Options) -> Result<Bytes, BoxError> {
    let mut info = Info::new("Avala look-alike", env!("CARGO_PKG_VERSION"));
    info.description = Some("The reference server of tower-api-key. Sign up for a key with full access.".into());
    let mut document = console.openapi(API_KEYS);
    document.info = info;
    table.openapi().throttled().add_to(&mut document);
    let mut document = serde_json::to_value(document)?;
    let replies = serde_json::to_value(Replies::openapi())?;
    extend(&mut document["components"]["schemas"], &replies["components"]["schemas"]);
    extend(&mut document["components"]["responses"], &failures());
    for operation in operations::all() {
        describe(&mut document, operation, options);
    }
    Ok(serde_json::to_vec(&document)?.into())
}

/// Adds what the table does not know.
fn describe(document: &mut Value, operation: Operation, options: &Options) {
    let path = format!("{BASE}{}", operation.path);
    let Operation { method, id, summary, parameters, body, responses, .. } = operation;
    let known = &mut document["paths"][&path][method];
    known["operationId"] = id.into();
    known["summary"] = summary.into();
    if let Some(body) = body {
        known["requestBody"] = body;
    }
    if !parameters.is_empty() {
        let in_path = known["parameters"].as_array().cloned().unwrap_or_default();
        known["parameters"] = in_path.into_iter().chain(parameters).collect();
    }
    extend(&mut known["responses"], &responses);
    let is_limited = match &*path {
        routes::OPENAPI => false,
        routes::SIGN_UP => true,
        _ => matches!(options.requests_per_minute, RequestsPerMinute::AtMost(_)),
    };
    if let Some(responses) = known["responses"].as_object_mut() {
        if !is_limited {
            responses.remove("429");
        }
        if options.require_https {
            responses.entry("403").or_insert_with(|| operations::reference("responses", "Forbidden"));
        }
    }
}

/// How a handler rejects, each in the documented form.
fn failures() -> Value {
    let text = |description: &str| json!({ "description": description, "content": json_content("Error") });
    let fields =
        json!({ "type": "object", "additionalProperties": { "type": "array", "items": { "type": "string" } } });
    let detail = json!({ "anyOf": [{ "type": "string" }, fields] });
    let wrong = json!({ "type": "object", "required": ["detail"], "properties": { "detail": detail } });
    json!({
        "BadRequest": {
            "description": "What is wrong with the request, or with each of its fields.",
            "content": { "application/json": { "schema": wrong } },
        },
        "NotFound": text("There is no such thing in the organization of the key."),
        "RequestTimeout": text("The body did not arrive in time."),
        "PayloadTooLarge": text("The body is too long."),
        "UnsupportedMediaType": text("The body is not sent as JSON."),
    })
}

fn extend(object: &mut Value, with: &Value) {
    if let (Some(object), Some(with)) = (object.as_object_mut(), with.as_object()) {
        object.extend(with.clone());
    }
}
