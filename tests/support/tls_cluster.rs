//! A Postgres server with a certificate of its own.

use std::path::PathBuf;
use std::process::Command;

use super::cluster::{Cluster, ServerDir};

/// Starts a server whose certificate names `localhost`. Returns the certificate of the authority that signed it too.
pub(crate) fn with_tls() -> (Cluster, PathBuf, ServerDir) {
    let dir = ServerDir::new();
    let [ca, ca_key, server, server_key] =
        ["ca.pem", "ca.key", "server.pem", "server.key"].map(|name| dir.write(name, "").display().to_string());
    let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let openssl = |arguments: &[&str]| {
        let openssl = Command::new("openssl").args(new).args(arguments).output().unwrap();
        assert!(openssl.status.success(), "{}", String::from_utf8_lossy(&openssl.stderr));
    };
    openssl(&["-subj", "/CN=an authority", "-keyout", &ca_key, "-out", &ca]);
    openssl(&[
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-keyout",
        &server_key,
        "-out",
        &server,
    ]);
    let settings = [format!("ssl_cert_file={server}"), format!("ssl_key_file={server_key}")];
    let cluster = Cluster::start(&["ssl=on", &settings[0], &settings[1]]);
    (cluster, ca.into(), dir)
}
