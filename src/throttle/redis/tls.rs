use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_rustls::{TlsConnector, rustls};

use super::RedisLimitsError;
use crate::BoxError;

/// Makes TLS connections to one host. It does not depend on the default provider of the process.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    host: ServerName<'static>,
}

impl Tls {
    /// Trusts the certificates of the operating system.
    pub(super) fn native(host: &str) -> Result<Self, RedisLimitsError> {
        let mut roots = RootCertStore::empty();
        // A certificate that cannot be read is left out. Without any, no server is trusted.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::new(host, roots).map_err(RedisLimitsError::InvalidUrl)
    }

    /// Trusts these certificates alone.
    pub(super) fn with_roots(&self, pem: &[u8]) -> Result<Self, RedisLimitsError> {
        let roots = || -> Result<_, BoxError> {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate?)?;
            }
            if roots.is_empty() { Err("there is none".into()) } else { Ok(roots) }
        };
        let config = roots().and_then(config).map_err(RedisLimitsError::InvalidCertificate)?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), host: self.host.clone() })
    }

    fn new(host: &str, roots: RootCertStore) -> Result<Self, BoxError> {
        let connector = TlsConnector::from(Arc::new(config(roots)?));
        Ok(Self { connector, host: ServerName::try_from(host.to_owned())? })
    }

    pub(super) async fn connect(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.host.clone(), stream).await
    }
}

fn config(roots: RootCertStore) -> Result<ClientConfig, BoxError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error: rustls::Error| error)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
