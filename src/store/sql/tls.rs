//! Whether a connection to Postgres can be as secure as its options ask for. The driver would connect without TLS, or panic.

use std::net::IpAddr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::error::SqlError;

pub(super) fn check(options: &PgConnectOptions) -> Result<(), SqlError> {
    if AVAILABLE { check_verifier(options, has_default_provider()) } else { check_without(options) }
}

const AVAILABLE: bool = cfg!(any(feature = "tls-ring", feature = "tls-aws-lc-rs"));

/// Accepts what needs no TLS.
fn check_without(options: &PgConnectOptions) -> Result<(), SqlError> {
    match options.get_ssl_mode() {
        PgSslMode::Disable => Ok(()),
        PgSslMode::Allow | PgSslMode::Prefer if is_local(options) => Ok(()),
        _ => Err(SqlError::NoTls),
    }
}

/// For `verify-ca`, the driver takes the default provider of the process. If there is none, rustls makes its only one the
/// default, or panics where the program has two.
fn check_verifier(options: &PgConnectOptions, default_provider: bool) -> Result<(), SqlError> {
    match options.get_ssl_mode() {
        PgSslMode::VerifyCa if !default_provider => Err(SqlError::NoDefaultTlsProvider),
        _ => Ok(()),
    }
}

#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc-rs"))]
fn has_default_provider() -> bool {
    rustls::crypto::CryptoProvider::get_default().is_some()
}

#[cfg(not(any(feature = "tls-ring", feature = "tls-aws-lc-rs")))]
const fn has_default_provider() -> bool {
    false
}

/// Whether the connection does not leave this machine.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    // A URL has an IPv6 address in brackets.
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: [&str; 9] = [
        "postgres://app@localhost/app",
        "postgres://app@LOCALHOST:6432/app",
        "postgres://app@127.0.0.1/app",
        "postgres://app@127.8.9.10/app",
        "postgres://app@[::1]/app",
        "postgres://app@[::ffff:127.0.0.1]/app",
        "postgres://app@db.internal/app?hostaddr=127.0.0.1",
        "postgres://app@db.internal/app?host=/run/postgresql",
        "postgres://app@%2Frun%2Fpostgresql/app",
    ];

    const REMOTE: [&str; 9] = [
        "postgres://app@db.internal/app",
        "postgres://app@localhost.example.com/app",
        "postgres://app@127.0.0.1.example.com/app",
        "postgres://app@192.0.2.1/app",
        "postgres://app@0.0.0.0/app",
        "postgres://app@[::]/app",
        "postgres://app@[::ffff:192.0.2.1]/app",
        "postgres://app@localhost/app?host=db.internal",
        "postgres://app@127.0.0.1/app?hostaddr=192.0.2.1",
    ];

    const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

    fn options(url: &str, mode: &str) -> PgConnectOptions {
        let options: PgConnectOptions = url.parse().unwrap();
        options.ssl_mode(mode.parse().unwrap())
    }

    /// Cases: 169.
    #[test]
    fn connection_without_tls_stays_on_this_machine() {
        for mode in MODES {
            for (urls, accepted) in
                [(LOCAL, ["disable", "allow", "prefer"].contains(&mode)), (REMOTE, mode == "disable")]
            {
                for url in urls {
                    let checked = check_without(&options(url, mode));
                    assert_eq!(checked.is_ok(), accepted, "{url} {mode}");
                    assert!(matches!(checked, Ok(()) | Err(SqlError::NoTls)), "{url} {mode}");
                }
            }
        }
    }

    /// Cases: 169.
    #[test]
    fn verify_ca_needs_a_default_provider() {
        for mode in MODES {
            let options = options(REMOTE[0], mode);
            let checked = check_verifier(&options, false);
            assert_eq!(matches!(checked, Err(SqlError::NoDefaultTlsProvider)), mode == "verify-ca", "{mode}");
            assert!(checked.is_ok() || mode == "verify-ca", "{mode}");
            assert!(check_verifier(&options, true).is_ok(), "{mode}");
        }
    }
}
