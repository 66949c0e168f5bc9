//! What a layer may know of the socket that a request came through.

use bytes::Bytes;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Put into every request's extensions by whoever accepted the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connection {
    /// The client's address. A Unix socket has none.
    pub remote: Option<SocketAddr>,
    /// Whether it is encrypted, so that links must lead to `https`.
    pub is_encrypted: bool,
    /// Who the client is, if it has shown a certificate and that was verified.
    pub peer: Option<Arc<PeerIdentity>>,
}

impl Connection {
    /// A connection from this address.
    pub fn from_remote(remote: SocketAddr) -> Self {
        Self { remote: Some(remote), ..Self::default() }
    }

    /// The same connection through TLS.
    #[must_use]
    pub fn encrypted(self) -> Self {
        Self { is_encrypted: true, ..self }
    }

    /// The same connection, with a client that has shown who it is.
    #[must_use]
    pub fn with_peer(self, peer: PeerIdentity) -> Self {
        Self { peer: Some(Arc::new(peer)), ..self }
    }
}

/// What a verified client certificate says of its owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerIdentity {
    /// The subject's distinguished name, such as `C=US, O=Google Compute Engine, CN=instance-1`.
    pub subject: String,
    /// The subject's common name.
    pub common_name: Option<String>,
    /// The DNS names of the subject.
    pub dns_names: Vec<String>,
    /// The IP addresses of the subject.
    pub ip_addresses: Vec<IpAddr>,
    /// The URIs of the subject; a SPIFFE id is one.
    pub uris: Vec<String>,
    /// The SHA-256 of the certificate in DER.
    pub fingerprint: Fingerprint,
    /// The certificates in DER, the client's own first.
    pub chain: Vec<Bytes>,
}

impl PeerIdentity {
    /// The URI that names a workload as SPIFFE has it.
    pub fn spiffe_id(&self) -> Option<&str> {
        self.uris.iter().map(String::as_str).find(|uri| uri.starts_with("spiffe://"))
    }

    /// Whether the client may be called this: a common name, a DNS name, an IP address, a URI or a fingerprint, with or without
    /// colons.
    ///
    /// ```
    /// use gce_metadata_layers::PeerIdentity;
    ///
    /// let mut peer = PeerIdentity::default();
    /// peer.uris.push("spiffe://example.com/worker".into());
    /// assert!(peer.is_called("spiffe://example.com/worker"));
    /// assert!(!peer.is_called("instance-1"));
    /// ```
    pub fn is_called(&self, name: &str) -> bool {
        self.common_name.as_deref() == Some(name)
            || self.dns_names.iter().any(|dns| dns.eq_ignore_ascii_case(name))
            || self.ip_addresses.iter().any(|address| name.parse() == Ok(*address))
            || self.uris.iter().any(|uri| uri == name)
            || self.fingerprint.to_string().eq_ignore_ascii_case(&name.replace(':', ""))
    }
}

/// A SHA-256, which prints as 64 hex digits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_several_names() {
        let peer = PeerIdentity {
            common_name: Some("instance-1".into()),
            dns_names: vec!["instance-1.c.p.internal".into()],
            ip_addresses: vec!["192.0.2.1".parse().unwrap()],
            uris: vec!["https://example.com".into(), "spiffe://example.com/a".into()],
            fingerprint: Fingerprint([0xab; 32]),
            ..PeerIdentity::default()
        };
        let [fingerprint, as_openssl_has_it] = ["", ":"].map(|separator| ["AB"; 32].join(separator));
        let names = ["instance-1", "INSTANCE-1.c.p.internal", "192.0.2.1", "spiffe://example.com/a"];
        for name in names.into_iter().chain([&*fingerprint, &as_openssl_has_it]) {
            assert!(peer.is_called(name), "{name}");
        }
        assert!(!peer.is_called("INSTANCE-1") && !peer.is_called(""));
        assert_eq!(peer.spiffe_id(), Some("spiffe://example.com/a"));
    }
}
