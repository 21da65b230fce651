//! Encrypted connections to a server of the test with its own certificates.

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tower_api_key::Access;
use tower_api_key::store::{PostgresStore, SqlError};

use crate::support::calls::{Reply, any, chain, full, issue};
use crate::support::cluster::Cluster;
use crate::support::postgres::with;
use crate::support::tls_cluster::with_tls;

/// Returns whether the store's connection is encrypted, as the server sees it.
async fn is_encrypted(store: &PostgresStore) -> bool {
    let ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    sqlx::query_scalar(ssl).fetch_one(store.pool()).await.unwrap()
}

async fn works(store: &PostgresStore) {
    store.migrate().await.unwrap();
    let key = issue(store, full()).await;
    assert_eq!(any(store, &key).await, Reply::accepted(&Access::Full));
}

/// Cases: 103.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn required_tls_is_never_skipped() {
    let plain = Cluster::start(&["ssl=off"]);
    for mode in ["require", "verify-full"] {
        let error = PostgresStore::connect(&with(&plain.url(), "sslmode", mode)).await.unwrap_err();
        assert!(matches!(error, SqlError::Database(sqlx::Error::Tls(_))), "{mode}: {error:?}");
        assert!(chain(&error).contains("server does not support TLS"), "{}", chain(&error));
    }
    let store = PostgresStore::connect(&plain.url()).await.unwrap();
    assert!(!is_encrypted(&store).await, "the default mode also connects without TLS");
    works(&store).await;
}

/// Cases: 103, 169.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn server_certificate_is_verified_when_configured() {
    let (cluster, ca, _dir) = with_tls();
    let by_address = cluster.url();
    let by_name = by_address.replace("127.0.0.1", "localhost");
    let trusting = |url: &str| with(url, "sslrootcert", &ca.display().to_string());
    let works_with = async |url: &str| {
        let store = PostgresStore::connect(url).await.unwrap_or_else(|error| panic!("{url}: {}", chain(&error)));
        assert!(is_encrypted(&store).await, "{url}");
        works(&store).await;
    };

    for url in [
        by_address.clone(),
        with(&by_address, "sslmode", "require"),
        with(&trusting(&by_name), "sslmode", "verify-full"),
    ] {
        works_with(&url).await;
    }
    // With ring and aws-lc-rs, rustls has no provider that it could make the default.
    let verify_ca = with(&trusting(&by_address), "sslmode", "verify-ca");
    let error = PostgresStore::connect(&verify_ca).await.unwrap_err();
    assert!(matches!(error, SqlError::NoDefaultTlsProvider), "{error:?}");
    assert!(CryptoProvider::get_default().is_none());
    ring::default_provider().install_default().unwrap();
    works_with(&verify_ca).await;
    let plain = Cluster::start(&["ssl=off"]);
    let error = PostgresStore::connect(&with(&plain.url(), "sslmode", "verify-ca")).await.unwrap_err();
    assert!(chain(&error).contains("server does not support TLS"), "{}", chain(&error));

    let (other_ca, _other_dir) = {
        let (other, ca, dir) = with_tls();
        drop(other);
        (ca, dir)
    };
    for (url, problem) in [
        // The certificate names another host.
        (with(&trusting(&by_address), "sslmode", "verify-full"), "not valid for name"),
        // The authority is not trusted.
        (with(&by_name, "sslmode", "verify-full"), "UnknownIssuer"),
        (with(&by_name, "sslmode", "verify-ca"), "UnknownIssuer"),
        (
            with(&with(&by_name, "sslmode", "verify-full"), "sslrootcert", &other_ca.display().to_string()),
            "invalid peer",
        ),
        // No authority is trusted.
        (with(&with(&by_name, "sslmode", "verify-full"), "sslrootcert", "/no/such/file"), "No such file"),
    ] {
        let error = PostgresStore::connect(&url).await.expect_err(&url);
        assert!(chain(&error).contains(problem), "{url}: {}", chain(&error));
    }
}
