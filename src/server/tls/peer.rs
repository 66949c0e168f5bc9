//! Checks whether the client of an open connection is still trusted.
//!
//! A handshake verifies a certificate once, and a connection may stay open for days. Each request checks whether the verifier was
//! replaced; only then the certificate is verified again, once per verifier.

use super::clock::Clock;
use super::failure_log::FailureLog;
use super::handshake::certificate_reason;
use super::serving::Serving;
use crate::certs::not_after;
use gce_metadata_layers::PeerIdentity;
use std::fmt;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;

/// How often a waiting request checks the time of day. One long sleep would not do: tokio's clock stops while a machine is
/// suspended.
const CHECK: Duration = Duration::from_secs(60);

/// The client of a connection.
pub(in crate::server) trait Peer: Clone + Send + Sync + 'static {
    /// Checks the client at the start of a request. A client that has lost its trust never regains it.
    fn is_trusted(&self) -> bool;

    /// Completes when the client is no longer trusted.
    fn distrusted(&self) -> impl Future<Output = ()> + Send;
}

/// The client of a connection without TLS. It has no certificate that could be revoked.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct PlainPeer;

impl Peer for PlainPeer {
    fn is_trusted(&self) -> bool {
        true
    }

    fn distrusted(&self) -> impl Future<Output = ()> + Send {
        pending()
    }
}

/// The client of a connection with TLS; `None` if its certificate names no client, which is always refused.
#[derive(Clone)]
pub(in crate::server) struct TlsPeer(Option<Arc<Verified>>);

struct Verified {
    identity: Arc<PeerIdentity>,
    remote: Option<SocketAddr>,
    not_after: SystemTime,
    clock: Clock,
    log: Arc<FailureLog>,
    state: Mutex<State>,
}

struct State {
    serving: watch::Receiver<Arc<Serving>>,
    /// The verifier that the certificate was last verified with.
    verifier: Arc<dyn ClientCertVerifier>,
    is_trusted: bool,
}

impl TlsPeer {
    /// A client that the handshake has verified with `verifier`, which belongs to the last value that
    /// `serving` received.
    pub(super) fn new(
        identity: Option<Arc<PeerIdentity>>,
        remote: Option<SocketAddr>,
        serving: watch::Receiver<Arc<Serving>>,
        verifier: Arc<dyn ClientCertVerifier>,
        clock: Clock,
        log: Arc<FailureLog>,
    ) -> Self {
        let Some(identity) = identity else { return Self(None) };
        let not_after = identity.chain.first().and_then(|der| not_after(der)).unwrap_or(SystemTime::UNIX_EPOCH);
        let state = Mutex::new(State { serving, verifier, is_trusted: true });
        Self(Some(Arc::new(Verified { identity, remote, not_after, clock, log, state })))
    }
}

impl Peer for TlsPeer {
    fn is_trusted(&self) -> bool {
        self.0.as_ref().is_none_or(|verified| verified.is_trusted())
    }

    async fn distrusted(&self) {
        let Some(verified) = &self.0 else { return pending().await };
        let mut serving = verified.state.lock().unwrap_or_else(PoisonError::into_inner).serving.clone();
        while verified.is_trusted() {
            // One second after `not_after`, which is still valid.
            let validity = verified.not_after.duration_since(verified.clock.now()).unwrap_or_default();
            let check = CHECK.min(validity + Duration::from_secs(1));
            if let Ok(Err(_)) = timeout(check, serving.changed()).await {
                // The sender is dropped with the server: nothing will change.
                return pending().await;
            }
        }
    }
}

impl Verified {
    fn is_trusted(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.is_trusted {
            return false;
        }
        let outcome = self.check(&mut state);
        if let Err((reason, error)) = outcome {
            state.is_trusted = false;
            let client = &self.identity.subject;
            self.log.warn(reason, self.remote, format_args!("{error} (client {client:?})"));
        }
        state.is_trusted
    }

    fn check(&self, state: &mut State) -> Result<(), (&'static str, String)> {
        let now = self.clock.now();
        if now > self.not_after {
            return Err(("expired", "the certificate has expired".to_owned()));
        }
        if !state.serving.has_changed().unwrap_or(false) {
            return Ok(());
        }
        let verifier = Arc::clone(&state.serving.borrow_and_update().verifier);
        if Arc::ptr_eq(&verifier, &state.verifier) {
            return Ok(());
        }
        let mut chain = self.identity.chain.iter().map(|der| CertificateDer::from(&der[..]));
        let own = chain.next().unwrap_or_else(|| CertificateDer::from(&[][..]));
        let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        verifier
            .verify_client_cert(&own, &chain.collect::<Vec<_>>(), now)
            .map_err(|error| (certificate_reason(&error), error.to_string()))?;
        state.verifier = verifier;
        Ok(())
    }
}

impl fmt::Debug for TlsPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPeer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::client_trust::ClientRoots;
    use super::super::serving::server_pair;
    use super::*;
    use crate::captured_log::CapturedLog;
    use crate::certs::{Authority, Minted, peer_identity};
    use tokio::time::{Instant, sleep};
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    const WEEK: Duration = Authority::LIFETIME;

    fn der(minted: &Minted) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(minted.certificate.as_bytes()).unwrap()
    }

    /// A TLS configuration for the clients of this authority.
    fn serving(authority: &Authority) -> Arc<Serving> {
        let server = authority.server().unwrap();
        let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes()).unwrap();
        let root = CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap();
        let verifier = ClientRoots::new(vec![root]).unwrap().verifier(&[]).unwrap();
        Arc::new(Serving::new(server_pair(vec![der(&server)], key).unwrap(), verifier).unwrap())
    }

    /// A client of this authority that was just verified.
    fn peer(authority: &Authority, serving: &watch::Sender<Arc<Serving>>) -> TlsPeer {
        let identity = peer_identity(&[der(&authority.client("vm-1", &[]).unwrap())]).unwrap();
        let changes = serving.subscribe();
        let verifier = Arc::clone(&changes.borrow().verifier);
        let (clock, log) = (Clock::starting_at(SystemTime::now()), Arc::new(FailureLog::new("distrusted")));
        TlsPeer::new(Some(Arc::new(identity)), None, changes, verifier, clock, log)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_trusted_until_its_certificate_expires() {
        let authority = Authority::new().unwrap();
        let serving = watch::Sender::new(serving(&authority));
        let (peer, begun) = (peer(&authority, &serving), Instant::now());
        let log = CapturedLog::start();
        sleep(WEEK - CHECK).await;
        assert!(peer.is_trusted());
        peer.distrusted().await;
        assert!((WEEK..WEEK + Duration::from_secs(2)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        assert!(!peer.is_trusted() && !peer.clone().is_trusted());
        let lines = log.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        for part in ["WARN", "reason=\"expired\"", "CN=vm-1"] {
            assert!(lines[0].contains(part), "{part}: {lines:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_verified_again_when_the_verifier_changes() {
        let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
        let sender = watch::Sender::new(serving(&authority));
        let peer = peer(&authority, &sender);
        // Another verifier that trusts it, then one that does not.
        sender.send_replace(serving(&authority));
        assert!(peer.is_trusted());
        let (waiting, begun) = (peer.clone(), Instant::now());
        let waiting = tokio::spawn(async move { waiting.distrusted().await });
        tokio::task::yield_now().await;
        sender.send_replace(serving(&other));
        waiting.await.unwrap();
        assert!(begun.elapsed().is_zero());
        // It stays untrusted, although the next verifier would accept it.
        sender.send_replace(serving(&authority));
        assert!(!peer.is_trusted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_without_an_identity_is_never_distrusted() {
        let authority = Authority::new().unwrap();
        let sender = watch::Sender::new(serving(&authority));
        let verifier = Arc::clone(&sender.borrow().verifier);
        let (clock, log) = (Clock::system(), Arc::new(FailureLog::new("distrusted")));
        let peer = TlsPeer::new(None, None, sender.subscribe(), verifier, clock, log);
        assert!(peer.is_trusted() && PlainPeer.is_trusted());
        for distrusted in [timeout(WEEK, peer.distrusted()).await, timeout(WEEK, PlainPeer.distrusted()).await] {
            assert!(distrusted.is_err());
        }
    }
}
