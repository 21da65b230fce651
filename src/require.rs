//! Scopes beside a route: authorizes what another layer has authenticated.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::Service;
use tower_layer::Layer;

use crate::auth::{Anonymous, ApiKey, Reply, ResponseBody, take_ready};
use crate::decision::authorize;
use crate::key::CredentialError;
use crate::rejection::Rejection;
use crate::scope::Requirement;

/// Asks for scopes where an [`ApiKeyLayer`](crate::ApiKeyLayer) further out has let the request in: one layer
/// authenticates for a whole router, and this one stands beside each route.
///
/// It answers and reports as that layer does. A request that was let in without a key gets the 401. Where no layer
/// has authenticated the request, the answer is 500 and the log says why; the request never passes.
///
/// In axum, put it on the handler. On what `get(...)` returns it would stand in front of the 405 for other methods as
/// well, and only whoever has the scope would be told which methods there are.
///
/// ```
/// use axum::{Router, handler::Handler, routing::{get, post}};
/// use tower_api_key::{ApiKeyLayer, MemoryStore, RequireScopesLayer, Requirement, scope::avala};
///
/// async fn list_tasks() -> &'static str {
///     "[]"
/// }
///
/// async fn create_export() -> &'static str {
///     "{}"
/// }
///
/// let tasks = RequireScopesLayer::new(Requirement::any_of([avala::TASKS_READ, avala::PROJECTS_READ]));
/// let exports = RequireScopesLayer::new(avala::EXPORTS_CREATE);
/// let app: Router = Router::new()
///     .route("/tasks/", get(list_tasks.layer(tasks)))
///     .route("/exports/", post(create_export.layer(exports)))
///     .layer(ApiKeyLayer::new(MemoryStore::new()));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct RequireScopesLayer {
    requirement: Arc<Requirement>,
}

impl RequireScopesLayer {
    /// A layer that asks this of every key.
    pub fn new(requirement: impl Into<Requirement>) -> Self {
        Self { requirement: Arc::new(requirement.into()) }
    }
}

impl<S> Layer<S> for RequireScopesLayer {
    type Service = RequireScopes<S>;

    fn layer(&self, inner: S) -> RequireScopes<S> {
        RequireScopes { inner, requirement: Arc::clone(&self.requirement) }
    }
}

/// The service that [`RequireScopesLayer`] makes.
#[derive(Clone, Debug)]
pub struct RequireScopes<S> {
    inner: S,
    requirement: Arc<Requirement>,
}

impl<S> RequireScopes<S> {
    /// The reply to a request that does not pass.
    fn refuse<B>(&self, request: &Request<B>) -> Option<Response<Bytes>> {
        if let Some(key) = request.extensions().get::<ApiKey>() {
            let denial = authorize(key.access(), &self.requirement).err()?;
            return Some(key.refuse(denial.into(), request));
        }
        if let Some(anonymous) = request.extensions().get::<Anonymous>() {
            return Some(anonymous.refuse(CredentialError::Missing.into(), request));
        }
        log::error!(
            "a RequireScopesLayer got a request without an API key: no ApiKeyLayer stands outside it (in an axum \
             Router, the layer that is added last runs first); answering 500"
        );
        Some(Rejection::Misconfigured.response_to(request.method()))
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for RequireScopes<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = RequireScopesFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let reply = match self.refuse(&request) {
            None => Reply::inner(self.inner.call(request)),
            Some(response) => {
                drop(take_ready(&mut self.inner));
                Reply::own(response)
            }
        };
        RequireScopesFuture { reply }
    }
}

pin_project! {
    /// The future of [`RequireScopes`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RequireScopesFuture<F> {
        #[pin]
        reply: Reply<F>,
    }
}

impl<F, B, E> Future for RequireScopesFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().reply.poll(cx)
    }
}

impl<F> fmt::Debug for RequireScopesFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireScopesFuture").finish_non_exhaustive()
    }
}
