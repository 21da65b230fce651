//! What each operation takes and answers.

use serde_json::{Map, Value, json};

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

/// Every one that the table of routes has, but those of the console.
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

    fn takes(mut self, schema: &Value) -> Self {
        self.body = Some(json!({ "required": true, "content": { "application/json": { "schema": schema } } }));
        self.refers("400", "BadRequest")
            .refers("408", "RequestTimeout")
            .refers("413", "PayloadTooLarge")
            .refers("415", "UnsupportedMediaType")
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

fn sign_up() -> Value {
    let email = format!("^[^@{BLANK}{CONTROL}]+@[^@.{BLANK}{CONTROL}]+(\\.[^@.{BLANK}{CONTROL}]+)+$");
    let mut password = text(signup::LONGEST_PASSWORD);
    password["minLength"] = signup::SHORTEST_PASSWORD.into();
    json!({
        "type": "object",
        "required": ["email", "password"],
        "properties": {
            "email": { "type": "string", "pattern": email, "maxLength": signup::LONGEST_EMAIL },
            "password": password,
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

pub(crate) fn json_content(schema: &str) -> Value {
    json!({ "application/json": { "schema": reference("schemas", schema) } })
}

pub(crate) fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}
