use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::response::Redirect;
use axum::routing::get;

use crate::app::App;

pub(crate) const PATH: &str = "/settings/security";

/// Nothing but the files below and calls of this server. No text becomes markup, not even by mistake.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types \
    'none'";

/// The page, which is the same for everybody: what it shows, it asks for.
pub(super) fn routes() -> Router<App> {
    let file = |content_type: &'static str, content: &'static str| {
        get(move || std::future::ready((headers(content_type), content)))
    };
    Router::new()
        .route("/", get(async || Redirect::to(PATH)))
        .route(PATH, file("text/html; charset=utf-8", include_str!("page/index.html")))
        .route(&format!("{PATH}/page.css"), file("text/css; charset=utf-8", include_str!("page/page.css")))
        .route(&format!("{PATH}/page.js"), file("text/javascript; charset=utf-8", include_str!("page/page.js")))
        .route(&format!("{PATH}/icon.svg"), file("image/svg+xml", include_str!("page/icon.svg")))
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
