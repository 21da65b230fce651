//! What each operation takes and answers.

use serde_json::{Map, Value, json};
use tower_api_key::NewKey;
use tower_api_key::client::AllowedNetworks;
use tower_api_key::key::Metadata;
use tower_api_key::scope::avala;

use crate::{resources, signup};

/// An operation in the words of OpenAPI, as far as its handler knows it.
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) parameters: Vec<Value>,
    pub(crate) body: Option<Value>,
    pub(crate) responses: Value,
}

/// Every one that the table of routes has.
pub(crate) fn all() -> Vec<Operation> {
    vec![
        post("/signup/", "signUp", "Sign up, for an organization and its first key")
            .takes(&sign_up())
            .answers("201", "SignedUp")
            .refers("503", "ServiceUnavailable"),
        get("/openapi.json", "readOpenApi", "This document").answers_any("200"),
        get("/datasets/", "listDatasets", "The datasets").lists("Page_Dataset", &position()).filters(&[
            "name",
            "data_type",
            "visibility",
        ]),
        post("/datasets/", "createDataset", "A new dataset").takes(&new_dataset()).answers("201", "Dataset"),
        get("/datasets/{uid}/", "readDataset", "One dataset").answers("200", "Dataset").names(),
        Operation::new("patch", "/datasets/{uid}/", "updateDataset", "A dataset with what the body changes")
            .takes(&changed_dataset())
            .answers("200", "Dataset")
            .names(),
        Operation::new("delete", "/datasets/{uid}/", "deleteDataset", "The end of a dataset and of its items")
            .answers_nothing("204")
            .names(),
        post("/datasets/{uid}/items/", "uploadItem", "A new item of a dataset")
            .takes(&json!({
                "type": "object",
                "required": ["key"],
                "properties": { "key": text(resources::LONGEST_NAME) },
            }))
            .answers("201", "Item")
            .names(),
        get("/datasets/{owner}/{slug}/items/", "listItems", "The items of a dataset")
            .lists("Page_Item", &position())
            .names(),
        get("/projects/", "listProjects", "The projects").lists("Page_Project", &position()),
        get("/users/me/projects/", "listOwnProjects", "The same").lists("Page_Project", &position()),
        get("/tasks/", "listTasks", "The tasks").lists("Page_Task", &position()).filters(&["project", "status"]),
        get("/tasks/{uid}/", "readTask", "One task").answers("200", "Task").names(),
        post("/exports/", "createExport", "An export of a dataset or a project")
            .takes(&new_export())
            .answers("201", "Export")
            .names(),
        get("/exports/{uid}/", "readExport", "One export").answers("200", "Export").names(),
        get("/exports/{uid}/download/", "downloadExport", "What an export contains")
            .answers("200", "ExportFile")
            .names(),
        get("/users/me/permissions/", "readPermissions", "What the key may do").answers("200", "Permissions"),
        get("/api-keys/", "listKeys", "The keys, without their secrets")
            .lists("Page_View", &key_position())
            .query(
                "status",
                &json!({ "type": "string", "enum": ["active", "suspended", "expired", "revoked"] }),
                "Only keys in this state.",
            )
            .query(
                "environment",
                &json!({ "type": "string", "pattern": "^[0-9A-Za-z_-]{1,32}$" }),
                "Only keys for this environment.",
            )
            .query(
                "search",
                &json!({ "type": "string" }),
                "Only keys whose name or hint has this text, in any letter case.",
            )
            .query("created_by", &json!({ "type": "string" }), "Only keys that this account or key has made.")
            .query(
                "expires_before",
                &json!({ "type": "string", "format": "date-time" }),
                "Only keys with an expiry of their own before this time.",
            ),
        post("/api-keys/", "createKey", "A new key, shown this once").takes(&new_key()).answers("201", "Issued"),
        get("/api-keys/{uid}/", "readKey", "One key, without its secret").answers("200", "View").names(),
        Operation::new("patch", "/api-keys/{uid}/", "updateKey", "A change of a key, which never gives it more")
            .takes(&key_update())
            .answers("200", "View")
            .names()
            .refers("409", "Conflict"),
        post("/api-keys/{uid}/revoke/", "revokeKey", "The end of a key").answers("200", "View").names(),
        post("/api-keys/{uid}/regenerate/", "regenerateKey", "A new key in place of another")
            .may_take(&json!({
                "type": "object",
                "properties": {
                    "expires_at": expires_at(),
                    "overlap_seconds": {
                        "type": ["integer", "null"],
                        "minimum": 0,
                        "maximum": u64::MAX,
                        "description": "For how long the old key still works; otherwise it is dead at once.",
                    },
                },
            }))
            .answers("201", "Issued")
            .names()
            .refers("409", "Conflict"),
        get("/organization/key-policy/", "readKeyPolicy", "How old keys may be").answers("200", "KeyPolicy"),
        Operation::new("put", "/organization/key-policy/", "setKeyPolicy", "How old keys may be, old and new ones")
            .takes(&json!({
                "type": "object",
                "required": ["max_key_age_seconds"],
                "properties": {
                    "max_key_age_seconds": { "type": ["integer", "null"], "minimum": 1, "maximum": u64::MAX },
                },
            }))
            .answers("200", "KeyPolicy"),
    ]
}

fn get(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("get", path, id, summary)
}

fn post(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("post", path, id, summary)
}

impl Operation {
    fn new(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        let (parameters, responses) = (Vec::new(), Value::Object(Map::new()));
        Self { method, path, id, summary, parameters, body: None, responses }
    }

    fn answers(mut self, status: &str, schema: &str) -> Self {
        self.responses[status] = json!({ "description": self.summary, "content": json_content(schema) });
        self
    }

    fn answers_any(mut self, status: &str) -> Self {
        let content = json!({ "application/json": { "schema": { "type": "object" } } });
        self.responses[status] = json!({ "description": self.summary, "content": content });
        self
    }

    fn answers_nothing(mut self, status: &str) -> Self {
        self.responses[status] = json!({ "description": self.summary });
        self
    }

    fn refers(mut self, status: &str, response: &str) -> Self {
        self.responses[status] = reference("responses", response);
        self
    }

    fn takes(self, schema: &Value) -> Self {
        self.with_body(true, schema)
    }

    fn may_take(self, schema: &Value) -> Self {
        self.with_body(false, schema)
    }

    fn with_body(mut self, required: bool, schema: &Value) -> Self {
        self.body = Some(json!({ "required": required, "content": { "application/json": { "schema": schema } } }));
        self.refers("400", "BadRequest").refers("413", "PayloadTooLarge").refers("415", "UnsupportedMediaType")
    }

    /// A page of a list, whose cursors have this form.
    fn lists(self, page: &str, cursor: &Value) -> Self {
        let limit = json!({ "type": "integer", "minimum": 1, "maximum": u64::MAX, "default": 100 });
        self.answers("200", page)
            .refers("400", "BadRequest")
            .query("limit", &limit, "At most how many results; more than 1000 are 1000.")
            .query("cursor", cursor, "Where the page begins, as `next` and `previous` have it.")
    }

    /// Only results with these values.
    fn filters(self, fields: &[&str]) -> Self {
        let text = json!({ "type": "string" });
        fields.iter().fold(self, |this, field| this.query(field, &text, "Only what has this value."))
    }

    fn query(mut self, name: &str, schema: &Value, description: &str) -> Self {
        self.parameters.push(json!({ "name": name, "in": "query", "description": description, "schema": schema }));
        self
    }

    /// The path or the body names something that may not be there.
    fn names(self) -> Self {
        self.refers("404", "NotFound")
    }
}

/// A position in a list that only grows.
fn position() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX })
}

fn key_position() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]{1,18}_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$" })
}

/// What Unicode calls white space, and control characters, for a class of a regular expression.
const BLANK: &str = r"\u0009-\u000D\u0020\u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000";
const CONTROL: &str = r"\u0000-\u001F\u007F-\u009F";

/// A text with something in it.
fn text(longest: usize) -> Value {
    json!({ "type": "string", "pattern": format!("[^{BLANK}]"), "maxLength": longest })
}

fn optional_text(longest: usize) -> Value {
    json!({ "type": ["string", "null"], "maxLength": longest })
}

fn expires_at() -> Value {
    json!({ "type": ["string", "null"], "format": "date-time", "description": "In the future." })
}

fn sign_up() -> Value {
    let email = format!("^[^@{BLANK}{CONTROL}]+@[^@.{BLANK}{CONTROL}]+(\\.[^@.{BLANK}{CONTROL}]+)+$");
    json!({
        "type": "object",
        "required": ["email", "password"],
        "properties": {
            "email": { "type": "string", "pattern": email, "maxLength": signup::LONGEST_EMAIL },
            "password": text(signup::LONGEST_PASSWORD),
            "first_name": optional_text(signup::LONGEST_NAME),
            "last_name": optional_text(signup::LONGEST_NAME),
        },
    })
}

/// With a slug, or with a name to make one of.
fn new_dataset() -> Value {
    let alternative = |required: &[&str], name: Value, slug: Value| {
        let short = optional_text(resources::LONGEST_KIND);
        let properties = json!({ "name": name, "slug": slug, "data_type": short, "visibility": short });
        json!({ "type": "object", "required": required, "properties": properties })
    };
    let mut speaking = text(resources::LONGEST_NAME);
    speaking["pattern"] = "[0-9A-Za-z]".into();
    let slug = json!({ "type": "string", "pattern": "^[0-9A-Za-z_-]+$", "maxLength": resources::LONGEST_NAME });
    json!({
        "anyOf": [
            alternative(&["name", "slug"], text(resources::LONGEST_NAME), slug),
            alternative(&["name"], speaking, json!({ "type": "null" })),
        ],
    })
}

fn changed_dataset() -> Value {
    let short = optional_text(resources::LONGEST_KIND);
    let mut name = optional_text(resources::LONGEST_NAME);
    name["pattern"] = format!("[^{BLANK}]").into();
    let mut slug = optional_text(resources::LONGEST_NAME);
    slug["pattern"] = "^[0-9A-Za-z_-]+$".into();
    let properties = json!({ "name": name, "slug": slug, "data_type": short, "visibility": short });
    json!({ "type": "object", "properties": properties })
}

/// Of a dataset, of a project, or of a project's dataset.
fn new_export() -> Value {
    let of = |required: &str, other: &str| {
        let uid = json!({ "type": "string", "maxLength": resources::LONGEST_UID });
        let properties = json!({ required: uid, other: optional_text(resources::LONGEST_UID) });
        json!({ "type": "object", "required": [required], "properties": properties })
    };
    json!({ "anyOf": [of("dataset", "project"), of("project", "dataset")] })
}

fn key_name() -> Value {
    let name = format!("^[^{CONTROL}]*[^{BLANK}{CONTROL}][^{CONTROL}]*$");
    json!({ "type": "string", "pattern": name, "maxLength": NewKey::MAX_NAME_LEN })
}

fn scopes(kind: &Value) -> Value {
    let scopes = avala::ALL.map(|scope| scope.to_string());
    json!({ "type": kind, "minItems": 1, "items": { "type": "string", "enum": scopes } })
}

fn metadata() -> Value {
    let name = format!("^[^{CONTROL}]{{1,{}}}$", Metadata::MAX_NAME_LEN);
    json!({
        "type": ["object", "null"],
        "maxProperties": Metadata::MAX_LEN,
        "propertyNames": { "pattern": name },
        "additionalProperties": { "type": "string", "maxLength": Metadata::MAX_VALUE_LEN, "pattern": "^[^\\u0000]*$" },
    })
}

fn networks() -> Value {
    let byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    let v4 = format!(r"({byte}\.){{3}}{byte}(/(3[0-2]|[12]?[0-9]))?");
    let group = "[0-9a-f]{1,4}";
    let v6 = format!("(({group}:){{7}}{group}|({group}:){{1,6}}:)(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?");
    let network = format!("^({v4}|{v6})$");
    json!({
        "type": ["array", "null"],
        "minItems": 1,
        "maxItems": AllowedNetworks::MAX_LEN,
        "items": { "type": "string", "pattern": network, "description": "An address, or a network such as 192.0.2.0/24." },
    })
}

/// Fewer scopes and networks and a sooner expiry than the key has.
fn key_update() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": key_name(),
            "metadata": metadata(),
            "scopes": scopes(&json!(["array", "null"])),
            "expires_at": expires_at(),
            "suspended": { "type": ["boolean", "null"] },
            "allowed_networks": networks(),
        },
    })
}

/// With scopes, or with full access in so many words.
fn new_key() -> Value {
    let alternative = |required: &[&str], full_access: Value, scopes: Value| {
        let properties = json!({
            "name": key_name(), "full_access": full_access, "scopes": scopes, "expires_at": expires_at(),
            "metadata": metadata(), "allowed_networks": networks(),
            "environment": { "enum": ["live", "test", null] },
        });
        json!({ "type": "object", "required": required, "properties": properties })
    };
    let scopes = scopes(&json!("array"));
    json!({
        "oneOf": [
            alternative(&["name", "full_access"], json!({ "type": "boolean", "enum": [true] }), json!({ "type": "null" })),
            alternative(&["name", "scopes"], json!({ "enum": [false, null] }), scopes),
        ],
    })
}

pub(crate) fn json_content(schema: &str) -> Value {
    json!({ "application/json": { "schema": reference("schemas", schema) } })
}

pub(crate) fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}
