//! The TLS handshake: it runs in its connection's task, with a timeout, and is counted. A failure is logged.

use super::clock::Clock;
use super::failure_log::FailureLog;
use super::hello::{PlainHttp, read_hello};
use super::peer::TlsPeer;
use super::serving::Serving;
use crate::certs::{PeerIdentityError, peer_identity};
use crate::metrics::Metrics;
use gce_metadata_layers::Connection;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::rustls::{CertificateError, Error};
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The reason of a connection that was closed during its handshake.
const LEFT: &str = "left";

/// Accepts TLS connections with the current certificates. Clones share them.
#[derive(Clone)]
pub(in crate::server) struct Tls {
    serving: watch::Sender<Arc<Serving>>,
    clock: Clock,
    failed: Arc<FailureLog>,
    distrusted: Arc<FailureLog>,
    metrics: Option<Metrics>,
}

/// A connection after its handshake.
pub(in crate::server) struct Accepted<S> {
    pub(in crate::server) stream: TlsStream<S>,
    /// With the client's identity, unless its certificate names no client.
    pub(in crate::server) connection: Connection,
    pub(in crate::server) peer: TlsPeer,
}

/// A failed handshake.
struct Failure {
    reason: &'static str,
    error: String,
}

impl Tls {
    pub(super) fn new(serving: Arc<Serving>, clock: Clock, metrics: Option<Metrics>) -> Self {
        Self {
            serving: watch::Sender::new(serving),
            clock,
            failed: Arc::new(FailureLog::new("TLS handshake failed")),
            distrusted: Arc::new(FailureLog::new("a client is no longer trusted, its connection is closed")),
            metrics,
        }
    }

    /// Replaces the certificates. Open connections keep the server's certificate, and their clients' are verified again.
    pub(super) fn replace(&self, serving: Arc<Serving>) {
        self.serving.send_replace(serving);
    }

    /// Performs the handshake, which verifies the client's certificate. `None` if it failed, which is counted and logged.
    pub(in crate::server) async fn accept<S>(&self, stream: S, connection: Connection) -> Option<Accepted<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let remote = connection.remote;
        let mut said_hello = false;
        let outcome = match timeout(HANDSHAKE, self.handshake(stream, &mut said_hello)).await {
            Ok(outcome) => outcome.map_err(|error| Failure { reason: reason(&error), error: error.to_string() }),
            Err(_) => Err(Failure { reason: "timed_out", error: format!("not done within {} s", HANDSHAKE.as_secs()) }),
        };
        let (stream, changes, serving) = match outcome {
            Ok(accepted) => accepted,
            Err(failure) => {
                self.fail(&failure, remote, said_hello);
                return None;
            }
        };
        let identity = peer_identity(stream.get_ref().1.peer_certificates().unwrap_or_default());
        let connection = match identity {
            Ok(identity) => {
                self.count("ok");
                connection.encrypted().with_peer(identity)
            }
            Err(error) => {
                let reason = match error {
                    PeerIdentityError::WrongUsage => "wrong_usage",
                    PeerIdentityError::Unreadable => "bad_certificate",
                };
                let failure = Failure { reason, error: format!("{error}; every request is answered 403") };
                self.fail(&failure, remote, said_hello);
                connection.encrypted()
            }
        };
        let verifier = Arc::clone(&serving.verifier);
        let (clock, log) = (self.clock.clone(), Arc::clone(&self.distrusted));
        let peer = TlsPeer::new(connection.peer.clone(), remote, changes, verifier, clock, log);
        Some(Accepted { stream, connection, peer })
    }

    async fn handshake<S>(
        &self,
        stream: S,
        said_hello: &mut bool,
    ) -> io::Result<(TlsStream<S>, watch::Receiver<Arc<Serving>>, Arc<Serving>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let hello = read_hello(stream).await?;
        *said_hello = true;
        let mut changes = self.serving.subscribe();
        let serving = Arc::clone(&changes.borrow_and_update());
        let stream = hello.into_stream(Arc::clone(&serving.config)).await?;
        Ok((stream, changes, serving))
    }

    /// Counts and logs a failure. A connection that is closed before the client hello is logged at debug level, because port
    /// scanners and health checks of load balancers cause it.
    fn fail(&self, failure: &Failure, remote: Option<SocketAddr>, said_hello: bool) {
        let Failure { reason, error } = failure;
        self.count(reason);
        match *reason {
            LEFT if !said_hello => tracing::debug!("closed before the TLS handshake: {error}"),
            _ => self.failed.warn(reason, remote, error),
        }
    }

    fn count(&self, outcome: &'static str) {
        if let Some(metrics) = &self.metrics {
            metrics.tls_handshake(outcome);
        }
    }
}

/// The metrics label of a failed handshake.
fn reason(error: &io::Error) -> &'static str {
    match error.get_ref() {
        Some(inner) if inner.is::<PlainHttp>() => "not_tls",
        Some(inner) => inner.downcast_ref().map_or(LEFT, certificate_reason),
        None => LEFT,
    }
}

/// The metrics label of an error of rustls.
pub(super) fn certificate_reason(error: &Error) -> &'static str {
    match error {
        Error::NoCertificatesPresented => "no_certificate",
        Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "not_yet_valid",
            // The signature is invalid if another authority has the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => "unknown_issuer",
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "wrong_usage",
            CertificateError::Revoked => "revoked",
            _ => "bad_certificate",
        },
        // For example, another authority of the same name has signed the list.
        Error::InvalidCertRevocationList(_) => "bad_crl",
        Error::AlertReceived(_) => "refused_by_client",
        Error::InvalidMessage(_) => "not_tls",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Certificates, MdsFolder, open};
    use super::*;
    use crate::captured_log::CapturedLog;
    use gce_metadata_routes::{Metadata, Publisher};
    use std::path::Path;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::Instant;

    fn tls(folder: &Path, metrics: &Metrics) -> Tls {
        let certificates = Certificates::Minted(MdsFolder::new(folder));
        let publisher = Publisher::new(Metadata::empty().tree());
        open(certificates, publisher.reader(), Some(metrics.clone())).unwrap().tls
    }

    /// A connection whose client sends these bytes and waits.
    async fn sending(bytes: &[u8]) -> (DuplexStream, DuplexStream) {
        let (mut near, far) = duplex(256);
        near.write_all(bytes).await.unwrap();
        (near, far)
    }

    const PARTIAL_RECORD: &[u8] = &[22, 3, 1, 2, 0, 1];

    #[tokio::test(start_paused = true)]
    async fn a_handshake_times_out() {
        let (folder, metrics) = (tempfile::tempdir().unwrap(), Metrics::new());
        let tls = tls(folder.path(), &metrics);
        for bytes in [&[][..], PARTIAL_RECORD] {
            let ((_near, far), begun) = (sending(bytes).await, Instant::now());
            assert!(tls.accept(far, Connection::default()).await.is_none());
            assert_eq!(begun.elapsed(), HANDSHAKE);
        }
        let ((_near, far), begun) = (sending(b"GET / HTTP/1.1\r\n\r\n").await, Instant::now());
        assert!(tls.accept(far, Connection::default()).await.is_none());
        assert!(begun.elapsed().is_zero());
        drop(_near);
        let (near, far) = duplex(64);
        drop(near);
        assert!(tls.accept(far, Connection::default()).await.is_none());
        let rendered = metrics.render_recorded();
        for (outcome, count) in [("timed_out", 2), ("not_tls", 1), ("left", 1)] {
            let line = format!("metadata_tls_handshakes_total{{outcome=\"{outcome}\"}} {count}\n");
            assert!(rendered.contains(&line), "{outcome}: {rendered}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_handshake_is_a_warning_with_the_reason_and_the_clients_address() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls(folder.path(), &Metrics::new());
        let log = CapturedLog::start();
        let connection = || Connection::from_remote(([192, 0, 2, 1], 5555).into());
        for _ in 0..3 {
            let (_near, far) = sending(b"GET / HTTP/1.1\r\n\r\n").await;
            assert!(tls.accept(far, connection()).await.is_none());
        }
        let lines = log.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        for part in ["WARN", "TLS handshake failed: ", "reason=\"not_tls\"", "remote=192.0.2.1:5555"] {
            assert!(lines[0].contains(part), "{part}: {lines:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_closed_before_the_handshake_is_not_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls(folder.path(), &Metrics::new());
        let log = CapturedLog::start();
        for bytes in [&[][..], PARTIAL_RECORD] {
            let (near, far) = sending(bytes).await;
            drop(near);
            assert!(tls.accept(far, Connection::default()).await.is_none());
        }
        assert!(log.lines().iter().all(|line| line.contains("DEBUG")), "{:?}", log.lines());
        assert_eq!(log.lines().len(), 2);
    }
}
