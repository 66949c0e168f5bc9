//! Keeps certificates fresh: files are read again when they change, minted ones are replaced before they expire.

use super::certificates::{Source, TlsError};
use super::mds_client_certificate::MdsClientCertificate;
use super::{Certificates, Tls};
use crate::blocking::blocking;
use crate::certs::Authority;
use crate::follow::Follow;
use crate::metrics::Metrics;
use gce_metadata_routes::Reader;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How old minted certificates get. The guest agent asks for new ones every second day.
const RENEW: Duration = Duration::from_secs(Authority::LIFETIME.as_secs() / 2);
/// How often their age is looked at. A clock that stands still while a laptop sleeps would not do for the whole time.
const LOOK: Duration = Duration::from_secs(60);

/// HTTPS that can be served.
pub(in crate::server) struct Opened<F> {
    pub(in crate::server) tls: Tls,
    /// Replaces the certificates for as long as it is polled.
    pub(in crate::server) keep_fresh: F,
    pub(in crate::server) mds_client_certificate: Option<MdsClientCertificate>,
}

/// Loads the certificates for the first time. Names of a VM are those that the reader finds.
pub(in crate::server) fn open(
    certificates: Certificates,
    reader: Reader,
    metrics: Option<Metrics>,
) -> Result<Opened<impl Future<Output = ()> + Send + 'static>, TlsError> {
    open_by(Box::new(SystemTime::now), certificates, reader, metrics)
}

fn open_by(
    clock: Clock,
    certificates: Certificates,
    reader: Reader,
    metrics: Option<Metrics>,
) -> Result<Opened<impl Future<Output = ()> + Send + 'static>, TlsError> {
    let source = Source::new(certificates, reader)?;
    let tls = Tls::new(source.load()?, metrics.clone());
    let mds_client_certificate = source.mds_client_certificate();
    let fresh = Fresh { clock, source: Arc::new(source), tls: tls.clone(), metrics };
    Ok(Opened { tls, keep_fresh: fresh.keep(), mds_client_certificate })
}

/// Tells the time. Tests have one that runs as their own time does.
type Clock = Box<dyn Fn() -> SystemTime + Send + Sync>;

struct Fresh {
    clock: Clock,
    source: Arc<Source>,
    tls: Tls,
    metrics: Option<Metrics>,
}

impl Fresh {
    async fn keep(self) {
        let files = self.source.files();
        if files.is_empty() {
            self.renew().await;
        }
        let mut changes = Follow::new(files);
        // Between their first reading and this moment they may have changed, which nearly never is worth a line.
        changes.changed().await;
        match self.load().await {
            Ok(Ok(config)) => self.tls.replace(config),
            _ => _ = self.reload().await,
        }
        loop {
            changes.changed().await;
            self.reload().await;
        }
    }

    /// A failure is tried again at the next look: there is half a lifetime for that.
    async fn renew(&self) {
        let mut made = (self.clock)();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = (self.clock)();
            let is_old = now.duration_since(made).is_ok_and(|age| age >= RENEW);
            if is_old && self.reload().await {
                made = now;
            }
        }
    }

    async fn load(&self) -> std::io::Result<Result<Arc<tokio_rustls::rustls::ServerConfig>, TlsError>> {
        let source = Arc::clone(&self.source);
        blocking(move || source.load()).await
    }

    /// Says whether there are new ones.
    async fn reload(&self) -> bool {
        let Ok(loaded) = self.load().await else { return false };
        if let Some(metrics) = &self.metrics {
            metrics.tls_reload(loaded.is_ok());
        }
        match loaded {
            Ok(config) => {
                tracing::info!("new certificates are served; connections that are there keep theirs");
                self.tls.replace(config);
                true
            }
            Err(error) => {
                tracing::error!("certificates not reloaded, the old ones stay: {error}");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::MdsFolder;
    use super::*;
    use crate::certs::EndorsementKey;
    use gce_metadata_layers::Connection;
    use gce_metadata_routes::{Metadata, Publisher};
    use rcgen::KeyPair;
    use std::path::Path;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{Instant, sleep};
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    use tokio_rustls::{TlsConnector, server};

    /// Both ends of a connection, made with what is in the folder.
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
            let (server, connection) = accepted.unwrap();
            let common_name = connection.peer.unwrap().common_name.clone();
            Self { client: client.unwrap(), server, common_name }
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

    /// Three and a half days pass in a moment.
    #[tokio::test(start_paused = true)]
    async fn minted_certificates_are_replaced_when_half_their_life_is_over() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("mds");
        let publisher = Publisher::new(Metadata::empty().with_instance("name", "before").tree());
        let ek = KeyPair::generate().unwrap();
        let ek = EndorsementKey::from_pem(ek.public_key_pem().as_bytes()).unwrap();
        let certificates = Certificates::Minted(MdsFolder::new(&folder).endorsement_key(ek));
        let (since, start) = (SystemTime::now(), Instant::now());
        let clock = move || since + start.elapsed();
        let Opened { tls, keep_fresh, mds_client_certificate } =
            open_by(Box::new(clock), certificates, publisher.reader(), None).unwrap();
        tokio::spawn(keep_fresh);
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        let (root, pair, sealed) = (read("root.crt"), read("client.key"), served(&mds_client_certificate));
        let mut old = Connected::to(&tls, &folder).await;
        assert_eq!(old.common_name.as_deref(), Some("before"));
        publisher.set("instance/name", "after").unwrap();

        sleep(RENEW - LOOK).await;
        assert!(read("client.key") == pair && served(&mds_client_certificate) == sealed, "not before its time");

        // Something is in the way: what there is stays in use, and is replaced as soon as it can be.
        let aside = parent.path().join("aside");
        std::fs::rename(&folder, &aside).unwrap();
        std::fs::write(&folder, "").unwrap();
        sleep(10 * LOOK).await;
        assert!(served(&mds_client_certificate) == sealed);
        assert!(Connected::to(&tls, &aside).await.still_works().await);
        std::fs::remove_file(&folder).unwrap();
        sleep(2 * LOOK).await;

        assert_eq!(read("root.crt"), root, "whoever has the root can go on with it");
        assert!(!read("client.key").is_empty() && read("client.key") != pair);
        assert!(served(&mds_client_certificate) != sealed);
        let mut new = Connected::to(&tls, &folder).await;
        assert_eq!(new.common_name.as_deref(), Some("after"));
        assert!(new.still_works().await && old.still_works().await);
        let renewed = read("client.key");
        sleep(RENEW - 20 * LOOK).await;
        assert!(read("client.key") == renewed, "not before its time");
    }
}
