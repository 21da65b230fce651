//! What is left of the body of a request that was answered before it had arrived.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;

/// How much of it is read, and for how long. Who sends more, or slower, loses the connection.
const MOST: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads on after the reply. A rejection needs no body, but a connection with an unread one has to be closed, and a client
/// that has just taken it for its next request loses that one.
pub(crate) async fn read_on(request: Request, next: Next) -> Response {
    if request.headers().contains_key(EXPECT) {
        // A client that asks before it sends a body keeps the body, once it is not wanted.
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = Lent(Arc::new(Mutex::new(body)));
    let rest = Lent(Arc::clone(&body.0));
    let response = next.run(Request::from_parts(parts, Body::new(body))).await;
    if !rest.is_end_stream() {
        tokio::spawn(tokio::time::timeout(PATIENCE, discard(rest)));
    }
    response
}

async fn discard(mut rest: Lent) {
    let mut read = 0;
    while let Some(Ok(frame)) = rest.frame().await
        && read < MOST
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// A body that another task goes on to read.
struct Lent(Arc<Mutex<Body>>);

impl Lent {
    fn body(&self) -> MutexGuard<'_, Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.body()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}
