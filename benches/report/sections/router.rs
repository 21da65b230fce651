//! Inside an axum router, where any layer costs something: the floor is a router with a layer that does nothing.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use bytes::Bytes;
use http::StatusCode;
use tower::layer::util::Identity;

use crate::bars::Bars;
use crate::case::{Case, KEY};
use crate::figures::Group;
use crate::guard::{by_default, leaner};
use crate::keys::{presented, store, tomorrow};
use crate::peers::cases::{ASYNC_CAREFUL, FROM_FN_CAREFUL, Stores, VALIDATE_CAREFUL};
use crate::peers::{READ, careful};

const SAME: &str = "this crate, same work";

pub(crate) fn report(bars: &Bars) {
    let values = presented(1_000);
    let careful = Stores::of(1_000).careful(READ);
    let layer = by_default(store(1_000, Some(tomorrow())));
    let case = |name, router: Router| Case::requests(name, (KEY, &values), router, StatusCode::OK);
    let cases = vec![
        case("router, a layer that does nothing", router().layer(Identity::new())),
        case("router without a layer", router()),
        case(ASYNC_CAREFUL, router().layer(careful::async_require!(&careful))),
        case(VALIDATE_CAREFUL, router().layer(careful::validate!(&careful))),
        case(FROM_FN_CAREFUL, router().layer(from_fn_with_state(careful, careful::middleware))),
        case("this crate, default", router().layer(layer.clone())),
        case(SAME, router().layer(leaner(layer))),
    ];
    let group = Group::measure("Accepted, inside an axum router", cases);
    bars.at_most("in an axum router, over an identity layer: allocations", group.allocations(SAME), 4.0, 0);
    bars.at_most("in an axum router: instructions", group.instructions(SAME), 2_000.0, 0);
    let ratio = group.instructions(SAME) / group.instructions(ASYNC_CAREFUL);
    bars.at_most("in an axum router: of careful", ratio, 0.85, 2);
}

fn router() -> Router {
    Router::new().route("/datasets", get(|| async { Bytes::from_static(b"{\"ok\":true}") }))
}
