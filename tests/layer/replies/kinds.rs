//! Each reason for a reply, and the reply that is documented for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use tower_api_key::auth::RequireScopesLayer;
use tower_api_key::decision::Denial;
use tower_api_key::key::{KeyDigest, KeyFormat, KeyId, KeyRecord};
use tower_api_key::rejection::{CredentialError, Outage, Realm, RejectedRequest};
use tower_api_key::scope::avala;
use tower_api_key::{Access, ApiKeyLayer, MemoryStore, Rejection, Requirement};

use super::broken::Broken;
use super::keys::Keys;
use super::stack::{Inner, Stack};
use crate::support::seen::Seen;

pub(crate) const MISSING: &str = r#"{"detail":"Authentication credentials were not provided."}"#;
pub(crate) const INVALID: &str = r#"{"detail":"Invalid API key."}"#;
const EXPIRED: &str = r#"{"detail":"API key has expired."}"#;
pub(crate) const FORBIDDEN: &str = r#"{"detail":"You do not have permission to perform this action."}"#;
const UNAVAILABLE: &str = r#"{"detail":"Service temporarily unavailable, try again later."}"#;
const MISCONFIGURED: &str = r#"{"detail":"Internal server error."}"#;
#[cfg(feature = "routes")]
const NOT_FOUND: &str = r#"{"detail":"Not found."}"#;

pub(crate) const CHALLENGE: &str = r#"www-authenticate: ApiKey realm="api", header="X-Avala-Api-Key""#;
pub(crate) const NO_STORE: &str = "cache-control: no-store";
const PRIVATE: &str = "cache-control: private";
const VARY: &str = "vary: X-Avala-Api-Key";
const JSON: &str = "content-type: application/json";
const TEXT: &str = "content-type: text/plain";

pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) stack: Stack,
    pub(crate) headers: Headers,
    pub(crate) inner: Inner,
    /// Without what the server adds to every reply.
    pub(crate) reply: Seen,
    /// `None` where the inner service replies.
    pub(crate) rejection: Option<Rejection>,
}

pub(crate) type Headers = Vec<(&'static str, String)>;

/// Every reply that a layer gives by itself.
pub(crate) fn rejections(keys: &Keys) -> Vec<Kind> {
    [by_the_key(keys), by_what_it_may_do(keys), by_the_store(keys), by_mistake(keys), configured(keys)]
        .into_iter()
        .flatten()
        .chain(of_routes(keys))
        .collect()
}

fn by_the_key(keys: &Keys) -> Vec<Kind> {
    use CredentialError::{Malformed, Missing, Repeated, TooLong};
    use Denial::{Expired, OrganizationDisabled, Revoked, Unknown};
    let layer = || keys.layer();
    let (missing, invalid) = (|| unauthorized(MISSING), || unauthorized(INVALID));
    let and_bearer = |error, body| {
        let bearer = format!(r#"www-authenticate: Bearer realm="api"{error}"#);
        Seen::new(401, [JSON, NO_STORE, CHALLENGE, &bearer], body)
    };
    let wrong_token = || and_bearer(r#", error="invalid_token""#, INVALID);
    let (with, good) = (avala, || avala(&keys.good));
    vec![
        rejected("no key", layer(), vec![], Missing, missing()),
        rejected("an empty key", layer(), with(""), Missing, missing()),
        rejected("an unknown key", layer(), with(&keys.unknown), Unknown, invalid()),
        rejected("a revoked key", layer(), with(&keys.revoked), Revoked, invalid()),
        rejected("a regenerated key", layer(), with(&keys.regenerated), Revoked, invalid()),
        rejected(
            "a malformed key",
            layer().require_formats([KeyFormat::AVALA]),
            with("avk_0123"),
            Malformed,
            invalid(),
        ),
        rejected("a key that is too long", layer(), with(&"x".repeat(513)), TooLong, invalid()),
        rejected("a key that is repeated", layer(), [good(), good()].concat(), Repeated, invalid()),
        rejected("a disabled organization", layer(), with(&keys.disabled), OrganizationDisabled, invalid()),
        rejected("disabled and expired", layer(), with(&keys.disabled_and_expired), OrganizationDisabled, invalid()),
        rejected("an expired key", layer(), with(&keys.expired), Expired, unauthorized(EXPIRED)),
        rejected("a key that is too old", layer(), with(&keys.too_old), Expired, unauthorized(EXPIRED)),
        rejected("case 049: revoked and expired", layer(), with(&keys.revoked_and_expired), Revoked, invalid()),
        rejected("no bearer token", layer().accept_bearer(), vec![], Missing, and_bearer("", MISSING)),
        rejected("an unknown bearer token", layer().accept_bearer(), bearer(&keys.unknown), Unknown, wrong_token()),
        rejected("two places", layer().accept_bearer(), [good(), bearer(&keys.good)].concat(), Repeated, wrong_token()),
        rejected("case 054: problem details", layer(), accept("application/problem+json"), Missing, missing()),
        rejected("case 054: HTML", layer(), [with("x"), accept("text/html")].concat(), Unknown, invalid()),
    ]
}

fn by_what_it_may_do(keys: &Keys) -> Vec<Kind> {
    let writes = || keys.layer().require(avala::DATASETS_WRITE);
    let manages = keys.layer().require_fn(|_| Requirement::full_access());
    let nobody = keys.layer().require(Requirement::any_of([]));
    let beside = RequireScopesLayer::new(avala::DATASETS_WRITE);
    let stacks: [(_, Stack); 5] = [
        ("a scope that the layer asks for", writes().into()),
        ("full access for this request", manages.into()),
        ("any of no scopes", nobody.into()),
        ("a scope beside the route", (keys.layer(), beside).into()),
        ("a scope of a second layer", (keys.layer(), writes()).into()),
    ];
    let insufficient = Denial::InsufficientScope;
    let kind = |(name, stack)| rejected(name, stack, avala(&keys.good), insufficient, plain(403, FORBIDDEN));
    stacks.into_iter().map(kind).collect()
}

fn by_the_store(keys: &Keys) -> Vec<Kind> {
    let reply = Seen::new(503, [JSON, NO_STORE, "retry-after: 1"], UNAVAILABLE);
    let another = KeyRecord::new(KeyId::from_u128(1), KeyDigest::hash(b"x"), "acme".parse().unwrap(), Access::Full);
    let stores = [
        ("the record of another key", Broken::Confuses(Arc::new(another)), Outage::OtherKey),
        ("a store that fails", Broken::Fails, Outage::Failed),
        ("a store that hangs", Broken::Hangs, Outage::TimedOut),
        ("a store that panics at once", Broken::PanicsAtOnce, Outage::Panicked),
        ("a store that panics later", Broken::PanicsLater, Outage::Panicked),
    ];
    let kind = |(name, store, outage)| {
        let layer = ApiKeyLayer::new(store);
        let layer = if outage == Outage::TimedOut { layer.lookup_timeout(Duration::from_millis(1)) } else { layer };
        rejected(name, layer, avala(&keys.good), outage, reply.clone())
    };
    stores.map(kind).into()
}

/// By a mistake in the order of the layers.
fn by_mistake(keys: &Keys) -> Vec<Kind> {
    let beside = || RequireScopesLayer::new(avala::DATASETS_READ);
    let stacks: [(_, Stack); 3] = [
        ("no layer outside", beside().into()),
        ("the wrong order", (beside(), keys.layer()).into()),
        ("two stores and one header", (keys.layer(), ApiKeyLayer::new(MemoryStore::new())).into()),
    ];
    let mistake = Rejection::Misconfigured;
    let kind = |(name, stack)| rejected(name, stack, avala(&keys.good), mistake, plain(500, MISCONFIGURED));
    stacks.into_iter().map(kind).collect()
}

/// Where the service has a header, a realm or a renderer of its own.
fn configured(keys: &Keys) -> Vec<Kind> {
    use CredentialError::Missing;
    use Denial::{InsufficientScope, Unknown};
    let layer = || keys.layer();
    let header = |layer: ApiKeyLayer| layer.header(HeaderName::from_static("x-acme-key"));
    let realm = |layer: ApiKeyLayer| layer.realm(Realm::new("my api, v2").unwrap());
    let acme = |body: &'static str| {
        let challenge = r#"www-authenticate: ApiKey realm="my api, v2", header="X-Acme-Key""#;
        Seen::new(401, [JSON, NO_STORE, challenge], body)
    };
    let unknown = vec![("X-Acme-Key", keys.unknown.clone())];
    let writes = RequireScopesLayer::new(avala::DATASETS_WRITE);
    let only_challenge = Seen::new(401, [NO_STORE, CHALLENGE], "missing");
    let only_no_store = Seen::new(403, [NO_STORE], "insufficient_scope");
    let own = ["cache-control: private, no-cache", VARY, "www-authenticate: Bearer", TEXT];
    let own = Seen::new(401, own, "own");
    let amended_reply = acme(r#"{"detail":"Authentication credentials were not provided.","code":"missing"}"#);
    let hidden_reply = Seen::new(404, [NO_STORE, TEXT], "Not found.");
    let good = || avala(&keys.good);
    vec![
        rejected("another header, then another realm", realm(header(layer())), vec![], Missing, acme(MISSING)),
        rejected("another realm, then another header", header(realm(layer())), unknown, Unknown, acme(INVALID)),
        rejected("the default header where it does not count", realm(header(layer())), good(), Missing, acme(MISSING)),
        rejected("a bare 401 of a renderer", layer().rejection_response(bare), vec![], Missing, only_challenge),
        rejected(
            "a bare 403 of a renderer",
            layer().rejection_response(bare).require(avala::DATASETS_WRITE),
            good(),
            InsufficientScope,
            only_no_store.clone(),
        ),
        rejected(
            "a bare 403 of a renderer, beside the route",
            (layer().rejection_response(bare), writes),
            good(),
            InsufficientScope,
            only_no_store,
        ),
        rejected("headers of a renderer", layer().rejection_response(own_headers), vec![], Missing, own),
        rejected(
            "the reply, amended",
            realm(header(layer())).rejection_response(amended),
            vec![],
            Missing,
            amended_reply,
        ),
        rejected("another status of a renderer", layer().rejection_response(hidden), vec![], Missing, hidden_reply),
    ]
}

#[cfg(feature = "routes")]
fn of_routes(keys: &Keys) -> Vec<Kind> {
    use http::Method;
    use tower_api_key::routes::RouteTable;

    let table = |table: tower_api_key::routes::RouteTableBuilder| keys.layer().routes(table.build().unwrap());
    let empty = || table(RouteTable::builder());
    let writes = RouteTable::builder().route(Method::GET, super::stack::PATH, avala::DATASETS_WRITE);
    let public = RouteTable::builder().public(Method::GET, super::stack::PATH);
    let reads = RequireScopesLayer::new(avala::DATASETS_READ);
    let (missing, insufficient) = (CredentialError::Missing, Denial::InsufficientScope);
    vec![
        rejected("a route that is not listed", empty(), avala(&keys.good), Rejection::NotFound, plain(404, NOT_FOUND)),
        rejected("a route that is not listed, no key", empty(), vec![], missing, unauthorized(MISSING)),
        rejected("a scope of the table", table(writes), avala(&keys.good), insufficient, plain(403, FORBIDDEN)),
        rejected("a scope beside a public route", (table(public), reads), vec![], missing, unauthorized(MISSING)),
    ]
}

#[cfg(not(feature = "routes"))]
fn of_routes(_: &Keys) -> Vec<Kind> {
    Vec::new()
}

/// Replies of the inner service: untouched, but for `Cache-Control` where there is none.
pub(crate) fn accepted(keys: &Keys) -> Vec<Kind> {
    let reads = || keys.layer().require(avala::DATASETS_READ);
    let beside = RequireScopesLayer::new(avala::DATASETS_READ);
    let own_401 = || reply(StatusCode::UNAUTHORIZED, &[(CONTENT_TYPE, "text/plain")], "log in again");
    let own_403 = || reply(StatusCode::FORBIDDEN, &[(WWW_AUTHENTICATE, "Basic")], "not you");
    let own_503 = || reply(StatusCode::SERVICE_UNAVAILABLE, &[(CACHE_CONTROL, "max-age=5")], "later");
    let public = || reply(StatusCode::OK, &[(CACHE_CONTROL, "public, max-age=60")], "for all");
    let two = || reply(StatusCode::OK, &[(CACHE_CONTROL, "no-cache"), (CACHE_CONTROL, "max-age=1")], "twice");
    let good = || avala(&keys.good);
    vec![
        inner("a reply", reads(), good(), datasets, Seen::new(200, [TEXT, PRIVATE], DATASETS)),
        inner("a reply beside a route", (reads(), beside), good(), datasets, Seen::new(200, [TEXT, PRIVATE], DATASETS)),
        inner("a reply to a bearer", reads().accept_bearer(), bearer(&keys.good), datasets, {
            Seen::new(200, [TEXT, PRIVATE], DATASETS)
        }),
        inner("left alone", reads().without_cache_control(), good(), datasets, Seen::new(200, [TEXT], DATASETS)),
        inner("its own rule", reads(), good(), public, {
            Seen::new(200, ["cache-control: public, max-age=60", VARY], "for all")
        }),
        inner("its own rules", reads(), good(), two, {
            Seen::new(200, ["cache-control: private, no-cache", "cache-control: max-age=1", VARY], "twice")
        }),
        inner("its own 401", reads(), good(), own_401, Seen::new(401, [TEXT, PRIVATE], "log in again")),
        inner("its own 403", reads(), good(), own_403, Seen::new(403, ["www-authenticate: Basic", PRIVATE], "not you")),
        inner("its own 503", reads(), good(), own_503, {
            Seen::new(503, ["cache-control: private, max-age=5", VARY], "later")
        }),
    ]
}

const DATASETS: &str = "the datasets";

fn datasets() -> Response<Bytes> {
    reply(StatusCode::OK, &[(CONTENT_TYPE, "text/plain")], DATASETS)
}

fn rejected(
    name: &'static str,
    stack: impl Into<Stack>,
    headers: Headers,
    rejection: impl Into<Rejection>,
    reply: Seen,
) -> Kind {
    let inner = Inner::new(datasets);
    Kind { name, stack: stack.into(), headers, inner, reply, rejection: Some(rejection.into()) }
}

fn inner(
    name: &'static str,
    stack: impl Into<Stack>,
    headers: Headers,
    inner: fn() -> Response<Bytes>,
    reply: Seen,
) -> Kind {
    Kind { name, stack: stack.into(), headers, inner: Inner::new(inner), reply, rejection: None }
}

fn unauthorized(body: &'static str) -> Seen {
    Seen::new(401, [JSON, NO_STORE, CHALLENGE], body)
}

fn plain(status: u16, body: &'static str) -> Seen {
    Seen::new(status, [JSON, NO_STORE], body)
}

fn avala(key: &str) -> Headers {
    vec![("X-Avala-Api-Key", key.to_owned())]
}

fn bearer(key: &str) -> Headers {
    vec![("Authorization", format!("Bearer {key}"))]
}

fn accept(media_type: &str) -> Headers {
    vec![("Accept", media_type.to_owned())]
}

fn reply(status: StatusCode, headers: &[(HeaderName, &'static str)], body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    for (name, value) in headers {
        response.headers_mut().append(name, HeaderValue::from_static(value));
    }
    response
}

fn bare(rejected: &RejectedRequest<'_>) -> Response<Bytes> {
    let rejection = rejected.rejection();
    reply(rejection.status(), &[], rejection.code())
}

fn own_headers(rejected: &RejectedRequest<'_>) -> Response<Bytes> {
    let headers = [(CACHE_CONTROL, "no-cache"), (WWW_AUTHENTICATE, "Bearer"), (CONTENT_TYPE, "text/plain")];
    reply(rejected.rejection().status(), &headers, "own")
}

fn amended(rejected: &RejectedRequest<'_>) -> Response<Bytes> {
    let rejection = rejected.rejection();
    let body = format!(r#"{{"detail":"{}","code":"{}"}}"#, rejection.detail(), rejection.code());
    rejected.response().map(|_| body.into())
}

fn hidden(_: &RejectedRequest<'_>) -> Response<Bytes> {
    reply(StatusCode::NOT_FOUND, &[(CONTENT_TYPE, "text/plain")], "Not found.")
}
