//! Certificates of one's own making, with the properties of those that GCE gives its VMs.

mod from_pem;
mod peer;

pub use gce_metadata_signer::{EndorsementKey, EndorsementKeyError, SealError};
pub use peer::{NoClient, peer_identity};
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

/// Clocks differ.
const SKEW: Duration = Duration::from_secs(300);
/// Ten years, and a day so that a certificate of ten years which is made later fits in.
const ROOT_LIFETIME: Duration = Duration::from_secs((10 * 365 + 1) * 24 * 3600);

/// Where a VM finds its metadata server.
const IPV4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The same for a VM without IPv4.
const IPV6: Ipv6Addr = Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254);

/// A certificate authority that lives as long as this value does.
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

/// A certificate and its key.
pub struct Minted {
    /// The certificate in PEM.
    pub certificate: String,
    /// The private key in PEM (SEC1, the one form in which the guest agent takes it).
    pub key: Zeroizing<String>,
}

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("a certificate can't be made: {0}")]
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
    /// How long the certificates of a VM live.
    pub const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

    /// A new authority, named as Google's.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn new() -> Result<Self, MintError> {
        let mut params = params("Google Compute Internal", "google.internal", ROOT_LIFETIME);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        let not_after = params.not_after;
        Ok(Self { issuer: Issuer::new(params, key), certificate, not_after, lifetime: Self::LIFETIME })
    }

    /// Sets how long the certificates that it issues are valid, instead of [`LIFETIME`](Self::LIFETIME). None can outlive the
    /// root, which is valid for ten years.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// The root certificate in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The root's private key in PEM.
    pub fn key(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// A certificate for the metadata server, by all the names that it is called.
    ///
    /// # Errors
    /// If it would outlive the root, or the system has no randomness to give.
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

    /// A certificate for a VM of this name, which is also called by these DNS names.
    ///
    /// # Errors
    /// If a name is no DNS name, the certificate would outlive the root, or the system has no randomness to give.
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

/// What a certificate is for, by the last number of its object identifier.
#[derive(Clone, Copy)]
enum Purpose {
    Server = 1,
    Client = 2,
}

impl Purpose {
    /// The extended key usage, critical as in GCE's certificates. rcgen's own is not.
    fn extension(self) -> CustomExtension {
        // A sequence of one object identifier, 1.3.6.1.5.5.7.3 and the purpose.
        let content = vec![0x30, 10, 0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, self as u8];
        let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 37], content);
        extension.set_criticality(true);
        extension
    }
}

/// The key in PEM, as SEC1 has it. rcgen writes PKCS#8 only.
fn sec1(key: &KeyPair) -> Result<Zeroizing<String>, MintError> {
    let pkcs8 = Zeroizing::new(key.serialize_der());
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8);
    let key = key.map_err(|error| MintError(error.to_string()))?;
    let der: EcPrivateKeyRfc5915Der<'_> = key.private_key().as_der().map_err(|error| MintError(error.to_string()))?;
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    Ok(Zeroizing::new(pem::encode_config(&pem::Pem::new("EC PRIVATE KEY", der.as_ref()), config)))
}

impl Minted {
    /// Certificate and key in one text, as Google's libraries read a client's.
    pub fn combined(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}{}", self.certificate, *self.key))
    }
}

/// Writes a file so that whoever reads it sees all of the old or all of the new one.
///
/// # Errors
/// If the folder can't be written to.
pub fn replace_file(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    files::replace(path, content.as_bytes(), mode)
}

/// Replaces several files of one folder, each as [`replace_file`] does. All are written beside their places before the first
/// is replaced, so that an error in writing one leaves all as they were.
///
/// # Errors
/// If the folder can't be written to.
pub fn replace_files(folder: &Path, files: &[(&str, &str, u32)]) -> io::Result<()> {
    files::replace_all(folder, files)
}

/// Writes a file that was not there, and all of it or none.
///
/// # Errors
/// If there is one by then, which stays, or the folder can't be written to.
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

    fn checked(pem: &str, check: impl FnOnce(&X509Certificate<'_>)) {
        let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
        check(&pem.parse_x509().unwrap());
    }

    #[test]
    fn a_client_certificate_is_as_gce_makes_it() {
        let authority = Authority::new().unwrap();
        let client = authority.client("instance-1", &["instance-1.c.p.internal".into()]).unwrap();
        checked(&client.certificate, |certificate| {
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
    fn whoever_reads_a_file_sees_all_of_the_old_or_all_of_the_new_one() {
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
    fn the_servers_certificate_has_all_its_names() {
        let authority = Authority::new().unwrap();
        checked(&authority.server().unwrap().certificate, |certificate| {
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
        checked(authority.certificate(), |root| assert!(root.is_ca()));
    }
}
