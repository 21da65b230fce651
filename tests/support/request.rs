//! A request with a key.

use http::Request;

/// `GET /datasets/` with this key; without one, when it is empty.
pub(crate) fn request(key: &str) -> Request<String> {
    let request = Request::get("/datasets/?limit=1");
    let request = if key.is_empty() { request } else { request.header("X-Avala-Api-Key", key) };
    request.body(String::new()).unwrap()
}
