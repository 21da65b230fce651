//! What the types demand, and what they leave alone.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use futures::executor::block_on;
use http::{Request, Response};
use http_body_util::Full;
use tokio::task::{LocalSet, spawn_local, yield_now};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_api_key::auth::{ApiKeyService, GateFuture, GateService, RequireScopesLayer, ResponseBody, ResponseFuture};
use tower_api_key::{Access, ApiKeyLayer};

use super::check::{HANDLED, assert_answers, key_layer, request, scopes_layer};
use crate::support::awaited::Awaited;
use crate::support::keys::KEY;
use crate::support::store::store;

#[test]
fn layers_are_plain_values() {
    fn is_plain<T: Clone + Send + Sync + Unpin + fmt::Debug + 'static>() {}
    is_plain::<ApiKeyLayer>();
    is_plain::<RequireScopesLayer>();
    is_plain::<ApiKeyService<GateService<u8, RequireScopesLayer>>>();
}

/// Without a type parameter, whatever store it was made of.
#[tokio::test]
async fn layer_fits_in_a_struct() {
    struct App {
        guards: Vec<ApiKeyLayer>,
        scopes: RequireScopesLayer,
    }
    let awaited = ApiKeyLayer::new(Awaited(store(Access::Full)));
    let app = App { guards: vec![key_layer(), awaited], scopes: scopes_layer() };
    for guard in &app.guards {
        assert_answers("kept", guard.layer(app.scopes.layer(service_fn(handle))), String::new).await;
    }
}

#[test]
fn service_is_send_if_its_inner_service_is() {
    fn is_send<T: Send>(_: &T) {}
    fn is_send_and_sync<T: Send + Sync>(_: &T) {}
    let mut service = key_layer().layer(scopes_layer().layer(service_fn(handle)));
    is_send_and_sync(&service);
    let future: ResponseFuture<_, String> = service.call(request(KEY, String::new()));
    is_send(&future);
    let response: Response<ResponseBody<ResponseBody<Full<Bytes>>>> = block_on(future).unwrap();
    is_send_and_sync(&response);

    let mut beside = scopes_layer().layer(service_fn(handle));
    let future: GateFuture<_> = beside.call(request(KEY, String::new()));
    is_send(&future);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OwnError;

/// An `Infallible` service stays one, which `assert_answers` demands of everything it is given. Any other error is
/// neither boxed nor converted, and need not be an `Error`.
#[tokio::test]
async fn inner_error_type_is_unchanged() {
    fn keeps<E, S: Service<Request<String>, Error = E>>(service: S) -> S {
        service
    }
    let fails = service_fn(|_: Request<String>| async { Err::<Response<String>, _>(OwnError) });
    let service = keeps::<OwnError, _>(key_layer().layer(scopes_layer().layer(fails)));
    assert_eq!(service.clone().oneshot(request(KEY, String::new())).await.unwrap_err(), OwnError);
    // A rejection is a response even so.
    assert_eq!(service.oneshot(request("", String::new())).await.unwrap().status(), 401);

    let service = keeps::<Infallible, _>(key_layer().layer(scopes_layer().layer(service_fn(handle))));
    let Ok(response) = service.oneshot(request(KEY, String::new())).await;
    assert_eq!(response.status(), 200);
}

/// One that counts in a cell, behind a pointer that must not leave its thread.
#[tokio::test]
async fn inner_service_may_be_not_send() {
    let calls = Rc::new(Cell::new(0));
    let counter = Rc::clone(&calls);
    let service = service_fn(move |_: Request<Rc<str>>| {
        let calls = Rc::clone(&counter);
        async move {
            yield_now().await;
            calls.set(calls.get() + 1);
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(HANDLED)))
        }
    });
    for layer in [key_layer(), ApiKeyLayer::new(Awaited(store(Access::Full)))] {
        let guarded = layer.layer(scopes_layer().layer(service.clone()));
        let local = async move { assert_answers("on a LocalSet", guarded, || "a body".into()).await };
        LocalSet::new().run_until(async { spawn_local(local).await.unwrap() }).await;
    }
    assert_eq!(calls.get(), 2);
}

/// Nothing is put into a box that would have to live for ever.
#[tokio::test]
async fn inner_service_may_borrow() {
    let text = HANDLED.to_owned();
    let borrows = service_fn(|_: Request<&str>| {
        let text = text.as_str();
        async move { Ok::<_, Infallible>(Response::new(text.to_owned())) }
    });
    let body = "a body".to_owned();
    for layer in [key_layer(), ApiKeyLayer::new(Awaited(store(Access::Full)))] {
        assert_answers("borrowed", layer.layer(scopes_layer().layer(borrows)), || body.as_str()).await;
    }
}

async fn handle(_: Request<String>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from(HANDLED)))
}
