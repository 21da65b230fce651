//! Plain HTTP where HTTPS is required.

use http::{Request, Version};
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{Layer, Service, ServiceExt};
use tower_api_key::Rejection;
use tower_api_key::key::KeyDigest;
use tower_api_key::observe::Outcome;
use tower_api_key::rejection::CredentialError;
use tower_api_key::transport::{ClientInfoLayer, Connection, RequireHttpsLayer, TrustedProxies};

use super::guarded::{HTTPS_REQUIRED, MISCONFIGURED, Seen};
use super::spoofing::address;
use crate::support::keys::KEY;
use crate::support::log_lines::{record_log, take_log};
use crate::support::reply::{INVALID, Reply};
use crate::support::request::request;

fn over(connection: Connection, mut request: Request<String>) -> Request<String> {
    request.extensions_mut().insert(connection);
    request
}

fn plain() -> Connection {
    Connection::plain(address("192.0.2.1"))
}

/// Cases: 41.
#[tokio::test]
async fn plain_http_is_rejected_before_lookup() {
    let seen = Seen::default();
    let service = seen.service(ClientInfoLayer::new());
    let rejected = Outcome::Rejected(Rejection::HttpsRequired);
    for key in [KEY, "unknown", "", " "] {
        let reply = Reply::of(service.clone().oneshot(over(plain(), request(key))).await.unwrap()).await;
        assert_eq!((reply.status, &*reply.body), (403, HTTPS_REQUIRED), "{key}");
        assert_eq!(reply.headers["cache-control"], "no-store");
        assert_eq!(reply.headers["content-type"], "application/json");
        let digest = Some(KeyDigest::hash(key.as_bytes())).filter(|_| !key.trim().is_empty());
        assert_eq!(seen.events(), [(rejected, Some(403), digest, digest)], "{key}");
    }
    // Two keys: the request is ambiguous, and neither counts.
    let mut twice = request(KEY);
    twice.headers_mut().append("x-avala-api-key", KEY.parse().unwrap());
    assert_eq!(service.clone().oneshot(over(plain(), twice)).await.unwrap().status(), 403);
    assert_eq!(seen.events(), [(rejected, Some(403), None, None)]);
    assert_eq!((seen.lookups(), seen.calls()), (0, 0));
}

#[tokio::test]
async fn https_continues_to_the_key_check() {
    let seen = Seen::default();
    let service = seen.service(ClientInfoLayer::new());
    let tls = Connection::tls(address("::ffff:192.0.2.1"));
    let reply = Reply::of(service.clone().oneshot(over(tls, request(KEY))).await.unwrap()).await;
    assert_eq!((reply.status, &*reply.body), (200, "192.0.2.1 https=true"));
    assert_eq!(seen.events(), [(Outcome::Accepted, Some(200), Some(KeyDigest::hash(KEY.as_bytes())), None)]);
    assert_eq!(service.clone().oneshot(over(tls, request(""))).await.unwrap().status(), 401);
    let missing = Outcome::Rejected(CredentialError::Missing.into());
    assert_eq!(seen.events(), [(missing, Some(401), None, None)]);
    let reply = Reply::of(service.oneshot(over(tls, request("unknown"))).await.unwrap()).await;
    assert_eq!((reply.status, &*reply.body), (401, INVALID));
    assert_eq!((seen.lookups(), seen.calls()), (2, 1));
}

/// Cases: 42, 43.
/// What a client claims, in a header or in the target, is ignored.
#[tokio::test]
async fn client_headers_do_not_prove_https() {
    let seen = Seen::default();
    let service = seen.service(ClientInfoLayer::new().trust(TrustedProxies::new(["10.0.0.0/8"]).unwrap()));
    for (name, value) in
        [("x-forwarded-proto", "https"), ("forwarded", "for=10.0.0.1;proto=https"), ("x-forwarded-for", "10.0.0.1")]
    {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let mut request = request(KEY);
            *request.uri_mut() = "https://example.com/datasets/".parse().unwrap();
            *request.version_mut() = version;
            request.headers_mut().insert(name, value.parse().unwrap());
            assert_eq!(service.clone().oneshot(over(plain(), request)).await.unwrap().status(), 403);
        }
    }
    assert_eq!((seen.lookups(), seen.calls()), (0, 0));
}

#[tokio::test]
async fn missing_client_is_500_naming_the_mistake() {
    let seen = Seen::default();
    for service in [
        seen.service(ClientInfoLayer::new()),
        seen.service(ClientInfoLayer::new().connection_from(|&n: &u8| Connection::tls([127, 0, 0, n].into()))),
    ] {
        record_log();
        let reply = Reply::of(service.oneshot(request(KEY)).await.unwrap()).await;
        assert_eq!((reply.status, &*reply.body), (500, MISCONFIGURED));
        let [line] = &take_log()[..] else { panic!("one line is expected") };
        for part in
            ["ERROR ", "RequireHttpsLayer", "no ClientInfoLayer is outside it", "no Connection", "answering 500"]
        {
            assert!(line.contains(part), "{part:?} in {line}");
        }
        let misconfigured = Outcome::Rejected(Rejection::Misconfigured);
        assert_eq!(seen.events(), [(misconfigured, Some(500), Some(KeyDigest::hash(KEY.as_bytes())), None)]);
    }
    assert_eq!((seen.lookups(), seen.calls()), (0, 0));
}

/// The header, the renderer and the hook are those of the key layer.
#[tokio::test]
async fn https_layer_reads_and_rejects_as_the_key_layer() {
    let seen = Seen::default();
    let keys = seen.keys().header(http::HeaderName::from_static("x-acme-key")).expose_rejection().rejection_response(
        |rejected| {
            assert!(rejected.request().headers().is_empty(), "the credential is gone");
            rejected.response().map(|_| rejected.rejection().code().into())
        },
    );
    let inner = tower::service_fn(async |_: Request<String>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    });
    let service = ClientInfoLayer::new().layer(RequireHttpsLayer::new(&keys).layer(keys.layer(inner)));
    let request = Request::get("/").header("X-Acme-Key", KEY).body(String::new()).unwrap();
    let response = service.clone().oneshot(over(plain(), request)).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&Rejection::HttpsRequired));
    let reply = Reply::of(response).await;
    assert_eq!(
        (reply.status, &*reply.body, &reply.headers["cache-control"]),
        (403, "https_required", &"no-store".parse().unwrap())
    );
    assert_eq!(seen.events()[0].3, Some(KeyDigest::hash(KEY.as_bytes())));
    // `HEAD` has the length of the body, and no body.
    let head = Request::head("/").body(String::new()).unwrap();
    let reply = Reply::of(service.oneshot(over(plain(), head)).await.unwrap()).await;
    assert_eq!((&*reply.body, &reply.headers["content-length"]), ("", &"14".parse().unwrap()));
}

/// Inside the key layer the lookup has happened, and its one event has the rejection.
#[tokio::test]
async fn https_layer_inside_key_layer_has_one_event() {
    let seen = Seen::default();
    let keys = seen.keys();
    let inner = tower::service_fn(async |_: Request<String>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    });
    let service = ClientInfoLayer::new().layer(keys.layer(RequireHttpsLayer::new(&keys).layer(inner)));
    assert_eq!(service.oneshot(over(plain(), request(KEY))).await.unwrap().status(), 403);
    let digest = Some(KeyDigest::hash(KEY.as_bytes()));
    assert_eq!(seen.events(), [(Outcome::Rejected(Rejection::HttpsRequired), Some(403), digest, digest)]);
}

/// A rejected request releases what readiness had reserved.
#[tokio::test]
async fn https_rejection_holds_no_permit() {
    let inner = tower::service_fn(async |_: Request<String>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    });
    let inner = GlobalConcurrencyLimitLayer::new(1).layer(inner);
    let service = ClientInfoLayer::new().layer(RequireHttpsLayer::new(&Seen::default().keys()).layer(inner));
    let (mut rejected, mut other) = (service.clone(), service);
    let reply = rejected.ready().await.unwrap().call(over(plain(), request(KEY)));
    // The rejecting instance and its future are alive, and the one permit is free.
    let ready = futures::FutureExt::now_or_never(other.ready()).expect("a permit").unwrap();
    let tls = Connection::tls(address("192.0.2.1"));
    assert_eq!(ready.call(over(tls, request(KEY))).await.unwrap().status(), 200);
    assert_eq!(reply.await.unwrap().status(), 403);
}
