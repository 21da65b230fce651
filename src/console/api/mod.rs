//! The JSON API.

mod access;
mod error;
mod fields;
mod form;
mod keys;
mod path;
mod query;
mod view;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use serde::Serialize;
use tower::Service;

use self::error::ApiError;
pub(super) use self::fields::environments;
use self::keys::Call;
use self::path::{Endpoint, endpoint};
use super::asker::Asker;
use super::{ConsoleBody, ConsoleFuture};
use crate::manage::manager::KeyManager;
use crate::store::DynKeyBackend;
use crate::time::Clock;

/// The JSON API of a [`Console`](super::Console): a tower service for any body type. The [module](super#json-api) documents
/// its calls.
#[derive(Clone)]
#[must_use = "a service does nothing until it is mounted"]
pub struct ConsoleApi {
    shared: Arc<Shared>,
    prefix: Option<Arc<str>>,
}

/// What every call needs.
pub(super) struct Shared {
    pub(super) keys: KeyManager<DynKeyBackend>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timeout: Duration,
    pub(super) origins: Vec<HeaderValue>,
}

impl ConsoleApi {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared), prefix: None }
    }

    /// Serves the calls under this path, such as `/api/keys`: for hyper, or any router that leaves the path as it is. A path
    /// that does not begin with it is a 404. Replaces an earlier one.
    ///
    /// ```
    /// use http::Request;
    /// use tower::ServiceExt;
    /// use tower_api_key::console::{Console, Operator};
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let api = Console::new(KeyManager::new(MemoryStore::new())).api().at("/api/keys");
    /// let ada = Operator::new("acme".parse()?, "ada@example.com");
    /// let list = Request::get("/api/keys/?status=active").extension(ada).body(String::new())?;
    /// assert_eq!(api.oneshot(list).await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn at(self, prefix: &str) -> Self {
        Self { prefix: Some(prefix.trim_end_matches('/').into()), ..self }
    }

    /// Returns the part of a path after the prefix.
    fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        let Some(prefix) = &self.prefix else { return Some(path) };
        path.strip_prefix(&**prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl<B> Service<Request<B>> for ConsoleApi
where
    B: Body<Data: Send> + Send + 'static,
{
    type Response = Response<ConsoleBody>;
    type Error = Infallible;
    type Future = ConsoleFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ConsoleFuture {
        let endpoint = self.rest(request.uri().path()).and_then(endpoint);
        let shared = Arc::clone(&self.shared);
        ConsoleFuture::new(async move {
            let (parts, body) = request.into_parts();
            let answer = answer(&shared, &parts, endpoint, body).await;
            finish(&parts.method, answer.unwrap_or_else(ApiError::into_response))
        })
    }
}

/// Identity first: who may not ask learns nothing else.
async fn answer<B: Body>(
    shared: &Shared,
    parts: &Parts,
    endpoint: Option<Endpoint>,
    body: B,
) -> Result<Response<ConsoleBody>, ApiError> {
    let asker = Asker::of(parts, &shared.origins)?;
    let endpoint = endpoint.ok_or(ApiError::NOT_FOUND)?;
    let call = Call::new(shared, parts, asker)?;
    match (&parts.method, endpoint) {
        (&Method::GET | &Method::HEAD, Endpoint::All) => call.list().await,
        (&Method::POST, Endpoint::All) => call.create(body).await,
        (&Method::GET | &Method::HEAD, Endpoint::One(id)) => call.read(id).await,
        (&Method::PATCH, Endpoint::One(id)) => call.update(id, body).await,
        (&Method::POST, Endpoint::Revoke(id)) => call.revoke(id, body).await,
        (&Method::POST, Endpoint::Regenerate(id)) => call.regenerate(id, body).await,
        (_, endpoint) => Ok(not_allowed(endpoint.methods())),
    }
}

fn not_allowed(methods: &'static str) -> Response<ConsoleBody> {
    let error = ApiError::Detail(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.");
    let mut response = error.into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// Returns a response with this JSON.
fn json(status: StatusCode, body: &impl Serialize) -> Response<ConsoleBody> {
    // Only maps whose keys are no texts cannot be written.
    let body = serde_json::to_vec(body).expect("texts, numbers, lists and maps with texts as keys");
    let mut response = Response::new(ConsoleBody::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn finish(method: &Method, mut response: Response<ConsoleBody>) -> Response<ConsoleBody> {
    ConsoleBody::leave_out_for_head(method, &mut response);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

impl fmt::Debug for ConsoleApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleApi").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
