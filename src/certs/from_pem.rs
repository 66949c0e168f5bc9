//! Loads an authority from PEM, to issue further certificates from the same root.

use super::{Authority, MintError};
use rcgen::{Issuer, KeyPair, PublicKeyData};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

impl Authority {
    /// Loads an authority from its root certificate and private key, both in PEM.
    ///
    /// ```
    /// use gce_metadata_server::certs::Authority;
    ///
    /// let authority = Authority::new()?;
    /// let again = Authority::from_pem(authority.certificate(), &authority.key())?;
    /// assert_eq!(again.certificate(), authority.certificate());
    /// # Ok::<(), gce_metadata_server::certs::MintError>(())
    /// ```
    ///
    /// # Errors
    /// If one of them can't be parsed, the certificate is not that of a CA, or the key belongs to another certificate.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, MintError> {
        let invalid = |problem: &str| MintError(problem.to_owned());
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|error| MintError(format!("the root certificate can't be read: {error}")))?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| invalid("the root certificate can't be read"))?;
        let key = KeyPair::from_pem(key).map_err(|_| invalid("the root's private key can't be read"))?;
        if !parsed.is_ca() {
            return Err(invalid("the root certificate is not that of a CA"));
        }
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(invalid("the root's private key does not belong to its certificate"));
        }
        let not_after = parsed.validity().not_after.to_datetime();
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        Ok(Self { issuer, certificate: certificate.to_owned(), not_after, lifetime: Self::LIFETIME })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn error(certificate: &str, key: &str) -> String {
        Authority::from_pem(certificate, key).err().unwrap().to_string()
    }

    #[test]
    fn a_loaded_authority_issues_certificates_from_the_same_root() {
        let written = Authority::new().unwrap();
        let read = Authority::from_pem(written.certificate(), &written.key()).unwrap();
        let certificates = [&written, &read].map(|authority| authority.client("vm-1", &[]).unwrap().certificate);
        let [old, new] = certificates.map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap());
        let [old, new] = [&old, &new].map(|der| X509Certificate::from_der(der).unwrap().1);
        let [root] = [written.certificate()].map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap());
        let (_, root) = X509Certificate::from_der(&root).unwrap();
        assert_eq!(new.issuer().as_raw(), root.subject().as_raw());
        for certificate in [old, new] {
            let extension = certificate
                .extensions()
                .iter()
                .find(|it| it.oid == x509_parser::oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER);
            assert!(extension.is_some());
        }
    }

    #[test]
    fn an_invalid_authority_is_refused_with_the_reason() {
        let (root, other) = (Authority::new().unwrap(), Authority::new().unwrap());
        let client = root.client("vm-1", &[]).unwrap();
        for (certificate, key, reason) in [
            ("nothing", &**root.key(), "the root certificate can't be read"),
            (root.certificate(), "nothing", "the root's private key can't be read"),
            (root.certificate(), &**other.key(), "does not belong"),
            (&client.certificate, &**client.key, "not that of a CA"),
        ] {
            assert!(error(certificate, key).contains(reason), "{reason}: {}", error(certificate, key));
        }
    }

    #[test]
    fn a_certificate_that_would_outlive_its_root_is_refused() {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        let authority = Authority::new().unwrap();
        let authority = Authority::from_pem(authority.certificate(), &authority.key()).unwrap();
        let authority = authority.lifetime(days(3650));
        assert!(authority.server().is_ok());
        let error = authority.lifetime(days(3652)).client("vm-1", &[]).err().unwrap().to_string();
        assert!(error.contains("outlive its root, which expires on 20"), "{error}");
    }
}
