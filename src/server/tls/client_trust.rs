//! Verifies client certificates: they must chain to a client CA and must not be revoked.

use super::serving::provider;
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{Error, RootCertStore};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

/// The CA certificates that client certificates must chain to.
#[derive(Debug, Clone)]
pub(super) struct ClientRoots {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    store: Arc<RootCertStore>,
}

impl ClientRoots {
    /// Checks that each certificate can be a trust anchor. There must be one at least.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store.add(certificate.clone())?;
        }
        Ok(Self { certificates, store: Arc::new(store) })
    }

    /// A verifier of client certificates. The error is the reason why a revocation list can't be used.
    pub(super) fn verifier(
        &self,
        revoked: &[CertificateRevocationListDer<'static>],
    ) -> Result<Arc<dyn ClientCertVerifier>, String> {
        if let Some(problem) = revoked.iter().find_map(unsupported) {
            return Err(problem);
        }
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.store), provider())
            .with_crls(revoked.iter().cloned())
            // A certificate without a revocation list of its issuer is not revoked.
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| error.to_string())
    }
}

/// Describes what webpki requires and the revocation list lacks. webpki itself reports only a parse error.
fn unsupported(list: &CertificateRevocationListDer<'_>) -> Option<String> {
    let (_, list) = CertificateRevocationList::from_der(list).ok()?;
    let issuer = list.issuer();
    if list.version().is_none() {
        return Some(format!(
            "the revocation list of `{issuer}` is a version 1 CRL; a version 2 CRL is needed, with the extensions \
             authorityKeyIdentifier and crlNumber. `openssl ca -gencrl` makes one with `-crlexts SECTION`, or with \
             `crl_extensions = SECTION` in the CA's section of its config, where [SECTION] has \
             `authorityKeyIdentifier = keyid:always`; the CA's section also needs `crlnumber = FILE`"
        ));
    }
    list.next_update().is_none().then(|| {
        format!("the revocation list of `{issuer}` has no nextUpdate; `openssl ca -gencrl -crldays DAYS` sets it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::Authority;
    use rcgen::{CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, SerialNumber, date_time_ymd};
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    fn roots(authority: &Authority) -> ClientRoots {
        ClientRoots::new(vec![CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap()]).unwrap()
    }

    /// DER: a tag, the length, the content.
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = match content.len() {
            short @ ..0x80 => vec![u8::try_from(short).unwrap()],
            short @ ..0x100 => vec![0x81, u8::try_from(short).unwrap()],
            long => [&[0x82][..], &u16::try_from(long).unwrap().to_be_bytes()].concat(),
        };
        [&[tag][..], &length, content].concat()
    }

    /// The elements of a DER sequence. All have a length below 128.
    fn elements(mut content: &[u8]) -> Vec<&[u8]> {
        let mut elements = Vec::new();
        while !content.is_empty() {
            assert!(content[1] < 0x80);
            let (element, rest) = content.split_at(2 + usize::from(content[1]));
            elements.push(element);
            content = rest;
        }
        elements
    }

    /// A version 2 list that revokes nothing.
    fn version_2(authority: &Authority) -> CertificateRevocationListDer<'static> {
        let key = KeyPair::from_pem(&authority.key()).unwrap();
        let issuer = Issuer::from_ca_cert_pem(authority.certificate(), key).unwrap();
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2049, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&issuer).unwrap().into()
    }

    /// The same list with only some of the fields of its body. The signature is not checked when a list is loaded.
    fn with_fields(list: &CertificateRevocationListDer<'_>, keep: impl Fn(usize, u8) -> bool) -> Vec<u8> {
        let (_, parsed) = CertificateRevocationList::from_der(list).unwrap();
        let body = parsed.tbs_cert_list.as_ref();
        let after_header = |der: &[u8]| if der[1] < 0x80 { 2 } else { 2 + usize::from(der[1] & 0x7f) };
        let fields = elements(&body[after_header(body)..]);
        let kept = fields.iter().enumerate().filter(|(index, field)| keep(*index, field[0]));
        let body_kept = der(0x30, &kept.flat_map(|(_, field)| field.to_vec()).collect::<Vec<_>>());
        let rest = &list[after_header(list) + body.len()..];
        der(0x30, &[&body_kept, rest].concat())
    }

    fn refusal(authority: &Authority, list: Vec<u8>) -> String {
        roots(authority).verifier(&[list.into()]).unwrap_err()
    }

    #[test]
    fn the_error_of_a_version_1_crl_names_the_remedy() {
        let authority = Authority::new().unwrap();
        let list = version_2(&authority);
        assert!(roots(&authority).verifier(std::slice::from_ref(&list)).is_ok());
        // Version 1 has neither the version (an INTEGER) nor extensions (tag [0]).
        let problem = refusal(&authority, with_fields(&list, |_, tag| tag != 0x02 && tag != 0xa0));
        for part in ["CN=google.internal", "version 1", "version 2", "crlNumber", "-crlexts", "crl_extensions"] {
            assert!(problem.contains(part), "{part}: {problem}");
        }
    }

    #[test]
    fn the_error_of_a_crl_without_next_update_names_the_remedy() {
        let authority = Authority::new().unwrap();
        // Version, algorithm, issuer, thisUpdate, nextUpdate.
        let problem = refusal(&authority, with_fields(&version_2(&authority), |index, _| index != 4));
        assert!(problem.contains("nextUpdate") && problem.contains("-crldays"), "{problem}");
        assert!(refusal(&authority, vec![1, 2, 3]).contains("parse"));
    }
}
