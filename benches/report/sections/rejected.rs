//! A rejected request, by reason. Figures are those of the whole request: the inner service is never called.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::executor::block_on;
use http::{HeaderValue, Method, StatusCode};
use tower::Layer;
use tower_api_key::key::{KeyFormat, KeyId};
use tower_api_key::routes::RouteTable;
use tower_api_key::scope::avala;
use tower_api_key::store::KeyBackend;
use tower_api_key::test_kit::{Fault, FaultyStore};
use tower_api_key::{ApiKeyLayer, Requirement};

use crate::bars::Bars;
use crate::case::{Case, KEY, request};
use crate::figures::Group;
use crate::guard::{bare, by_default};
use crate::inner::Inner;
use crate::keys::{presented, store, tomorrow, unknown, value};
use crate::peers::cases::{ASYNC_CAREFUL, Stores};
use crate::peers::{CREATE, READ};

const OURS: &str = "this crate";

pub(crate) fn report(bars: &Bars) {
    let (none, good): (Arc<[HeaderValue]>, _) = ([].into(), presented(1_000));
    let (unauthorized, forbidden) = (StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN);
    let (peers, keys) = (Stores::of(1_000), store(1_000, Some(tomorrow())));
    let layer = by_default(keys.clone());
    let other_scope = ApiKeyLayer::new(keys).require(avala::EXPORTS_CREATE);
    let compare = |why: &str, scope, layer: &ApiKeyLayer, values: &Arc<[HeaderValue]>, status, limit| {
        let mut cases = vec![bare(values, Inner::PLAIN)];
        cases.extend(peers.cases(scope, values, status));
        cases.push(rejected(OURS, layer, values, status));
        let group = Group::measure(&format!("Rejected: {why}"), cases);
        bars.at_most(format!("rejected, {why}: allocations, whole request"), group.of(OURS).allocations, 4.0, 0);
        let ratio = group.of(OURS).instructions / group.of(ASYNC_CAREFUL).instructions;
        bars.at_most(format!("rejected, {why}: instructions, whole request, of careful"), ratio, limit, 2);
    };
    compare("unknown key", READ, &layer, &unknown(), unauthorized, 0.65);
    compare("no header", READ, &layer, &none, unauthorized, 0.56);
    compare("scope missing", CREATE, &other_scope, &good, forbidden, 0.58);
    every_other_kind(&layer);
}

fn rejected(name: &'static str, layer: &ApiKeyLayer, keys: &Arc<[HeaderValue]>, status: StatusCode) -> Case {
    Case::requests(name, (KEY, keys), layer.layer(Inner::PLAIN), status)
}

fn every_other_kind(layer: &ApiKeyLayer) {
    let good = presented(1_000);
    let unauthorized = StatusCode::UNAUTHORIZED;
    let expired = by_default(store(1_000, Some(SystemTime::now() - Duration::from_secs(60))));
    let (revoked, organization) = (store(1_000, None), "acme".parse().expect("a name"));
    for number in 0..1_000 {
        block_on(revoked.revoke(&organization, KeyId::from_u128(number))).expect("it is there");
    }
    let failing = FaultyStore::new(store(1, None));
    failing.set_fault(Fault::Error);
    let long: Arc<[HeaderValue]> = [value("x".repeat(513))].into();
    let routes = RouteTable::builder().route(Method::GET, "/other", Requirement::any_key()).build();
    let table = layer.clone().routes(routes.expect("one line"));
    let twice = {
        let (one, other) = (good[0].clone(), good[1].clone());
        move || {
            let mut request = request(&KEY, Some(&one));
            request.headers_mut().append(KEY, other.clone());
            request
        }
    };
    let cases = vec![
        bare(&good, Inner::PLAIN),
        Case::sending("two keys", twice, layer.layer(Inner::PLAIN), unauthorized),
        rejected("not in the table of routes", &table, &good, StatusCode::NOT_FOUND),
        rejected("expired key", &expired, &good, unauthorized),
        rejected("revoked key", &by_default(revoked), &good, unauthorized),
        rejected("too long", layer, &long, unauthorized),
        rejected(
            "malformed, where the format is known",
            &layer.clone().require_formats([KeyFormat::AVALA]),
            &good,
            unauthorized,
        ),
        rejected("the store fails", &by_default(failing), &good, StatusCode::SERVICE_UNAVAILABLE),
    ];
    Group::measure("Rejected by this crate, every other kind", cases);
}
