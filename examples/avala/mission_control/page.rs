//! The page on which people sign up and log in. The rest of its looks is that of the console.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::routing::get;

use super::LOG_IN;
use crate::app::App;

/// As strict as that of the console.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types \
    'none'";

pub(super) fn routes() -> Router<App> {
    let file = |content_type: &'static str, content: &'static str| {
        get(move || std::future::ready((headers(content_type), content)))
    };
    Router::new()
        .route(LOG_IN, file("text/html; charset=utf-8", include_str!("page/login.html")))
        .route("/mission-control/login.css", file("text/css; charset=utf-8", include_str!("page/login.css")))
        .route("/mission-control/login.js", file("text/javascript; charset=utf-8", include_str!("page/login.js")))
}

const fn headers(content_type: &'static str) -> [(HeaderName, &'static str); 6] {
    [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ]
}
