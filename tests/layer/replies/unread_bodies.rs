//! A request is rejected before its body is read, and bytes of that body are never read as another request.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use tokio::sync::Notify;
use tower::{Layer, service_fn};
use tower_api_key::ApiKeyLayer;
use tower_api_key::scope::avala;

use super::ask::Behind::{self, Axum, Hyper};
use super::keys::Keys;
use super::kinds::{FORBIDDEN, INVALID, MISSING};
use crate::support::axum_server::serve_axum;
use crate::support::http2_client::connect_http2;
use crate::support::hyper_server::serve_hyper;
use crate::support::server::Server;
use crate::support::wire::Wire;

/// What a client does with the body of a rejected request.
#[derive(Clone, Debug)]
struct Upload {
    name: &'static str,
    framing: String,
    /// Together with the head.
    with_head: Vec<u8>,
    /// When the reply is there.
    after_reply: Vec<u8>,
    then: Then,
}

/// What may become of the next request on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It is answered.
    Answered,
    /// It cannot be, since by then the body has not ended.
    Closed,
    /// It is answered, or the connection is closed: the server decides which is cheaper.
    Either,
}

fn uploads(smuggled: &[u8]) -> Vec<Upload> {
    let long = vec![b'x'; 10_000_000];
    let length = |body: &[u8]| format!("Content-Length: {}", body.len());
    let chunked = || "Transfer-Encoding: chunked".to_owned();
    let waits = |framing: &str| format!("Expect: 100-continue\r\n{framing}");
    let chunks = [format!("{:x}\r\n", smuggled.len()).as_bytes(), smuggled, b"\r\n0\r\n\r\n"].concat();
    let trailers = [&chunks[..chunks.len() - 2], b"X-Avala-Api-Key: trailer\r\n\r\n"].concat();
    let upload = |name, framing, with_head: &[u8], after_reply: &[u8], then| Upload {
        name,
        framing,
        with_head: with_head.to_vec(),
        after_reply: after_reply.to_vec(),
        then,
    };
    vec![
        upload("no body", length(b""), b"", b"", Then::Answered),
        upload("a body with the head", length(smuggled), smuggled, b"", Then::Answered),
        upload("a body after the reply", length(smuggled), b"", smuggled, Then::Either),
        upload("half of a body", length(smuggled), &smuggled[..9], &smuggled[9..], Then::Either),
        upload("a body that never ends", length(&long), smuggled, b"", Then::Closed),
        upload("a large body after the reply", length(&long), b"", &long, Then::Either),
        upload("chunks with the head", chunked(), &chunks, b"", Then::Either),
        upload("chunks after the reply", chunked(), b"", &chunks, Then::Either),
        upload("chunks that never end", chunked(), &chunks[..chunks.len() - 5], b"", Then::Closed),
        upload("chunks and trailers", chunked(), &trailers, b"", Then::Either),
        upload("a client that waits", waits(&length(smuggled)), b"", b"", Then::Closed),
        upload("waits with chunks", waits(&chunked()), b"", b"", Then::Closed),
    ]
}

/// Cases: 21.
#[tokio::test]
async fn unread_body_is_not_awaited_or_read_as_request() {
    let keys = Keys::new(false).await;
    let smuggled = get("/smuggled", &keys.good, "");
    for behind in [Axum, Hyper] {
        for (key, status, body) in [("", 401, MISSING), (&*keys.unknown, 401, INVALID), (&*keys.good, 403, FORBIDDEN)] {
            for upload in uploads(smuggled.as_bytes()) {
                let context = format!("{behind:?}, {status} {key:?}, {}", upload.name);
                let app = App::new(&keys, behind).await;
                let mut wire = Wire::connect(app.server.http1).await;
                let head = format!("POST /first HTTP/1.1\r\nHost: test\r\nX-Avala-Api-Key: {key}\r\n");
                let head = format!("{head}{}\r\n\r\n", upload.framing);
                wire.send(&[head.as_bytes(), &upload.with_head].concat()).await.unwrap();
                let (reply, _) = wire.reply(&Method::POST).await.expect("a reply");
                assert_eq!((reply.status, &*reply.body), (status, body.as_bytes()), "{context}");

                // From here on the server may have closed the connection.
                let _ = wire.send(&upload.after_reply).await;
                let _ = wire.send(get("/second", &keys.good, "Connection: close\r\n").as_bytes()).await;
                let (then, expected) = match wire.reply(&Method::GET).await {
                    None => (Then::Closed, vec![]),
                    Some((reply, _)) => {
                        assert_eq!((reply.status, &*reply.body), (200, &b"GET /second 0"[..]), "{context}");
                        (Then::Answered, vec!["GET /second"])
                    }
                };
                assert!(upload.then == Then::Either || upload.then == then, "{context}: {then:?}");
                assert_eq!(wire.rest().await, "", "{context}");
                assert_eq!(*app.called.lock().unwrap(), expected, "{context}");
            }
        }
    }
}

fn get(path: &str, key: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\nX-Avala-Api-Key: {key}\r\n{more}\r\n")
}

/// Cases: 21.
/// Without this, the test above could pass because nothing ever waits for a body.
#[tokio::test]
async fn harness_detects_response_awaiting_the_body() {
    let keys = Keys::new(false).await;
    for behind in [Axum, Hyper] {
        let app = App::new(&keys, behind).await;
        let mut wire = Wire::connect(app.server.http1).await;
        let head =
            format!("PUT /first HTTP/1.1\r\nHost: test\r\nX-Avala-Api-Key: {}\r\nContent-Length: 4\r\n\r\n", keys.good);
        wire.send(head.as_bytes()).await.unwrap();
        app.entered.notified().await;
        assert_eq!(wire.stream.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "{behind:?}");
        wire.send(b"body").await.unwrap();
        let (reply, _) = wire.reply(&Method::PUT).await.expect("a reply");
        assert_eq!(&*reply.body, b"PUT /first 4", "{behind:?}");
    }
}

/// Cases: 21.
#[tokio::test]
async fn http_2_rejection_keeps_other_streams_open() {
    let keys = Keys::new(false).await;
    for behind in [Axum, Hyper] {
        let app = App::new(&keys, behind).await;
        let mut sender = connect_http2(app.server.http2).await;
        let request = |method: &str, path: &str, key: &str, body: BoxBody<Bytes, Infallible>| {
            let request = Request::builder().method(method).uri(format!("http://test{path}"));
            request.header("X-Avala-Api-Key", key).body(body).unwrap()
        };
        for key in ["", &keys.unknown, &keys.good] {
            let unending = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>()).boxed();
            sender.ready().await.unwrap();
            let rejected = sender.send_request(request("POST", "/first", key, unending)).await.unwrap();
            assert!(rejected.status().is_client_error(), "{behind:?} {key}");
        }

        let unread = Arc::new(AtomicUsize::new(0));
        let large = Counted { left: LARGE, pulled: Arc::clone(&unread) };
        let rejected = sender.send_request(request("POST", "/large", "", large.boxed())).await.unwrap();
        assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(&*rejected.into_body().collect().await.unwrap().to_bytes(), MISSING.as_bytes());

        // The same body where it is read, so that the count above means something.
        let read = Arc::new(AtomicUsize::new(0));
        let large = Counted { left: LARGE, pulled: Arc::clone(&read) };
        let accepted = sender.send_request(request("PUT", "/large", &keys.good, large.boxed())).await.unwrap();
        let body = accepted.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("PUT /large {LARGE}"));
        assert_eq!(read.load(Ordering::SeqCst), LARGE);
        let unread = unread.load(Ordering::SeqCst);
        assert!(unread <= LARGE / 8, "{behind:?}: {unread} bytes of a rejected body were taken");

        let empty = Full::new(Bytes::new()).boxed();
        let accepted = sender.send_request(request("GET", "/second", &keys.good, empty)).await.unwrap();
        assert_eq!(accepted.status(), StatusCode::OK, "{behind:?}");
        assert_eq!(*app.called.lock().unwrap(), ["PUT /large", "GET /second"], "{behind:?}");
    }
}

/// A service that reads the body of every request, behind a layer that requires of `POST` what the valid key
/// lacks.
struct App {
    server: Server,
    called: Arc<Mutex<Vec<String>>>,
    /// Notified when the service was called and has not read the body yet.
    entered: Arc<Notify>,
}

impl App {
    async fn new(keys: &Keys, behind: Behind) -> Self {
        let layer = keys.layer().require_fn(|request| match *request.method() {
            Method::POST => avala::DATASETS_WRITE.into(),
            _ => avala::DATASETS_READ.into(),
        });
        let (called, entered) = (Arc::default(), Arc::default());
        let server = serve(layer, behind, &called, &entered).await;
        Self { server, called, entered }
    }
}

async fn serve(layer: ApiKeyLayer, behind: Behind, called: &Arc<Mutex<Vec<String>>>, entered: &Arc<Notify>) -> Server {
    let (called, entered) = (Arc::clone(called), Arc::clone(entered));
    let reads = move |head: String| {
        called.lock().unwrap().push(head.clone());
        entered.notify_one();
        move |body: Bytes| format!("{head} {}", body.len())
    };
    match behind {
        Axum => {
            let handler = async move |request: Request<Body>| {
                let answer = reads(format!("{} {}", request.method(), request.uri().path()));
                answer(request.into_body().collect().await.unwrap().to_bytes())
            };
            serve_axum(Router::new().fallback(handler).layer(layer)).await
        }
        Hyper => {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = reads(format!("{} {}", request.method(), request.uri().path()));
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    Ok::<_, hyper::Error>(Response::new(Full::from(answer(body))))
                }
            });
            serve_hyper(layer.layer(service)).await
        }
    }
}

const LARGE: usize = 64 << 20;

/// A body that counts how much of it was taken.
struct Counted {
    left: usize,
    pulled: Arc<AtomicUsize>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static PIECE: [u8; 16 << 10] = [0; 16 << 10];
        let size = PIECE.len().min(self.left);
        self.left -= size;
        self.pulled.fetch_add(size, Ordering::SeqCst);
        Poll::Ready((size > 0).then(|| Ok(Frame::data(Bytes::from_static(&PIECE[..size])))))
    }
}
