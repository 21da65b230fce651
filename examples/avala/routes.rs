//! What each route asks of a key.

use axum::body::Bytes;
use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use axum::http::{Method, Response, StatusCode};
use serde_json::json;
use tower_api_key::rejection::RejectedRequest;
use tower_api_key::routes::{RouteTable, RouteTableError};
use tower_api_key::scope::avala;
use tower_api_key::{Rejection, Requirement};

use crate::app::BASE;

pub(crate) const SIGN_UP: &str = "/api/v1/signup/";
pub(crate) const OPENAPI: &str = "/api/v1/openapi.json";

/// A route that is not listed is closed.
pub(crate) fn table() -> Result<RouteTable, RouteTableError> {
    let read_tasks = || Requirement::any_of([avala::TASKS_READ, avala::PROJECTS_READ]);
    // A scoped key never manages keys: it could give itself more than it has.
    let manage_keys = Requirement::full_access;
    let lines: [(Method, &str, Requirement); 23] = [
        (Method::GET, "/datasets/", avala::DATASETS_READ.into()),
        (Method::POST, "/datasets/", avala::DATASETS_WRITE.into()),
        (Method::GET, "/datasets/{uid}/", avala::DATASETS_READ.into()),
        (Method::PATCH, "/datasets/{uid}/", avala::DATASETS_WRITE.into()),
        (Method::DELETE, "/datasets/{uid}/", avala::DATASETS_WRITE.into()),
        (Method::POST, "/datasets/{uid}/items/", avala::DATASETS_WRITE.into()),
        (Method::GET, "/datasets/{owner}/{slug}/items/", avala::DATASETS_READ.into()),
        (Method::GET, "/projects/", avala::PROJECTS_READ.into()),
        (Method::GET, "/users/me/projects/", avala::PROJECTS_READ.into()),
        (Method::GET, "/tasks/", read_tasks()),
        (Method::GET, "/tasks/{uid}/", read_tasks()),
        (Method::POST, "/exports/", avala::EXPORTS_CREATE.into()),
        (Method::GET, "/exports/{uid}/", avala::EXPORTS_CREATE.into()),
        (Method::GET, "/exports/{uid}/download/", avala::EXPORTS_CREATE.into()),
        (Method::GET, "/users/me/permissions/", Requirement::any_key()),
        (Method::GET, "/api-keys/", manage_keys()),
        (Method::POST, "/api-keys/", manage_keys()),
        (Method::GET, "/api-keys/{uid}/", manage_keys()),
        (Method::PATCH, "/api-keys/{uid}/", manage_keys()),
        (Method::POST, "/api-keys/{uid}/revoke/", manage_keys()),
        (Method::POST, "/api-keys/{uid}/regenerate/", manage_keys()),
        (Method::GET, "/organization/key-policy/", manage_keys()),
        (Method::PUT, "/organization/key-policy/", manage_keys()),
    ];
    let table =
        RouteTable::builder().catalog(avala::catalog()).public(Method::POST, SIGN_UP).public(Method::GET, OPENAPI);
    let table = lines
        .into_iter()
        .fold(table, |table, (method, path, requirement)| table.route(method, format!("{BASE}{path}"), requirement));
    table.build()
}

/// Rejects as the key layer does, except that a valid key gets a 405 for a wrong method.
pub(crate) fn reject(table: &RouteTable, rejected: &RejectedRequest<'_>) -> Response<Bytes> {
    let request = rejected.request();
    let allowed: Vec<_> = table.methods(request.path()).flat_map(with_head).collect();
    let is_wrong_method = !allowed.is_empty() && !allowed.contains(&request.method().as_str());
    if rejected.rejection() != Rejection::NotFound || !is_wrong_method {
        return rejected.response();
    }
    let detail = format!("Method \"{}\" not allowed.", request.method());
    let mut response = Response::new(json!({ "detail": detail }).to_string().into());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let allowed = HeaderValue::try_from(allowed.join(",")).expect("methods are words of ASCII");
    headers.insert(ALLOW, allowed);
    response
}

fn with_head(method: &Method) -> impl Iterator<Item = &str> {
    let head = (*method == Method::GET).then_some("HEAD");
    std::iter::once(method.as_str()).chain(head)
}
