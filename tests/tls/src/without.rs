use tower_api_key::store::{PostgresStore, SqlError};

use crate::support::tls_cluster::with_tls;
use crate::{is_encrypted, works};

/// Cases: 169.
#[tokio::test]
async fn remote_host_without_tls_feature_is_rejected() {
    for (host, mode) in [
        ("db.internal", ""),
        ("192.0.2.1", "?sslmode=prefer"),
        ("db.internal", "?sslmode=allow"),
        ("db.internal", "?sslmode=verify-full"),
        // Here, encryption is required.
        ("localhost", "?sslmode=require"),
    ] {
        let error = PostgresStore::connect(&format!("postgres://app:secret@{host}/app{mode}")).await.unwrap_err();
        assert!(matches!(error, SqlError::NoTls), "{host}{mode}: {error:?}");
        let message = error.to_string();
        assert!(message.contains("tls-ring") && message.contains("tls-aws-lc-rs"), "{message}");
    }
}

/// Cases: 169.
#[tokio::test]
async fn this_machine_without_tls_feature_is_served() {
    let (cluster, _, _dir) = with_tls();
    for url in [cluster.url(), cluster.url().replace("127.0.0.1", "localhost"), cluster.socket_url()] {
        let store = PostgresStore::connect(&url).await.unwrap();
        works(&store).await;
        assert!(!is_encrypted(&store).await, "{url}");
    }
}
