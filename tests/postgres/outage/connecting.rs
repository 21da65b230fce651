//! A database that could never be reached.

use std::error::Error;
use std::net::TcpListener;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::io::AsyncWriteExt;
use tower_api_key::ApiKeyLayer;
use tower_api_key::store::{KeyBackend, PostgresStore};

use super::guarded::Guarded;
use crate::support::calls::{Reply, acme, call, chain, full, issue};
use crate::support::cluster::{Cluster, free_port};
use crate::support::log_lines::{PASSWORD, logged, record_log};
use crate::support::postgres::{Sql, with};

/// Starts a server with a role that has a password.
async fn with_password() -> (Cluster, String) {
    let cluster = Cluster::start(&["max_connections=20"]);
    // The driver logs statements. This one has the password in two parts.
    let (start, end) = PASSWORD.split_at(5);
    let role = format!(
        "DO $$ BEGIN EXECUTE format('CREATE ROLE with_password LOGIN PASSWORD %L', '{start}' || '{end}'); END $$; \
         CREATE SCHEMA s AUTHORIZATION with_password"
    );
    Sql::connect(&cluster.url()).await.run(role).await.unwrap();
    let url = cluster.url().replace("postgres@", &format!("with_password:{PASSWORD}@"));
    (cluster, with(&url, "options[search_path]", "s"))
}

/// Accepts connections and sends these bytes to each.
async fn other_server(greeting: &'static [u8]) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let _ = client.write_all(greeting).await;
        }
    });
    port
}

/// Cases: 103, 104.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postgres"]
async fn unreachable_database_is_503_without_details() {
    let (cluster, url) = with_password().await;
    let at_port = |port: u16| format!("postgres://with_password:{PASSWORD}@127.0.0.1:{port}/postgres");
    // Listens, and accepts no connection from its queue.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let limited = "CREATE ROLE limited LOGIN CONNECTION LIMIT 0; CREATE ROLE excluded";
    Sql::connect(&cluster.url()).await.run(limited).await.unwrap();

    let ways = [
        ("connection refused", at_port(free_port()), None),
        ("connection not accepted", at_port(silent.local_addr().unwrap().port()), None),
        ("unknown host", at_port(1).replace("127.0.0.1", "no-such-host.invalid"), Some("lookup")),
        ("a server that closes", at_port(other_server(b"").await), Some("")),
        ("an HTTP server", at_port(other_server(b"HTTP/1.1 400 Bad Request\r\n\r\n").await), Some("SSLRequest")),
        ("no TLS", with(&url, "sslmode", "verify-full"), Some("TLS")),
        ("wrong password", url.replace(PASSWORD, &format!("{PASSWORD}-not")), Some("password authentication failed")),
        ("no password", url.replace(&format!(":{PASSWORD}"), ""), Some("password")),
        ("unknown database", with(&cluster.url(), "dbname", "nowhere"), Some("nowhere")),
        ("unknown role", with(&cluster.url(), "user", "nobody_here"), Some("nobody_here")),
        ("role without login", with(&cluster.url(), "user", "excluded"), Some("not permitted to log in")),
        ("no more connections", with(&cluster.url(), "user", "limited"), None),
        ("no tables", cluster.url(), Some("tower_api_key_keys")),
    ];
    for (why, url, cause) in ways {
        let options: PgConnectOptions = url.parse().unwrap();
        let store = PostgresStore::from_pool(PgPoolOptions::new().connect_lazy_with(options));
        Guarded::without_keys(&store).is_unavailable(why).await;
        // Where the driver retries until the timeout, there is no other cause. A longer wait shows the other causes.
        let Some(cause) = cause else { continue };
        let patient = ApiKeyLayer::new(store).lookup_timeout(Duration::from_secs(10));
        assert_eq!(call(&patient, "avk_whatever").await, Reply::unavailable());
        let lines = logged("WARN no answer from the key store, answering 503: ");
        assert!(lines.iter().any(|line| line.contains(cause)), "{why}: {cause:?} is not in {:?}", lines.last());
    }

    // With the right password and its tables, the same server serves.
    let store = PostgresStore::connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    Guarded::new(&store, &store).await.serves().await;
    assert_eq!(logged(PASSWORD), [""; 0]);
}

/// Cases: 104.
/// The error of `connect` may be logged in any form.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn connection_errors_omit_the_password() {
    record_log();
    let (cluster, url) = with_password().await;
    let unreachable = url.replace(&port(&cluster.url()), &free_port().to_string());
    let urls = [
        url.replace(PASSWORD, &format!("{PASSWORD}-not")),
        with(&url, "dbname", "nowhere"),
        with(&url, "sslmode", "verify-full"),
        with(&url, "sslmode", "of course"),
        with(&url, "statement-cache-capacity", "many"),
        with(&url, "options[no_such_setting]", "1"),
        with(&url, "port", "99999"),
        unreachable,
        format!("postgres://with_password:{PASSWORD}@127.0.0.1:port/postgres"),
        format!("postgres://with_password:{PASSWORD}@/postgres:5432:"),
        format!("postgres://with_password:{PASSWORD}@[::1/postgres"),
        format!("postgres//with_password:{PASSWORD}@127.0.0.1/postgres"),
        format!("with_password:{PASSWORD}@127.0.0.1/postgres"),
        format!("mysql://with_password:{PASSWORD}@127.0.0.1/postgres"),
        format!("postgres://with_password:%ff{PASSWORD}@127.0.0.1/postgres"),
    ];
    for url in urls {
        let Err(error) = PostgresStore::connect(&url).await else { continue };
        let error: &dyn Error = &error;
        println!("{}", chain(error));
        for text in [chain(error), format!("{error:?}"), format!("{error:#?}")] {
            assert!(!text.contains(PASSWORD), "{text}");
        }
    }
    // A store that works shows no password either.
    let store = PostgresStore::connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    let key = issue(&store, full()).await;
    store.revoke(acme(), key.record.id()).await.unwrap();
    assert!(!format!("{store:?}").contains(PASSWORD));
    assert_eq!(logged(PASSWORD), [""; 0]);
}

fn port(url: &str) -> String {
    let options: PgConnectOptions = url.parse().unwrap();
    options.get_port().to_string()
}
