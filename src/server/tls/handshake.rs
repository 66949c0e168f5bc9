//! The handshake: in its connection's own task, with a time-out, and counted.

use crate::certs::{NoClient, peer_identity};
use crate::metrics::Metrics;
use gce_metadata_layers::Connection;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{CertificateError, Error, ServerConfig};
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Accepts TLS connections with the certificates of the moment.
#[derive(Debug, Clone)]
pub(in crate::server) struct Tls {
    config: Arc<RwLock<Arc<ServerConfig>>>,
    metrics: Option<Metrics>,
}

impl Tls {
    pub(super) fn new(config: Arc<ServerConfig>, metrics: Option<Metrics>) -> Self {
        Self { config: Arc::new(RwLock::new(config)), metrics }
    }

    /// From now on with these certificates. Connections that are there keep theirs.
    pub(super) fn replace(&self, config: Arc<ServerConfig>) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// The connection encrypted, with a client that has shown who it is; one whose certificate says nothing of that has not.
    /// `None` where the handshake failed, which is the client's affair, and told.
    pub(in crate::server) async fn accept<S>(
        &self,
        stream: S,
        connection: Connection,
    ) -> Option<(TlsStream<S>, Connection)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        let outcome = match timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err((reason(&error), error.to_string())),
            Err(_) => Err(("timed_out", format!("not done within {} s", HANDSHAKE.as_secs()))),
        };
        match outcome {
            Ok(stream) => {
                let peer = peer_identity(stream.get_ref().1.peer_certificates().unwrap_or_default());
                self.count(match &peer {
                    Ok(_) => "ok",
                    Err(NoClient::WrongUsage) => "wrong_usage",
                    Err(NoClient::Unreadable) => "bad_certificate",
                });
                let peer = peer.inspect_err(|error| tracing::debug!("a client will be refused: {error}"));
                let connection = connection.encrypted();
                Some((
                    stream,
                    match peer {
                        Ok(peer) => connection.with_peer(peer),
                        Err(_) => connection,
                    },
                ))
            }
            Err((reason, error)) => {
                self.count(reason);
                tracing::debug!(reason, "TLS handshake failed: {error}");
                None
            }
        }
    }

    fn count(&self, outcome: &'static str) {
        if let Some(metrics) = &self.metrics {
            metrics.tls_handshake(outcome);
        }
    }
}

/// The label of a failure.
fn reason(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::NoCertificatesPresented) => "no_certificate",
        Some(Error::InvalidCertificate(error)) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "not_yet_valid",
            // By an authority of the same name with another key, that is.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => "unknown_issuer",
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "wrong_usage",
            CertificateError::Revoked => "revoked",
            _ => "bad_certificate",
        },
        Some(Error::AlertReceived(_)) => "refused_by_client",
        Some(Error::InvalidMessage(_)) => "not_tls",
        Some(_) => "other",
        None => "left",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Certificates, MdsFolder, open};
    use super::*;
    use gce_metadata_routes::{Metadata, Publisher};
    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_get_on_with_it_is_left_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::Minted(MdsFolder::new(folder.path()));
        let (publisher, metrics) = (Publisher::new(Metadata::empty().tree()), Metrics::new());
        let tls = open(certificates, publisher.reader(), Some(metrics.clone())).unwrap().tls;
        // Nothing at all, or the beginning of a record that never ends.
        for said in [&[][..], &[22, 3, 1, 2, 0, 1]] {
            let ((mut near, far), begun) = (duplex(64), Instant::now());
            near.write_all(said).await.unwrap();
            assert!(tls.accept(far, Connection::default()).await.is_none());
            assert_eq!(begun.elapsed(), HANDSHAKE);
        }
        let ((mut near, far), begun) = (duplex(64), Instant::now());
        near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert!(tls.accept(far, Connection::default()).await.is_none());
        assert!(begun.elapsed().is_zero());
        let (near, far) = duplex(64);
        drop(near);
        assert!(tls.accept(far, Connection::default()).await.is_none());
        let rendered = metrics.counted();
        for (outcome, count) in [("timed_out", 2), ("not_tls", 1), ("left", 1)] {
            let line = format!("metadata_tls_handshakes_total{{outcome=\"{outcome}\"}} {count}\n");
            assert!(rendered.contains(&line), "{outcome}: {rendered}");
        }
    }
}
