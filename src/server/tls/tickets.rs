//! Session tickets that resume nothing.
//!
//! A resumed session skips the verification of the client's certificate, which may be expired or revoked by then, so the server
//! resumes none. It sends one ticket all the same: the ticket answers the last flight of a TLS 1.3 handshake. A client without
//! `TCP_NODELAY` keeps its request back until that flight is acknowledged, and without an answer the acknowledgement is delayed
//! by 40 ms.

use tokio_rustls::rustls::server::ProducesTickets;

/// Makes tickets without content, with the lifetime 0: clients must discard them at once (RFC 8446, section 4.6.1).
#[derive(Debug)]
pub(super) struct UnusableTickets;

impl ProducesTickets for UnusableTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        0
    }

    /// A ticket can't be empty. It contains nothing of the session.
    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        Some(vec![0])
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Certificates, MdsFolder, Tls, open};
    use super::*;
    use gce_metadata_layers::Connection;
    use gce_metadata_routes::{Metadata, Publisher};
    use std::io::{self, IoSlice};
    use std::path::Path;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, ready};
    use std::time::Duration;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
    use tokio::time::timeout;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::rustls::version::{TLS12, TLS13};
    use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion, crypto};

    /// The sending side of a client without `TCP_NODELAY`, with a peer that delays acknowledgements for ever: a write is kept back
    /// until the bytes before it are answered.
    struct Nagle {
        stream: DuplexStream,
        is_unanswered: bool,
        kept_back: Vec<u8>,
        round_trips: usize,
    }

    impl Nagle {
        fn new(stream: DuplexStream) -> Self {
            Self { stream, is_unanswered: false, kept_back: Vec::new(), round_trips: 0 }
        }

        fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            if !self.is_unanswered && !self.kept_back.is_empty() {
                let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.kept_back))?;
                assert_eq!(sent, self.kept_back.len(), "the pipe has room for a flight");
                self.kept_back.clear();
                self.is_unanswered = true;
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Nagle {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            self.round_trips += usize::from(self.is_unanswered);
            self.is_unanswered = false;
            self.poll_send(cx)
        }
    }

    impl AsyncWrite for Nagle {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            self.kept_back.extend_from_slice(&bytes);
            self.poll_send(cx).map_ok(|()| bytes.len())
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_shutdown(cx)
        }
    }

    fn tls(folder: &Path) -> Tls {
        let certificates = Certificates::Minted(MdsFolder::new(folder));
        open(certificates, Publisher::new(Metadata::empty().tree()).reader(), None).unwrap().tls
    }

    fn client(folder: &Path, version: &'static SupportedProtocolVersion) -> TlsConnector {
        let pem = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem("root.crt")).unwrap()).unwrap();
        let chain = CertificateDer::pem_slice_iter(&pem("client.key")).map(Result::unwrap).collect();
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&pem("client.key")).unwrap());
        Arc::new(config.unwrap()).into()
    }

    /// A connection after one request and its answer.
    async fn exchange(tls: &Tls, client: &TlsConnector) -> TlsStream<Nagle> {
        let (near, far) = duplex(64 * 1024);
        let server = async {
            let mut stream = tls.accept(far, Connection::default()).await.unwrap().stream;
            let mut request = [0; 4];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(b"pong").await.unwrap();
            stream.flush().await.unwrap();
            stream
        };
        let client = async {
            let name = "metadata.google.internal".try_into().unwrap();
            let mut stream = client.connect(name, Nagle::new(near)).await.unwrap();
            stream.write_all(b"ping").await.unwrap();
            stream.read_exact(&mut [0; 4]).await.unwrap();
            stream
        };
        let exchanged = timeout(Duration::from_secs(60), async { tokio::join!(server, client) }).await;
        exchanged.expect("the request is kept back for ever").1
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_flight_of_a_handshake_is_answered_before_the_request() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls(folder.path());
        // TLS 1.3: client hello, the client's last flight, request. TLS 1.2 has the same number, because the server's last flight
        // answers the client's.
        for version in [&TLS12, &TLS13] {
            let stream = exchange(&tls, &client(folder.path(), version)).await;
            assert_eq!(stream.get_ref().0.round_trips, 3, "{version:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_session_is_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls(folder.path());
        for version in [&TLS12, &TLS13] {
            let client = client(folder.path(), version);
            for _ in 0..3 {
                let stream = exchange(&tls, &client).await;
                assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full), "{version:?}");
            }
        }
        let ticket = UnusableTickets.encrypt(b"session").unwrap();
        assert_eq!((UnusableTickets.decrypt(&ticket), UnusableTickets.lifetime()), (None, 0));
    }
}
