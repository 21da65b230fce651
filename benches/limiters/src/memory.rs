//! Limiters that count in this process.

use http::StatusCode;
use tower::Layer;
use tower_api_key::throttle::LimitHeaders;
use tower_governor::GovernorLayer;

use crate::case::Case;
use crate::figures::Group;
use crate::inner::Inner;
use crate::peers::{finish, governor, ours};
use crate::requests;

const OK: StatusCode = StatusCode::OK;

pub(crate) fn report() {
    let inner = Inner::PLAIN;
    let (hidden, shown) = (ours(LimitHeaders::None), ours(LimitHeaders::XRateLimit));
    let (plain, full) = (finish(&mut governor()), finish(&mut governor().use_headers()));
    let cases = vec![
        Case::sending("bare service", requests(), inner, OK),
        Case::sending("this crate", requests(), hidden.layer(inner), OK),
        Case::sending("this crate, three headers", requests(), shown.layer(inner), OK),
        Case::sending("tower_governor", requests(), GovernorLayer::new(plain).layer(inner), OK),
        Case::sending("tower_governor, two headers", requests(), GovernorLayer::new(full).layer(inner), OK),
    ];
    Group::measure("A limiter in memory, 64 clients", cases);
}
