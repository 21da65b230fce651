//! The JSON API as an OpenAPI document.

use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

use super::Console;
use super::api::environments;
use crate::client::AllowedNetworks;
use crate::key::{Environment, Metadata};
use crate::manage::IssueRules;
use crate::manage::new_key::NewKey;
use crate::scope::{ScopeCatalog, ScopeSet};

impl Console {
    /// Returns the JSON API as an OpenAPI document, under this path, such as `/api/keys`: its operations, and the schemas `Key`,
    /// `IssuedKey` and `KeyPage`. The rules of the manager are in it.
    ///
    /// Merge it into the document of your service. How a client authenticates is not in it: the security of each operation is
    /// that of your service. [`RouteTable::openapi`](crate::routes::RouteTable::openapi) adds that of an
    /// [`ApiKeyLayer`](crate::ApiKeyLayer).
    ///
    /// ```
    /// use tower_api_key::console::Console;
    /// use tower_api_key::{KeyManager, MemoryStore};
    /// use utoipa::openapi::{Info, OpenApi, Paths};
    ///
    /// let console = Console::new(KeyManager::new(MemoryStore::new()));
    /// let mut document = OpenApi::new(Info::new("Acme", "1.0.0"), Paths::new());
    /// document.merge(console.openapi("/api/keys"));
    /// assert!(document.paths.paths.contains_key("/api/keys/{uid}/revoke/"));
    /// ```
    #[must_use]
    pub fn openapi(&self, base: &str) -> OpenApi {
        serde_json::from_value(document(self.keys.rules(), base.trim_end_matches('/'))).expect("an OpenAPI document")
    }
}

fn document(rules: &IssueRules, base: &str) -> Value {
    let uid = json!([parameter("uid", "path", &json!({ "type": "string", "format": "uuid" }), "The id of the key.")]);
    let mut paths = json!({});
    paths[format!("{base}/")] = json!({
        "get": operation("listKeys", "Lists keys, the newest first", list_parameters(), None, &[("200", "KeyPage")], &[]),
        "post": operation("createKey", "Creates a key, which is shown this once", json!([]), Some((true, new_key(rules))),
            &[("201", "IssuedKey")], if rules.insert_rules().max_active().is_some() { &[CONFLICT] } else { &[] }),
    });
    paths[format!("{base}/{{uid}}/")] = json!({
        "get": operation("readKey", "Returns one key", uid.clone(), None, &[("200", "Key")], &[NOT_FOUND]),
        "patch": operation("updateKey", "Changes a key, and never gives it more", uid.clone(), Some((true, update(rules))),
            &[("200", "Key")], &[NOT_FOUND, CONFLICT]),
    });
    paths[format!("{base}/{{uid}}/revoke/")] = json!({
        "post": operation("revokeKey", "Revokes a key for good", uid.clone(), Some((false, json!({ "type": "object" }))),
            &[("200", "Key")], &[NOT_FOUND]),
    });
    paths[format!("{base}/{{uid}}/regenerate/")] = json!({
        "post": operation("regenerateKey", "Replaces a key by a new one, which is shown this once", uid,
            Some((false, regenerate())), &[("201", "IssuedKey")], &[NOT_FOUND, CONFLICT]),
    });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "API keys", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": { "schemas": { "Key": key(), "IssuedKey": issued(), "KeyPage": page() } },
    })
}

const NOT_FOUND: (&str, &str) = ("404", "The organization has no such key.");
const CONFLICT: (&str, &str) =
    ("409", "The key is revoked, replaced or suspended, or there are as many active keys as there may be.");

fn operation(
    id: &str,
    summary: &str,
    parameters: Value,
    body: Option<(bool, Value)>,
    answers: &[(&str, &str)],
    failures: &[(&str, &str)],
) -> Value {
    let mut responses = json!({
        "400": {
            "description": "What is wrong with the request, or with each of its fields.",
            "content": content(&json!({
                "type": "object",
                "required": ["detail"],
                "properties": { "detail": { "anyOf": [{ "type": "string" }, field_errors()] } },
            })),
        },
        "401": failure("The request names no operator and no valid key."),
        "403": failure("The key has no full access, or the request comes from another site."),
        "503": failure("The store gave no answer. `Retry-After` is in seconds."),
    });
    for (status, schema) in answers {
        let reference = json!({ "$ref": format!("#/components/schemas/{schema}") });
        responses[status] = json!({ "description": summary, "content": content(&reference) });
    }
    for (status, description) in failures {
        responses[status] = failure(description);
    }
    let mut operation = json!({ "operationId": id, "summary": summary, "responses": responses });
    if parameters.as_array().is_some_and(|parameters| !parameters.is_empty()) {
        operation["parameters"] = parameters;
    }
    if let Some((required, schema)) = body {
        operation["requestBody"] = json!({ "content": content(&schema), "required": required });
        operation["responses"]["408"] = failure("The body did not arrive in time.");
        operation["responses"]["413"] = failure("The body is longer than 64 KiB.");
        operation["responses"]["415"] = failure("The body is not sent as JSON.");
    }
    operation
}

fn failure(description: &str) -> Value {
    let detail = json!({ "type": "object", "required": ["detail"], "properties": { "detail": { "type": "string" } } });
    json!({ "description": description, "content": content(&detail) })
}

fn field_errors() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "array", "items": { "type": "string" } } })
}

fn content(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn parameter(name: &str, place: &str, schema: &Value, description: &str) -> Value {
    json!({ "name": name, "in": place, "description": description, "required": place == "path", "schema": schema })
}

fn list_parameters() -> Value {
    let query = |name, schema: Value, description| parameter(name, "query", &schema, description);
    let text = || json!({ "type": "string" });
    let cursor = "^[0-9]{1,18}_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
    json!([
        query(
            "limit",
            json!({ "type": "integer", "minimum": 1, "default": 100 }),
            "At most how many keys; more than 1000 are 1000."
        ),
        query("cursor", json!({ "type": "string", "pattern": cursor }), "Where the page begins, as `next` has it."),
        query(
            "status",
            json!({ "type": "string", "enum": ["active", "suspended", "expired", "revoked"] }),
            "Only keys in this state."
        ),
        query(
            "environment",
            json!({ "type": "string", "pattern": "^[0-9A-Za-z_-]{1,32}$" }),
            "Only keys for this environment."
        ),
        query("search", text(), "Only keys whose name or hint has this text, in any case of ASCII letters."),
        query("created_by", text(), "Only keys that this operator or key has created."),
        query(
            "expires_before",
            json!({ "type": "string", "format": "date-time" }),
            "Only keys with an expiry of their own before this time."
        ),
    ])
}

/// What Unicode takes for white space, and control characters, for a class of a regular expression.
const BLANK: &str = r"\u0009-\u000D\u0020\u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000";
const CONTROL: &str = r"\u0000-\u001F\u007F-\u009F";

fn name() -> Value {
    let pattern = format!("^[^{CONTROL}]*[^{BLANK}{CONTROL}][^{CONTROL}]*$");
    json!({ "type": "string", "pattern": pattern, "maxLength": NewKey::MAX_NAME_LEN })
}

fn scopes(kind: &Value, rules: &IssueRules, granted: bool) -> Value {
    let known = rules.catalog().map(ScopeCatalog::scopes);
    let known = if granted { rules.grantable().or(known) } else { known };
    let mut scope = json!({ "type": "string", "pattern": r"^[!#-+\x2D-:<-\[\]-~]{1,128}$" });
    if let Some(known) = known {
        scope = json!({ "type": "string", "enum": known.iter().map(ToString::to_string).collect::<Vec<_>>() });
    }
    json!({ "type": kind, "minItems": 1, "maxItems": ScopeSet::MAX_LEN, "items": scope })
}

fn expires_at() -> Value {
    json!({ "type": ["string", "null"], "format": "date-time", "description": "In the future." })
}

fn metadata() -> Value {
    let name = format!("^[^{CONTROL}]{{1,{}}}$", Metadata::MAX_NAME_LEN);
    json!({
        "type": ["object", "null"],
        "maxProperties": Metadata::MAX_LEN,
        "propertyNames": { "type": "string", "pattern": name },
        "additionalProperties": { "type": "string", "maxLength": Metadata::MAX_VALUE_LEN, "pattern": "^[^\\u0000]*$" },
    })
}

fn networks() -> Value {
    let byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    let v4 = format!(r"({byte}\.){{3}}{byte}(/(3[0-2]|[12]?[0-9]))?");
    let group = "[0-9a-f]{1,4}";
    let v6 = format!("(({group}:){{7}}{group}|({group}:){{1,6}}:)(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?");
    let description = "An address, or a network such as 192.0.2.0/24.";
    json!({
        "type": ["array", "null"],
        "minItems": 1,
        "maxItems": AllowedNetworks::MAX_LEN,
        "items": { "type": "string", "pattern": format!("^({v4}|{v6})$"), "description": description },
    })
}

/// With scopes, or with full access by name.
fn new_key(rules: &IssueRules) -> Value {
    let mut named: Vec<_> = environments(rules).map(Environment::as_str).map(Value::from).collect();
    named.push(Value::Null);
    let alternative = |required: &[&str], full_access: Value, scopes: Value| {
        let properties = json!({
            "name": name(), "full_access": full_access, "scopes": scopes, "expires_at": expires_at(),
            "metadata": metadata(), "allowed_networks": networks(), "environment": { "type": ["string", "null"], "enum": named },
        });
        json!({ "type": "object", "required": required, "properties": properties })
    };
    let scoped = alternative(
        &["name", "scopes"],
        json!({ "type": ["boolean", "null"], "enum": [false, null] }),
        scopes(&"array".into(), rules, true),
    );
    let full = json!({ "type": "boolean", "enum": [true] });
    let full = alternative(&["name", "full_access"], full, json!({ "type": "null" }));
    if rules.grantable().is_some() { scoped } else { json!({ "oneOf": [full, scoped] }) }
}

/// Fewer scopes and networks and a sooner expiry than the key has.
fn update(rules: &IssueRules) -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": name(),
            "metadata": metadata(),
            "scopes": scopes(&json!(["array", "null"]), rules, false),
            "expires_at": expires_at(),
            "suspended": { "type": ["boolean", "null"] },
            "allowed_networks": networks(),
        },
    })
}

fn regenerate() -> Value {
    let overlap = "For how many seconds the old key still works. By default it stops at once.";
    json!({
        "type": "object",
        "properties": {
            "expires_at": expires_at(),
            "overlap_seconds": { "type": ["integer", "null"], "minimum": 0, "maximum": u64::MAX, "description": overlap },
        },
    })
}

fn key() -> Value {
    let time =
        |description: &str| json!({ "type": ["string", "null"], "format": "date-time", "description": description });
    let text = || json!({ "type": ["string", "null"] });
    let properties = json!({
        "uid": { "type": "string", "format": "uuid" },
        "organization": { "type": "string", "description": "For an operator of all organizations alone." },
        "name": { "type": "string" },
        "hint": { "type": "string", "description": "As much of the key as may be shown." },
        "environment": text(),
        "full_access": { "type": "boolean" },
        "scopes": { "type": "array", "items": { "type": "string" } },
        "allowed_networks": {
            "type": ["array", "null"], "items": { "type": "string" }, "description": "Null for anywhere.",
        },
        "metadata": { "type": "object", "additionalProperties": { "type": "string" } },
        "created_at": { "type": "string", "format": "date-time" },
        "created_by": text(),
        "expires_at": time("When the key stops working, by its own expiry or by the organization's maximum age."),
        "last_used_at": time("As of the last report."),
        "request_count": { "type": "integer", "minimum": 0 },
        "suspended": { "type": "boolean" },
        "revoked_at": time("When it was revoked or replaced."),
        "replaced_by": { "type": ["string", "null"], "format": "uuid" },
        "status": { "type": "string", "enum": ["active", "suspended", "expired", "revoked"] },
    });
    let names = properties.as_object().into_iter().flat_map(serde_json::Map::keys);
    let required: Vec<_> = names.filter(|name| *name != "organization").collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn issued() -> Value {
    let secret = json!({
        "type": "object",
        "required": ["api_key"],
        "properties": { "api_key": { "type": "string", "description": "The key itself, shown this once." } },
    });
    json!({ "allOf": [{ "$ref": "#/components/schemas/Key" }, secret] })
}

fn page() -> Value {
    let link = |description: &str| json!({ "type": ["string", "null"], "format": "uri-reference", "description": description });
    json!({
        "type": "object",
        "required": ["next", "previous", "results"],
        "properties": {
            "next": link("The next page, relative to the address of the request."),
            "previous": link("Always null."),
            "results": { "type": "array", "items": { "$ref": "#/components/schemas/Key" } },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::avala;

    /// Every schema in a value, the innermost first.
    fn schemas(value: &Value) -> Vec<(String, Value)> {
        let children: Vec<_> = match value {
            Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
            Value::Array(values) => values.iter().map(|value| (String::new(), value)).collect(),
            _ => return Vec::new(),
        };
        let mut found: Vec<_> = children.iter().flat_map(|(_, value)| schemas(value)).collect();
        let is_schema = |(name, value): &&(String, &Value)| {
            ["schema", "items", "additionalProperties", "propertyNames"].contains(&&**name) && value.is_object()
        };
        found.extend(children.iter().filter(is_schema).map(|(name, value)| (name.clone(), (*value).clone())));
        for (_, properties) in children.iter().filter(|(name, _)| name == "properties") {
            let properties = properties.as_object().into_iter().flatten();
            found.extend(properties.map(|(name, value)| (name.clone(), value.clone())));
        }
        found
    }

    /// The types of utoipa lose nothing of what is written above.
    ///
    /// Cases: 239.
    #[test]
    fn document_survives_the_types_of_utoipa() {
        let rules = IssueRules::new();
        let strict = IssueRules::new().with_catalog(avala::catalog()).with_grantable_scopes([avala::TASKS_READ]);
        for rules in [rules, strict.with_max_active_keys(3)] {
            let written = document(&rules, "/api/keys");
            for (name, schema) in schemas(&written) {
                let read = serde_json::from_value::<utoipa::openapi::RefOr<utoipa::openapi::Schema>>(schema.clone());
                let again = read.map(|schema| serde_json::to_value(schema).unwrap());
                assert_eq!(again.map_err(|error| error.to_string()), Ok(schema), "{name}");
            }
            let document: OpenApi = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(serde_json::to_value(document).unwrap(), written);
        }
    }
}
