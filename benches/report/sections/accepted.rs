//! A request with a valid key, by the number of keys.

use axum::middleware::from_fn_with_state;
use http::{StatusCode, header};
use tower::Layer;

use crate::bars::Bars;
use crate::case::Case;
use crate::figures::Group;
use crate::guard::{accepted, bare, by_default, same_work};
use crate::inner::Inner;
use crate::keys::{presented, store, tomorrow};
use crate::peers::cases::{ASYNC_CAREFUL, ASYNC_TYPICAL, FROM_FN_CAREFUL, Stores};
use crate::peers::{READ, jwt};

const SAME: &str = "this crate, same work";
const ETERNAL: &str = "this crate, same work, keys without expiry";
const DEFAULT: &str = "this crate, default";
const JWT: &str = "axum `from_fn`, jsonwebtoken HS256";

pub(crate) fn report(bars: &Bars) {
    let hot = at(1_000);
    bars.at_most("accepted, same work: allocations over floor", hot.allocations(SAME), 3.0, 0);
    bars.at_most("accepted, same work: instructions over floor", hot.instructions(SAME), 1_700.0, 0);
    let ratio = |other| hot.instructions(SAME) / hot.instructions(other);
    bars.at_most("same: of careful `AsyncRequireAuthorization`", ratio(ASYNC_CAREFUL), 0.80, 2);
    bars.at_most("same: of typical `AsyncRequireAuthorization`", ratio(ASYNC_TYPICAL), 0.39, 2);
    bars.at_most("same: of careful `from_fn`", ratio(FROM_FN_CAREFUL), 0.54, 2);
    bars.at_most("accepted, same work, key without expiry: instructions", hot.instructions(ETERNAL), 1_600.0, 0);
    bars.at_most("accepted, default, reply without a header: allocations", hot.allocations(DEFAULT), 5.0, 0);
    bars.at_most("accepted, default, reply without a header: instructions", hot.instructions(DEFAULT), 2_300.0, 0);
    bars.at_most("accepted, time over floor, 1,000 keys: of careful", hot.time_ratio(SAME, ASYNC_CAREFUL), 0.80, 2);

    let wide = at(100_000);
    bars.at_most("accepted, time over floor, 100,000 keys: of careful", wide.time_ratio(SAME, ASYNC_CAREFUL), 0.65, 2);
    let wider = at(1_000_000);
    let time = wider.time_ratio(SAME, ASYNC_CAREFUL);
    bars.at_most("accepted, time over floor, 1,000,000 keys: of careful", time, 0.65, 2);
    let growth = wider.instructions(SAME) / hot.instructions(SAME);
    bars.at_most("growth: instructions at 1,000,000 keys, of those at 1,000", growth, 1.05, 2);

    let header = with_header();
    bars.at_most("accepted, default, reply with a header: allocations", header.allocations(DEFAULT), 3.0, 0);
    bars.at_most("accepted, default, reply with a header: instructions", header.instructions(DEFAULT), 2_000.0, 0);
}

fn at(keys: u64) -> Group {
    let values = presented(keys);
    let mut cases = vec![bare(&values, Inner::PLAIN)];
    cases.extend(Stores::of(keys).cases(READ, &values, StatusCode::OK));
    let layer = by_default(store(keys, Some(tomorrow())));
    cases.push(accepted(DEFAULT, &values, &layer, Inner::PLAIN));
    cases.push(accepted(SAME, &values, &crate::guard::leaner(layer), Inner::PLAIN));
    if keys <= 1_000 {
        cases.push(accepted(ETERNAL, &values, &same_work(store(keys, None)), Inner::PLAIN));
        let jwt_layer = from_fn_with_state(jwt::Verifier::new(), jwt::middleware);
        let tokens = jwt::presented();
        let token = (header::AUTHORIZATION, &tokens);
        cases.push(Case { stepped: 8, ..Case::requests(JWT, token, jwt_layer.layer(Inner::PLAIN), StatusCode::OK) });
    }
    Group::measure(&format!("Accepted, {keys} keys, {} of them presented", values.len()), cases)
}

/// `Cache-Control` costs less where the reply has a header already.
fn with_header() -> Group {
    let values = presented(1_000);
    let layer = by_default(store(1_000, Some(tomorrow())));
    let inner = Inner::WITH_HEADER;
    let cases = vec![bare(&values, inner), accepted(DEFAULT, &values, &layer, inner)];
    Group::measure("Accepted, the inner reply has a header", cases)
}
