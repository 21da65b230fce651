//! One thing to measure: a request is built, sent through a service, and dropped with its response.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use tower::Service;

pub(crate) const KEY: HeaderName = HeaderName::from_static("x-avala-api-key");

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Sends so many requests.
    pub(crate) run: Box<dyn FnMut(usize)>,
    /// How many requests are stepped through.
    pub(crate) stepped: usize,
}

impl Case {
    pub(crate) fn new(name: &'static str, mut once: impl FnMut() + 'static) -> Self {
        Self { name, run: Box::new(move |times| (0..times).for_each(|_| once())), stepped: 8 }
    }

    /// Requests to `service` with these values in this header, in turns; without the header where there are none.
    pub(crate) fn requests<S, B>(
        name: &'static str,
        (header, values): (HeaderName, &Arc<[HeaderValue]>),
        service: S,
        status: StatusCode,
    ) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + 'static,
    {
        let values = Arc::clone(values);
        let mut at = 0;
        let next = move || {
            let value = values.get(at);
            at = if at + 1 < values.len() { at + 1 } else { 0 };
            request(&header, value)
        };
        Self::sending(name, next, service, status)
    }

    /// What `next` makes, sent to `service`.
    pub(crate) fn sending<S, B>(
        name: &'static str,
        mut next: impl FnMut() -> Request<Body> + 'static,
        mut service: S,
        status: StatusCode,
    ) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + 'static,
    {
        let mut once = move || {
            let request = next();
            let mut context = Context::from_waker(Waker::noop());
            assert!(service.poll_ready(&mut context).is_ready());
            let Ok(response) = wait(service.call(request));
            assert_eq!(response.status(), status);
            black_box(&response);
        };
        // All of the first keys, and whatever happens once.
        (0..128).for_each(|_| once());
        Self::new(name, once)
    }
}

/// As a client sends it, with three headers besides the key.
#[inline(never)]
pub(crate) fn request(name: &HeaderName, value: Option<&HeaderValue>) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_static("/datasets");
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static("localhost:3000"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("bench/1.0"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    if let Some(value) = value {
        headers.insert(name.clone(), value.clone());
    }
    request
}

fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
