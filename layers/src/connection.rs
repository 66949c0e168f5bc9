//! The connection that a request was received on: the client's address, TLS, and the client's certificate.

use bytes::Bytes;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The connection that a request was received on. The server puts it into the extensions of each request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connection {
    /// The client's address; `None` on a Unix socket.
    pub remote: Option<SocketAddr>,
    /// The user of the client's process, if the connection is a Unix socket and the system reports the user.
    pub user: Option<u32>,
    /// Whether the connection uses TLS. Redirects then lead to `https`.
    pub is_encrypted: bool,
    /// The identity in the client's certificate, if it sent one and the server verified it.
    pub peer: Option<Arc<PeerIdentity>>,
}

impl Connection {
    /// An unencrypted connection from this address.
    pub fn from_remote(remote: SocketAddr) -> Self {
        Self { remote: Some(remote), ..Self::default() }
    }

    /// Marks the connection as encrypted.
    #[must_use]
    pub fn encrypted(self) -> Self {
        Self { is_encrypted: true, ..self }
    }

    /// Sets the client's verified identity.
    #[must_use]
    pub fn with_peer(self, peer: PeerIdentity) -> Self {
        Self { peer: Some(Arc::new(peer)), ..self }
    }
}

/// The identity in a verified client certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerIdentity {
    /// The subject's distinguished name, such as `C=US, O=Google Compute Engine, CN=instance-1`.
    pub subject: String,
    /// The subject's common name.
    pub common_name: Option<String>,
    /// The DNS names among the subject's alternative names.
    pub dns_names: Vec<String>,
    /// The IP addresses among the subject's alternative names.
    pub ip_addresses: Vec<IpAddr>,
    /// The URIs among the subject's alternative names, such as a SPIFFE ID.
    pub uris: Vec<String>,
    /// The SHA-256 digest of the certificate in DER.
    pub fingerprint: Fingerprint,
    /// The certificate chain in DER, the client's certificate first.
    pub chain: Vec<Bytes>,
}

impl PeerIdentity {
    /// The SPIFFE ID: the first URI with the scheme `spiffe`.
    pub fn spiffe_id(&self) -> Option<&str> {
        self.uris.iter().map(String::as_str).find(|uri| uri.starts_with("spiffe://"))
    }

    /// Whether the identity has this name: its common name, a DNS name, an IP address, a URI, or its fingerprint in hex, with or
    /// without colons.
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

/// A SHA-256 digest. It prints as 64 hex digits in lower case.
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
    fn a_peer_is_known_by_each_of_its_names() {
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
