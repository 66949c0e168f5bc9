//! Renews minted certificates before they expire.

use super::Tls;
use super::clock::Clock;
use super::mint::Mint;
use crate::blocking::retrying;
use crate::certs::Authority;
use crate::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;

/// The age at which minted certificates are renewed. The guest agent fetches them every second day.
const RENEW: Duration = Duration::from_secs(Authority::LIFETIME.as_secs() / 2);
/// How often their age is checked. One long sleep would not do: tokio's clock stops while a machine is suspended.
const CHECK: Duration = Duration::from_secs(60);

/// Minted certificates, and the TLS acceptor that uses them.
pub(super) struct Renew {
    pub(super) mint: Arc<Mint>,
    pub(super) tls: Tls,
    pub(super) clock: Clock,
    pub(super) metrics: Option<Metrics>,
}

impl Renew {
    /// Renews until it is dropped. A failure is retried at the next check: half a lifetime is left for that.
    pub(super) async fn run(self) {
        let mut made = self.clock.now();
        loop {
            tokio::time::sleep(CHECK).await;
            let now = self.clock.now();
            if self.clock.has_passed(RENEW, made) && self.renew().await {
                made = now;
            }
        }
    }

    /// Issues new certificates. Returns whether they are in use.
    async fn renew(&self) -> bool {
        let mint = Arc::clone(&self.mint);
        let made = retrying(move || mint.make()).await;
        if let Some(metrics) = &self.metrics {
            metrics.tls_reload(made.is_ok());
        }
        match made {
            Ok(serving) => {
                tracing::info!("certificates renewed");
                self.tls.replace(serving);
                true
            }
            Err(error) => {
                tracing::error!("certificates not renewed, keeping the previous ones: {error}");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::Clock;
    use super::super::follow::{Opened, open_by};
    use super::super::mds_client_certificate::MdsClientCertificate;
    use super::super::{Certificates, MdsFolder};
    use super::*;
    use gce_metadata_layers::Connection;
    use gce_metadata_routes::{Metadata, Publisher};
    use gce_metadata_signer::EndorsementKey;
    use rcgen::KeyPair;
    use std::path::Path;
    use std::time::SystemTime;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::sleep;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    use tokio_rustls::{TlsConnector, server};

    /// Both ends of a connection, whose client uses the folder's certificates.
    struct Connected {
        client: TlsStream<DuplexStream>,
        server: server::TlsStream<DuplexStream>,
        common_name: Option<String>,
    }

    impl Connected {
        async fn to(tls: &Tls, folder: &Path) -> Self {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(folder.join("root.crt")).unwrap()).unwrap();
            let pair = folder.join("client.key");
            let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(&pair).unwrap()],
                    PrivateKeyDer::from_pem_file(&pair).unwrap(),
                )
                .unwrap();
            let (near, far) = duplex(16 * 1024);
            let connector = TlsConnector::from(Arc::new(config));
            let client = connector.connect("metadata.google.internal".try_into().unwrap(), near);
            let (client, accepted) = tokio::join!(client, tls.accept(far, Connection::default()));
            let accepted = accepted.unwrap();
            let common_name = accepted.connection.peer.unwrap().common_name.clone();
            Self { client: client.unwrap(), server: accepted.stream, common_name }
        }

        async fn still_works(&mut self) -> bool {
            let mut heard = [0; 5];
            let (said, read) = tokio::join!(self.client.write_all(b"hello"), self.server.read_exact(&mut heard));
            said.is_ok() && read.is_ok() && heard == *b"hello"
        }
    }

    fn served(opened: &Option<MdsClientCertificate>) -> String {
        opened.as_ref().unwrap().json().to_string()
    }

    /// Three and a half days pass on the paused clock.
    #[tokio::test(start_paused = true)]
    async fn minted_certificates_are_renewed_after_half_their_lifetime() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("mds");
        let publisher = Publisher::new(Metadata::empty().with_instance("name", "before").tree());
        let ek = KeyPair::generate().unwrap();
        let ek = EndorsementKey::from_pem(ek.public_key_pem().as_bytes()).unwrap();
        let certificates = Certificates::Minted(MdsFolder::new(&folder).endorsement_key(ek));
        let clock = Clock::starting_at(SystemTime::now());
        let Opened { tls, keep_fresh, mds_client_certificate } =
            open_by(clock, certificates, publisher.reader(), None).unwrap();
        tokio::spawn(keep_fresh);
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        let (root, pair, sealed) = (read("root.crt"), read("client.key"), served(&mds_client_certificate));
        let mut old = Connected::to(&tls, &folder).await;
        assert_eq!(old.common_name.as_deref(), Some("before"));
        publisher.set("instance/name", "after").unwrap();

        sleep(RENEW - CHECK).await;
        assert!(read("client.key") == pair && served(&mds_client_certificate) == sealed, "not renewed before its time");

        // A file in place of the folder: the certificates stay in use, and are renewed when the folder can be created.
        let aside = parent.path().join("aside");
        std::fs::rename(&folder, &aside).unwrap();
        std::fs::write(&folder, "").unwrap();
        sleep(10 * CHECK).await;
        assert!(served(&mds_client_certificate) == sealed);
        assert!(Connected::to(&tls, &aside).await.still_works().await);
        std::fs::remove_file(&folder).unwrap();
        sleep(2 * CHECK).await;

        assert_eq!(read("root.crt"), root, "the root stays the same");
        assert!(!read("client.key").is_empty() && read("client.key") != pair);
        assert!(served(&mds_client_certificate) != sealed);
        let mut new = Connected::to(&tls, &folder).await;
        assert_eq!(new.common_name.as_deref(), Some("after"));
        assert!(new.still_works().await && old.still_works().await);
        let renewed = read("client.key");
        sleep(RENEW - 20 * CHECK).await;
        assert!(read("client.key") == renewed, "not renewed before its time");
    }
}
