//! Keeps certificates fresh: files are read again when they change, minted ones are replaced before they expire.

use super::credentials::{Source, TlsError};
use super::{Certificates, Tls};
use crate::certs::Authority;
use crate::follow::Follow;
use crate::metrics::Metrics;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::spawn_blocking;

/// How old minted certificates get. The guest agent asks for new ones every second day.
const RENEW: Duration = Duration::from_secs(Authority::LIFETIME.as_secs() / 2);
/// How often their age is looked at. A clock that stands still while a laptop sleeps would not do for the whole time.
const LOOK: Duration = Duration::from_secs(60);

/// Loads the certificates for the first time. The future replaces them for as long as it is polled.
pub(in crate::server) fn open(
    certificates: Certificates,
    metrics: Option<Metrics>,
) -> Result<(Tls, impl Future<Output = ()> + Send + 'static), TlsError> {
    let source = Source::new(certificates)?;
    let tls = Tls::new(source.load()?, metrics.clone());
    let fresh = Fresh { source: Arc::new(source), tls: tls.clone(), metrics };
    Ok((tls, fresh.keep()))
}

struct Fresh {
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
        let mut made = SystemTime::now();
        loop {
            tokio::time::sleep(LOOK).await;
            let is_old = made.elapsed().is_ok_and(|age| age >= RENEW);
            if is_old && self.reload().await {
                made = SystemTime::now();
            }
        }
    }

    async fn load(&self) -> Result<Result<Arc<tokio_rustls::rustls::ServerConfig>, TlsError>, tokio::task::JoinError> {
        let source = Arc::clone(&self.source);
        spawn_blocking(move || source.load()).await
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
