//! A certificate authority that issues certificates with the properties of GCE's, and the identity in a client certificate.

mod from_pem;
mod peer;

pub use gce_metadata_signer::{EndorsementKey, EndorsementKeyError, SealError};
pub use peer::{PeerIdentityError, peer_identity};
pub(crate) use peer::{not_after, system_time};

use crate::files;
use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// Certificates are valid from this long ago, because the clocks of other machines may be slow.
const SKEW: Duration = Duration::from_secs(300);
/// Ten years, and one day more, so that a certificate for ten years that is issued later does not outlive the root.
const ROOT_LIFETIME: Duration = Duration::from_secs((10 * 365 + 1) * 24 * 3600);

/// The IPv4 address of the metadata server on GCE.
const IPV4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The IPv6 address of the metadata server on GCE.
const IPV6: Ipv6Addr = Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254);

/// A certificate authority: a root certificate and its private key, in memory only.
///
/// ```
/// use gce_metadata_server::certs::Authority;
///
/// let authority = Authority::new()?;
/// let client = authority.client("instance-1", &["instance-1.c.my-project.internal".to_owned()])?;
/// assert!(client.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
/// # Ok::<(), gce_metadata_server::certs::MintError>(())
/// ```
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    /// When the root expires.
    not_after: OffsetDateTime,
    lifetime: Duration,
}

/// An issued certificate and its private key.
pub struct Minted {
    /// The certificate, in PEM.
    pub certificate: String,
    /// The private key, in PEM with SEC1 encoding, the only one that Google's guest agent reads.
    pub key: Zeroizing<String>,
}

/// A certificate can't be issued.
#[derive(Debug, thiserror::Error)]
#[error("can't issue a certificate: {0}")]
pub struct MintError(String);

impl From<SealError> for MintError {
    fn from(error: SealError) -> Self {
        Self(error.to_string())
    }
}

impl From<rcgen::Error> for MintError {
    fn from(error: rcgen::Error) -> Self {
        Self(error.to_string())
    }
}

impl Authority {
    /// The default validity of issued certificates: seven days, as on GCE.
    pub const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

    /// Creates an authority with a new root, which has the name of Google's and is valid for ten years.
    ///
    /// # Errors
    /// If the random number generator of the system fails.
    pub fn new() -> Result<Self, MintError> {
        let mut params = params("Google Compute Internal", "google.internal", ROOT_LIFETIME);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        let not_after = params.not_after;
        Ok(Self { issuer: Issuer::new(params, key), certificate, not_after, lifetime: Self::LIFETIME })
    }

    /// Sets the validity of issued certificates, instead of [`LIFETIME`](Self::LIFETIME). Issuing fails if a certificate would
    /// outlive the root.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// The root certificate, in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The private key of the root, in PEM.
    pub fn key(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// Issues a server certificate for all names and addresses of the metadata server, on GCE and on localhost.
    ///
    /// # Errors
    /// If the certificate would outlive the root, or the random number generator of the system fails.
    pub fn server(&self) -> Result<Minted, MintError> {
        let mut params = params("Google Compute Engine", "metadata.google.internal", self.lifetime);
        let names = ["metadata.google.internal", "metadata.goog", "metadata", "localhost"];
        let addresses: [IpAddr; 4] = [IPV4.into(), IPV6.into(), Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        for name in names {
            params.subject_alt_names.push(SanType::DnsName(name.try_into()?));
        }
        params.subject_alt_names.extend(addresses.map(SanType::IpAddress));
        self.mint(params, Purpose::Server)
    }

    /// Issues a client certificate for a VM with this common name and these DNS names.
    ///
    /// # Errors
    /// If a DNS name is invalid, the certificate would outlive the root, or the random number generator of the system fails.
    pub fn client(&self, name: &str, dns_names: &[String]) -> Result<Minted, MintError> {
        let mut params = params("Google Compute Engine", name, self.lifetime);
        for name in dns_names {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
        }
        self.mint(params, Purpose::Client)
    }

    fn mint(&self, mut params: CertificateParams, purpose: Purpose) -> Result<Minted, MintError> {
        if params.not_after > self.not_after {
            let end = self.not_after.date();
            return Err(MintError(format!("it would outlive its root, which expires on {end}")));
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.custom_extensions = vec![purpose.extension()];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Minted { certificate, key: sec1(&key)? })
    }
}

/// The extended key usage of a certificate. The value is the last number of its object identifier.
#[derive(Clone, Copy)]
enum Purpose {
    Server = 1,
    Client = 2,
}

impl Purpose {
    /// The extension, marked as critical as in GCE's certificates. rcgen can't mark its own as critical.
    fn extension(self) -> CustomExtension {
        // DER: a sequence of one object identifier, 1.3.6.1.5.5.7.3.PURPOSE.
        let content = vec![0x30, 10, 0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, self as u8];
        let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 37], content);
        extension.set_criticality(true);
        extension
    }
}

/// The key in PEM with SEC1 encoding. rcgen writes PKCS#8 only.
fn sec1(key: &KeyPair) -> Result<Zeroizing<String>, MintError> {
    let pkcs8 = Zeroizing::new(key.serialize_der());
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8);
    let key = key.map_err(|error| MintError(error.to_string()))?;
    let der: EcPrivateKeyRfc5915Der<'_> = key.private_key().as_der().map_err(|error| MintError(error.to_string()))?;
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    Ok(Zeroizing::new(pem::encode_config(&pem::Pem::new("EC PRIVATE KEY", der.as_ref()), config)))
}

impl Minted {
    /// The certificate followed by the key, the format of a client certificate for Google's libraries.
    pub fn combined(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}{}", self.certificate, *self.key))
    }
}

/// Writes a file atomically: a reader sees either the old or the new content. `mode` is the file mode, such as `0o600`.
///
/// # Errors
/// If the folder is not writable.
pub fn replace_file(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    files::replace(path, content.as_bytes(), mode)
}

/// Replaces several files of a folder, given as name, content and mode, each like [`replace_file`]. All are written to temporary
/// files before the first is replaced, so that an error while writing leaves all files unchanged.
///
/// # Errors
/// If the folder is not writable.
pub fn replace_files(folder: &Path, files: &[(&str, &str, u32)]) -> io::Result<()> {
    files::replace_all(folder, files)
}

/// Creates a file atomically: it appears with its whole content. `mode` is the file mode, such as `0o600`.
///
/// # Errors
/// If the file exists, which is left unchanged, or the folder is not writable.
pub fn create_file(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    files::create(path, content.as_bytes(), mode)
}

fn params(organization: &str, common_name: &str, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "US");
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - SKEW, now + lifetime);
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use x509_parser::prelude::*;

    fn with_certificate(pem: &str, check: impl FnOnce(&X509Certificate<'_>)) {
        let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
        check(&pem.parse_x509().unwrap());
    }

    #[test]
    fn a_client_certificate_has_the_properties_of_gces() {
        let authority = Authority::new().unwrap();
        let client = authority.client("instance-1", &["instance-1.c.p.internal".into()]).unwrap();
        with_certificate(&client.certificate, |certificate| {
            assert_eq!(certificate.subject().to_string(), "C=US, O=Google Compute Engine, CN=instance-1");
            assert_eq!(certificate.issuer().to_string(), "C=US, O=Google Compute Internal, CN=google.internal");
            let days = certificate.validity().not_after.timestamp() - certificate.validity().not_before.timestamp();
            assert_eq!(days, 7 * 24 * 3600 + 300);
            let usage = certificate.extended_key_usage().unwrap().unwrap();
            assert!(usage.critical && usage.value.client_auth && !usage.value.server_auth);
            assert!(certificate.key_usage().unwrap().unwrap().value.digital_signature());
            let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
            assert_eq!(names, &[GeneralName::DNSName("instance-1.c.p.internal")]);
        });
        assert!(client.combined().contains("\n-----BEGIN EC PRIVATE KEY-----\n"));
    }

    #[test]
    fn a_file_is_replaced_atomically() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.key");
        replace_file(&path, "old", 0o600).unwrap();
        let old = fs::File::open(&path).unwrap();
        replace_file(&path, "new", 0o640).unwrap();
        assert_eq!(io::read_to_string(old).unwrap(), "old");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_server_certificate_has_all_names_of_the_metadata_server() {
        let authority = Authority::new().unwrap();
        with_certificate(&authority.server().unwrap().certificate, |certificate| {
            let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
            for name in ["metadata.google.internal", "localhost"] {
                assert!(names.contains(&GeneralName::DNSName(name)));
            }
            for address in [&IPV4.octets()[..], &IPV6.octets()] {
                assert!(names.contains(&GeneralName::IPAddress(address)));
            }
            let usage = certificate.extended_key_usage().unwrap().unwrap();
            assert!(usage.critical && usage.value.server_auth && !usage.value.client_auth);
        });
        with_certificate(authority.certificate(), |root| assert!(root.is_ca()));
    }
}
