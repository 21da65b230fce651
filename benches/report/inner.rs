//! The service behind each layer, and the floor of each comparison.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use tower::Service;

/// Answers at once with a fixed body, with or without a header of its own.
#[derive(Clone, Copy)]
pub(crate) struct Inner {
    pub(crate) header: bool,
}

impl Inner {
    pub(crate) const PLAIN: Self = Self { header: false };
    pub(crate) const WITH_HEADER: Self = Self { header: true };
}

impl Service<Request<Body>> for Inner {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        black_box(&request);
        let mut response = Response::new(Body::from(Bytes::from_static(b"{\"ok\":true}")));
        if self.header {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        ready(Ok(response))
    }
}
