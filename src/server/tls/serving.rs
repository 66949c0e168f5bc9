//! The TLS configuration: the server's certificate and key, and the verifier of client certificates.

use super::tickets::UnusableTickets;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{Error, ServerConfig};

/// The server's certificate chain and its key.
pub(super) type ServerPair = Arc<CertifiedKey>;

/// Checks that the key belongs to the first certificate of the chain.
pub(super) fn server_pair(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerPair, Error> {
    CertifiedKey::from_der(chain, key, &provider()).map(Arc::new)
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A TLS configuration. A reload replaces it as a whole.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) config: Arc<ServerConfig>,
    /// The verifier in `config`. Open connections are verified with it again when it has changed.
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
}

impl Serving {
    pub(super) fn new(pair: ServerPair, verifier: Arc<dyn ClientCertVerifier>) -> Result<Self, Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        // A resumed session skips the verification of the client's certificate, which may be expired or revoked by then. The one
        // ticket resumes nothing.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::new(UnusableTickets);
        config.send_tls13_tickets = 1;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), verifier })
    }
}
