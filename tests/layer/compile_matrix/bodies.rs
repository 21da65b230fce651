//! Bodies of requests and of responses, of any type.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use axum::body::Body as AxumBody;
use bytes::Bytes;
use futures::stream;
use http::header::{ETAG, HeaderMap, HeaderValue};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Either, Empty, Full, Limited, StreamBody};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_api_key::auth::{ApiKeyService, GateService, RequireScopesLayer};

use super::check::{HANDLED, ask, assert_answers, assert_is_rejection, key_layer, request, scopes_layer};
use crate::support::http1_client::connect_http1;
use crate::support::http2_client::connect_http2;
use crate::support::hyper_server::serve_hyper;
use crate::support::keys::KEY;
use crate::support::seen::Seen;

#[tokio::test]
async fn layer_accepts_any_response_body() {
    async fn works<R: Body<Data = Bytes, Error: fmt::Debug>>(name: &str, body: fn() -> R) {
        assert_answers(name, guarded(body), String::new).await;
        assert_answers(name, key_layer().layer(Handler(body)), || ()).await;
    }
    works("Full", full).await;
    works("String", || HANDLED.to_owned()).await;
    works("BoxBody", || full().boxed()).await;
    works("BoxBody with errors", broken_box).await;
    works("UnsyncBoxBody", || full().boxed_unsync()).await;
    works("axum's Body", || AxumBody::from(HANDLED)).await;
    works("Either", || Either::<_, Empty<Bytes>>::Left(full())).await;
    works("Limited, whose error is another", || Limited::new(full(), HANDLED.len())).await;
    works("a stream of pieces", || {
        StreamBody::new(stream::iter(HANDLED.split_inclusive(' ').map(piece::<Infallible>)))
    })
    .await;
    works("what is not Send", || {
        let text = Rc::new(HANDLED);
        StreamBody::new(stream::iter((0..1).map(move |_| piece::<Infallible>(*text))))
    })
    .await;

    let reply = ask(guarded(Empty::<Bytes>::new), request(KEY, ())).await;
    assert_eq!(reply, Seen::new(200, ["cache-control: private"], ""));
    assert_is_rejection("Empty", &ask(guarded(Empty::<Bytes>::new), request("", ())).await);
}

#[tokio::test]
async fn layer_accepts_any_request_body() {
    assert_answers("String", guarded(full), String::new).await;
    assert_answers("()", guarded(full), || ()).await;
    assert_answers("Full", guarded(full), full).await;
    assert_answers("axum's Body", guarded(full), AxumBody::empty).await;
    assert_answers("what is not Send", guarded(full), || Rc::new(1)).await;
}

/// Cases: 21.
/// Nothing but the head of a request is looked at, so what it carries need not be a body that could be read.
#[tokio::test]
async fn rejection_reads_no_body() {
    struct NoBody;
    assert_answers("no body at all", guarded(full), || NoBody).await;
}

/// Both kinds of a connection of hyper, whose requests have an `Incoming` body.
#[tokio::test]
async fn hyper_serves_the_guarded_service() {
    async fn works<R>(name: &str, body: fn() -> R)
    where
        R: Body<Data = Bytes, Error: Error + Send + Sync> + Send + 'static,
    {
        let server = serve_hyper(guarded(body)).await;
        let mut http1 = connect_http1::<Empty<Bytes>>(server.http1).await;
        let mut http2 = connect_http2::<Empty<Bytes>>(server.http2).await;
        for key in ["", KEY] {
            let mut request = request(key, Empty::new());
            *request.uri_mut() = format!("http://test{}", request.uri()).parse().unwrap();
            request.headers_mut().insert("host", HeaderValue::from_static("test"));
            let replies =
                [http1.send_request(request.clone()).await.unwrap(), http2.send_request(request).await.unwrap()];
            for reply in replies {
                let reply = Seen::of(reply).await.unwrap();
                if key.is_empty() {
                    assert_is_rejection(name, &reply);
                } else {
                    assert_eq!((reply.status, &*reply.body), (200, HANDLED.as_bytes()), "{name}");
                }
            }
        }
    }
    works("Full", full).await;
    works("BoxBody", || full().boxed()).await;
    works("BoxBody with errors", broken_box).await;
    works("UnsyncBoxBody", || full().boxed_unsync()).await;
    works("axum's Body", || AxumBody::from(HANDLED)).await;
}

#[tokio::test]
async fn body_trailers_and_errors_are_passed_on() {
    let with_trailers = || {
        let trailers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static("1"))]);
        StreamBody::new(stream::iter([piece::<Infallible>(HANDLED), Ok(Frame::trailers(trailers))]))
    };
    let response = guarded(with_trailers).oneshot(request(KEY, ())).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().map(|trailers| &trailers[ETAG]), Some(&HeaderValue::from_static("1")));
    assert_eq!(collected.to_bytes(), HANDLED);

    let breaks = || StreamBody::new(stream::iter([piece::<io::Error>(HANDLED), Err(io::Error::other("cut off"))]));
    let response = guarded(breaks).oneshot(request(KEY, ())).await.unwrap();
    let error: io::Error = response.into_body().collect().await.unwrap_err();
    assert_eq!(error.to_string(), "cut off");
}

/// Both layers, under their names.
fn guarded<R>(body: fn() -> R) -> ApiKeyService<GateService<Handler<R>, RequireScopesLayer>> {
    ServiceBuilder::new().layer(key_layer()).layer(scopes_layer()).service(Handler(body))
}

/// Handles a request with any body at all.
struct Handler<R>(fn() -> R);

impl<R> Clone for Handler<R> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<B, R> Service<Request<B>> for Handler<R> {
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Ready<Result<Response<R>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new((self.0)())))
    }
}

fn full() -> Full<Bytes> {
    Full::from(HANDLED)
}

fn broken_box() -> BoxBody<Bytes, io::Error> {
    full().map_err(|never| match never {}).boxed()
}

fn piece<E>(text: &'static str) -> Result<Frame<Bytes>, E> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}
