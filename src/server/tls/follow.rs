//! Reloads certificate files when they change, and renews minted certificates before they expire.

use super::clock::Clock;
use super::expiry;
use super::files::{Files, Loaded, Reloaded};
use super::mds_client_certificate::MdsClientCertificate;
use super::mint::Mint;
use super::renew::Renew;
use super::tls_error::TlsError;
use super::{Certificates, Tls};
use crate::blocking::retrying;
use crate::metrics::Metrics;
use gce_metadata_routes::Reader;
use gce_metadata_tokens::follow::Follow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::interval;

/// The interval of warnings about certificates that expire soon.
const WARN: Duration = Duration::from_secs(24 * 3600);
/// How often the time of day is checked. One long sleep would not do: tokio's clock stops while a machine is suspended.
const CHECK: Duration = Duration::from_secs(60);

/// HTTPS with loaded certificates.
pub(in crate::server) struct Opened<F> {
    pub(in crate::server) tls: Tls,
    /// Reloads or renews the certificates. Runs until it is dropped.
    pub(in crate::server) keep_fresh: F,
    pub(in crate::server) mds_client_certificate: Option<MdsClientCertificate>,
}

/// Loads or makes the certificates for the first time. Minted ones are issued to the VM of the reader's metadata.
pub(in crate::server) fn open(
    certificates: Certificates,
    reader: Reader,
    metrics: Option<Metrics>,
) -> Result<Opened<impl Future<Output = ()> + Send + 'static>, TlsError> {
    open_by(Clock::system(), certificates, reader, metrics)
}

pub(super) fn open_by(
    clock: Clock,
    certificates: Certificates,
    reader: Reader,
    metrics: Option<Metrics>,
) -> Result<Opened<impl Future<Output = ()> + Send + 'static>, TlsError> {
    let (tls, upkeep, mds_client_certificate) = match certificates {
        Certificates::Files { certificate, key, client_roots, revoked } => {
            let files = Arc::new(Files { certificate, key, client_roots, revoked });
            let loaded = Arc::new(files.load()?);
            let tls = Tls::new(Arc::clone(&loaded.serving), clock.clone(), metrics.clone());
            let upkeep = FollowFiles { files, loaded, tls: tls.clone(), clock, metrics, warned: None };
            (tls, Upkeep::Files(upkeep), None)
        }
        Certificates::Minted(folder) => {
            // The authority is made once: clients keep its root while the server runs.
            let mint = Arc::new(Mint::new(folder, reader)?);
            let tls = Tls::new(mint.make()?, clock.clone(), metrics.clone());
            let sealed = mint.sealed.clone();
            (tls.clone(), Upkeep::Minted(Renew { mint, tls, clock, metrics }), sealed)
        }
    };
    Ok(Opened { tls, keep_fresh: upkeep.run(), mds_client_certificate })
}

enum Upkeep {
    Files(FollowFiles),
    Minted(Renew),
}

impl Upkeep {
    async fn run(self) {
        match self {
            Self::Files(files) => files.run().await,
            Self::Minted(minted) => minted.run().await,
        }
    }
}

/// Certificates in files, and the TLS acceptor that uses them.
struct FollowFiles {
    files: Arc<Files>,
    loaded: Arc<Loaded>,
    tls: Tls,
    clock: Clock,
    metrics: Option<Metrics>,
    /// When expiry was last checked.
    warned: Option<SystemTime>,
}

impl FollowFiles {
    async fn run(mut self) {
        let mut changes = Follow::new(self.files.paths());
        // The first tick is immediate.
        let mut checks = interval(CHECK);
        loop {
            tokio::select! {
                () = changes.changed() => self.reload().await,
                _ = checks.tick() => self.warn_daily(),
            }
        }
    }

    /// Reloads all files. A file whose content is the same is not logged.
    async fn reload(&mut self) {
        let (files, before) = (Arc::clone(&self.files), Arc::clone(&self.loaded));
        let Reloaded { loaded, changed, errors } = retrying(move || files.reload(&before)).await;
        for error in &errors {
            self.count(false);
            tracing::error!("not reloaded, the previous content stays in use: {error}");
        }
        if changed.is_empty() {
            return;
        }
        self.loaded = Arc::new(loaded);
        self.tls.replace(Arc::clone(&self.loaded.serving));
        for path in changed {
            self.count(true);
            tracing::info!("{}: reloaded", path.display());
        }
        self.warn();
    }

    fn warn_daily(&mut self) {
        if self.warned.is_none_or(|warned| self.clock.has_passed(WARN, warned)) {
            self.warn();
        }
    }

    fn warn(&mut self) {
        let now = self.clock.now();
        self.warned = Some(now);
        for warning in expiry::warnings(&self.files, &self.loaded, now) {
            tracing::warn!("{warning}");
        }
    }

    fn count(&self, good: bool) {
        if let Some(metrics) = &self.metrics {
            metrics.tls_reload(good);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captured_log::CapturedLog;
    use crate::certs::Authority;
    use gce_metadata_routes::{Metadata, Publisher};
    use std::sync::Mutex;
    use tokio::time::sleep;

    /// Twenty days pass on the paused clock. The server's certificate is valid for 16 more days, the root much longer.
    #[tokio::test(start_paused = true)]
    async fn an_expiring_certificate_is_warned_of_at_the_start_and_daily() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new().unwrap().lifetime(30 * WARN);
        let pair = authority.server().unwrap();
        let write = |name: &str, pem: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, pem).unwrap();
            path
        };
        let certificates = || Certificates::Files {
            certificate: write("server.crt", &pair.certificate),
            key: write("server.key", &pair.key),
            client_roots: write("root.crt", authority.certificate()),
            revoked: None,
        };
        let publisher = Publisher::new(Metadata::empty().tree());
        let log = CapturedLog::start();
        let warned = || log.lines().into_iter().filter(|line| line.contains("WARN")).collect::<Vec<_>>();
        let now = Arc::new(Mutex::new(SystemTime::now() + 14 * WARN));
        let start = || {
            let now = Arc::clone(&now);
            let clock = Clock::new(move || *now.lock().unwrap());
            tokio::spawn(open_by(clock, certificates(), publisher.reader(), None).unwrap().keep_fresh)
        };
        let running = start();
        sleep(2 * CHECK).await;
        assert!(warned().is_empty(), "{:?}", warned());
        for day in 1..=20_usize {
            *now.lock().unwrap() += WARN;
            sleep(2 * CHECK).await;
            let lines = warned();
            // From 14 days before it expires.
            assert_eq!(lines.len(), day.saturating_sub(1), "{lines:?}");
        }
        let lines = warned();
        assert!(lines.iter().all(|line| line.contains("server.crt: ") && line.contains("certs renew")), "{lines:?}");
        assert!(lines[0].contains(" expires in 13 days, on ") && lines[18].contains(" expired on "), "{lines:?}");

        running.abort();
        start();
        sleep(CHECK / 2).await;
        assert_eq!(warned().len(), 20, "at the start too");
    }
}
