//! The same layers around an axum router and around a plain service.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_api_key::ApiKeyLayer;
use tower_api_key::auth::RequireScopesLayer;

pub(crate) const PATH: &str = "/datasets/";

/// Layers of ours, the outermost first.
#[derive(Clone)]
pub(crate) struct Stack(Vec<Guard>);

#[derive(Clone)]
pub(crate) enum Guard {
    Key(ApiKeyLayer),
    Scopes(RequireScopesLayer),
}

impl Stack {
    /// The same stack, exposing the rejection in the extensions of the response.
    pub(crate) fn exposing(mut self) -> Self {
        for guard in &mut self.0 {
            if let Guard::Key(layer) = guard {
                *layer = layer.clone().expose_rejection();
            }
        }
        self
    }

    pub(crate) fn begins_with_a_key_layer(&self) -> bool {
        matches!(self.0[..], [Guard::Key(_), ..])
    }
}

impl From<ApiKeyLayer> for Guard {
    fn from(layer: ApiKeyLayer) -> Self {
        Self::Key(layer)
    }
}

impl From<RequireScopesLayer> for Guard {
    fn from(layer: RequireScopesLayer) -> Self {
        Self::Scopes(layer)
    }
}

impl<L: Into<Guard>> From<L> for Stack {
    fn from(layer: L) -> Self {
        Self(vec![layer.into()])
    }
}

impl<L: Into<Guard>, M: Into<Guard>> From<(L, M)> for Stack {
    fn from((outer, inner): (L, M)) -> Self {
        Self(vec![outer.into(), inner.into()])
    }
}

pub(crate) type Plain<B> = BoxCloneSyncService<Request<B>, Response<BoxBody<Bytes, Infallible>>, Infallible>;

/// What is guarded: it always gives the same reply, and counts its calls.
#[derive(Clone)]
pub(crate) struct Inner {
    reply: fn() -> Response<Bytes>,
    calls: Arc<AtomicUsize>,
}

impl Inner {
    pub(crate) fn new(reply: fn() -> Response<Bytes>) -> Self {
        Self { reply, calls: Arc::default() }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn call(&self) -> Response<Bytes> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        (self.reply)()
    }

    /// On its route in an axum router, behind these layers.
    pub(crate) fn in_router(&self, stack: &Stack) -> Router {
        let inner = self.clone();
        let router = Router::new().route(PATH, get(async move || inner.call().map(Body::from)));
        stack.0.iter().rev().fold(router, |router, guard| match guard {
            Guard::Key(layer) => router.layer(layer.clone()),
            Guard::Scopes(layer) => router.layer(layer.clone()),
        })
    }

    /// As a plain service, behind these layers.
    pub(crate) fn in_service<B: Send + 'static>(&self, stack: &Stack) -> Plain<B> {
        let inner = self.clone();
        let service = plain(service_fn(move |request: Request<B>| {
            let response = without_body_for_head(request.method(), inner.call());
            async { Ok(response.map(Full::new)) }
        }));
        stack.0.iter().rev().fold(service, |service, guard| match guard {
            Guard::Key(layer) => plain(layer.layer(service)),
            Guard::Scopes(layer) => plain(layer.layer(service)),
        })
    }
}

fn plain<B, S, R>(service: S) -> Plain<B>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
    B: 'static,
    R: http_body::Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
{
    BoxCloneSyncService::new(service.map_response(|response| response.map(BodyExt::boxed)))
}

/// What axum does for its handlers, and a plain service has to do itself.
fn without_body_for_head(method: &Method, mut response: Response<Bytes>) -> Response<Bytes> {
    if method == Method::HEAD {
        let body = std::mem::take(response.body_mut());
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    response
}
