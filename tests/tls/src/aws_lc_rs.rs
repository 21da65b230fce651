use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tower_api_key::store::{PostgresStore, SqlError};

use crate::support::tls_cluster::with_tls;
use crate::{is_encrypted, works};

/// Cases: 169.
#[tokio::test]
async fn aws_lc_rs_verifies_the_certificate() {
    let (cluster, ca, _dir) = with_tls();
    let by_name = cluster.url().replace("127.0.0.1", "localhost");
    let verified = format!("{by_name}?sslmode=verify-full&sslrootcert={}", ca.display());
    let store = PostgresStore::connect(&verified).await.unwrap();
    works(&store).await;
    assert!(is_encrypted(&store).await);

    // The authority is unknown, or the certificate names another host.
    for (url, problem) in [
        (format!("{by_name}?sslmode=verify-full"), "UnknownIssuer"),
        (verified.replace("localhost", "127.0.0.1"), "NotValidForName"),
    ] {
        let error = PostgresStore::connect(&url).await.unwrap_err();
        assert!(format!("{error:?}").contains(problem), "{url}: {error:?}");
    }

    // Nothing chose a provider for the rest of the program.
    assert!(CryptoProvider::get_default().is_none());
    let verify_ca = verified.replace("verify-full", "verify-ca");
    let error = PostgresStore::connect(&verify_ca).await.unwrap_err();
    assert!(matches!(error, SqlError::NoDefaultTlsProvider), "{error:?}");
    assert!(CryptoProvider::get_default().is_none());
    aws_lc_rs::default_provider().install_default().unwrap();
    let store = PostgresStore::connect(&verify_ca).await.unwrap();
    assert!(is_encrypted(&store).await);
}
