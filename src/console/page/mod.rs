//! The page: files that are part of the program, and the settings that its modules read.

mod file;
mod settings;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Method, Request, Response, StatusCode};
use tower::Service;

use self::file::{File, asked};
pub use self::settings::ConsoleText;
pub(super) use self::settings::{Known, Link, Settings};
use super::{ConsoleBody, ConsoleFuture, Operator};

/// Nothing but the files of the page and calls of this server. No text becomes markup, not even by mistake.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);

/// The page of a [`Console`](super::Console): a tower service for any body type.
///
/// It serves the page at its own path, with or without a slash at the end, and the modules of the page below it. Mount it with
/// axum's `nest_service`, or on hyper for every path that begins with the page's: the last segment of a path names the file.
///
/// The files are the same for everyone and hold no data: what the page shows, it asks the API for. An
/// [`Operator`] in the extensions of the request is named in the header of the page.
#[derive(Clone)]
#[must_use = "a service does nothing until it is mounted"]
pub struct ConsolePage {
    shared: Arc<Shared>,
}

struct Shared {
    /// With the title of the service in it.
    html: Bytes,
    settings: Settings,
    known: Known,
    api: String,
}

impl ConsolePage {
    pub(super) fn new(settings: Settings, known: Known, api: String) -> Self {
        let html = settings.html(include_str!("index.html")).into();
        Self { shared: Arc::new(Shared { html, settings, known, api }) }
    }
}

impl Shared {
    fn answer(&self, request: &Request<()>) -> Response<Bytes> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match asked(request.uri()) {
            Some(File::Page) => file("text/html; charset=utf-8", self.html.clone()),
            Some(File::Asset { content_type, content }) => file(content_type, Bytes::from_static(content.as_bytes())),
            Some(File::Settings) => {
                let settings = self.settings.json(&self.known, &self.api, request.extensions().get::<Operator>());
                let mut response = file("application/json", settings.into());
                response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
            None => plain(StatusCode::NOT_FOUND, "Not found.\n"),
        }
    }
}

fn file(content_type: &'static str, content: Bytes) -> Response<Bytes> {
    let mut response = Response::new(content);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = file("text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response
}

/// No other site may frame, open or load any of it.
fn protect(headers: &mut HeaderMap) {
    const PROTECTION: [(HeaderName, HeaderValue); 6] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ];
    headers.extend(PROTECTION);
}

impl<B> Service<Request<B>> for ConsolePage {
    type Response = Response<ConsoleBody>;
    type Error = Infallible;
    type Future = ConsoleFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ConsoleFuture {
        let request = request.map(drop);
        let mut response = self.shared.answer(&request).map(ConsoleBody::new);
        protect(response.headers_mut());
        ConsoleBody::leave_out_for_head(request.method(), &mut response);
        ConsoleFuture::new(std::future::ready(response))
    }
}

impl fmt::Debug for ConsolePage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsolePage").field("api", &self.shared.api).finish_non_exhaustive()
    }
}
