//! Reads the identity of a client from its verified certificate.

use ::time::OffsetDateTime;
use aws_lc_rs::digest;
use bytes::Bytes;
use gce_metadata_layers::{Fingerprint, PeerIdentity};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::prelude::*;

/// A verified certificate is not a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerIdentityError {
    /// Its extended key usage does not include client authentication.
    #[error("not a client certificate: its extended key usage lacks clientAuth")]
    WrongUsage,
    /// The chain is empty, or its first certificate can't be parsed.
    #[error("the certificate can't be read")]
    Unreadable,
}

/// The identity in the first certificate of a chain. The chain must have been verified, which a TLS server does in the handshake.
///
/// ```
/// use gce_metadata_server::certs::{Authority, peer_identity};
/// use rustls_pki_types::{CertificateDer, pem::PemObject};
///
/// let client = Authority::new()?.client("instance-1", &[])?;
/// let chain = [CertificateDer::from_pem_slice(client.certificate.as_bytes())?];
/// assert!(peer_identity(&chain)?.is_called("instance-1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the certificate can't be parsed, or its extended key usage is missing or lacks `clientAuth`.
pub fn peer_identity(chain: &[CertificateDer<'_>]) -> Result<PeerIdentity, PeerIdentityError> {
    let der = chain.first().ok_or(PeerIdentityError::Unreadable)?;
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| PeerIdentityError::Unreadable)?;
    let usage = certificate.extended_key_usage().map_err(|_| PeerIdentityError::Unreadable)?;
    if !usage.is_some_and(|usage| usage.value.client_auth || usage.value.any) {
        return Err(PeerIdentityError::WrongUsage);
    }
    let mut peer = PeerIdentity::default();
    peer.subject = certificate.subject().to_string();
    peer.common_name = certificate.subject().iter_common_name().find_map(|name| name.as_str().ok()).map(str::to_owned);
    peer.chain = chain.iter().map(|der| Bytes::copy_from_slice(der)).collect();
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    peer.fingerprint = Fingerprint(fingerprint);
    let names = certificate.subject_alternative_name().map_err(|_| PeerIdentityError::Unreadable)?;
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::DNSName(name) => peer.dns_names.push((*name).to_owned()),
            GeneralName::URI(uri) => peer.uris.push((*uri).to_owned()),
            GeneralName::IPAddress(bytes) => peer.ip_addresses.extend(address(bytes)),
            _ => {}
        }
    }
    Ok(peer)
}

/// The expiry of a certificate in DER. `None` if it can't be parsed.
pub(crate) fn not_after(der: &[u8]) -> Option<SystemTime> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(system_time(certificate.validity().not_after.to_datetime()))
}

/// Converts a time of a certificate. A time out of range becomes the Unix epoch, which counts as expired.
pub(crate) fn system_time(time: OffsetDateTime) -> SystemTime {
    let seconds = u64::try_from(time.unix_timestamp()).unwrap_or_default();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).ok().map(Ipv6Addr::from).map(IpAddr::from);
    v4().or_else(v6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};

    fn certificate(usages: &[ExtendedKeyUsagePurpose]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "instance-1");
        params.extended_key_usages = usages.to_vec();
        params.subject_alt_names = vec![
            SanType::DnsName("a.example.com".try_into().unwrap()),
            SanType::URI("spiffe://example.com/a".try_into().unwrap()),
            SanType::IpAddress("192.0.2.1".parse().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
        ];
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().into()
    }

    #[test]
    fn a_client_is_identified_by_each_of_its_names() {
        let chain = [certificate(&[ExtendedKeyUsagePurpose::ClientAuth])];
        let peer = peer_identity(&chain).unwrap();
        for name in ["instance-1", "a.example.com", "spiffe://example.com/a", "192.0.2.1", "2001:db8::1"] {
            assert!(peer.is_called(name), "{name}: {peer:?}");
        }
        assert!(peer.is_called(&peer.fingerprint.to_string()));
        assert_eq!(peer.chain[0], chain[0].as_ref());
    }

    #[test]
    fn a_certificate_without_client_auth_is_refused() {
        for usages in [&[][..], &[ExtendedKeyUsagePurpose::ServerAuth]] {
            assert_eq!(peer_identity(&[certificate(usages)]).unwrap_err(), PeerIdentityError::WrongUsage);
        }
        assert_eq!(peer_identity(&[]).unwrap_err(), PeerIdentityError::Unreadable);
        assert_eq!(peer_identity(&[vec![1, 2, 3].into()]).unwrap_err(), PeerIdentityError::Unreadable);
    }
}
