//! TLS to Redis, with a certificate of the test.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tower_api_key::throttle::{Hit, Limit, LimitStore, RedisLimits, RedisLimitsError};

use crate::support::cluster::ServerDir;
use crate::support::redis::RedisServer;

/// Cases: 258.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn redis_over_tls_is_verified() {
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&authority).unwrap().pem();
    let issuer = Issuer::new(params, authority);
    let (key, dir) = (KeyPair::generate().unwrap(), ServerDir::new());
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let file = |name: &str, text: &str| dir.write(name, text).display().to_string();
    let server = RedisServer::with(&[
        "--tls-port",
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        &file("cert.pem", &certificate.pem()),
        "--tls-key-file",
        &file("key.pem", &key.serialize_pem()),
        "--tls-ca-cert-file",
        &file("root.pem", &root),
    ]);
    let hit = Hit::new("a", Limit::per_minute(1));
    let at = |scheme: &str, host: &str| {
        let redis = RedisLimits::new(&format!("{scheme}://{host}:{}", server.port())).unwrap();
        redis.with_timeout(Duration::from_secs(20))
    };
    let trusting = |host: &str| at("rediss", host).with_root_certificates(root.as_bytes()).unwrap();
    for allowed in [true, false] {
        assert_eq!(trusting("localhost").acquire(&hit).await.unwrap().is_allowed(), allowed);
    }
    // Another name, an unknown authority, and no TLS.
    for redis in [
        trusting("127.0.0.1"),
        at("rediss", "localhost"),
        at("redis", "localhost").with_timeout(Duration::from_secs(2)),
    ] {
        let error = redis.acquire(&hit).await.unwrap_err();
        assert!(matches!(error, RedisLimitsError::Failed(_) | RedisLimitsError::TimedOut(_)), "{error:?}");
    }
}
