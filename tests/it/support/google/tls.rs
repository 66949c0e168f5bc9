//! The fake Google over mutual TLS, for workloads that authenticate with a certificate.

use super::Google;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// A TLS listener that requires client certificates of its authority.
pub(crate) struct Tls {
    pub(crate) url: String,
    /// The authority's root certificate, in PEM.
    pub(crate) root: String,
    /// A workload's certificate and key, in PEM.
    pub(crate) client: (String, String),
    #[cfg_attr(not(any(feature = "tpm", feature = "pkcs11")), allow(dead_code))]
    authority: CertifiedIssuer<'static, KeyPair>,
    #[cfg_attr(not(any(feature = "tpm", feature = "pkcs11")), allow(dead_code))]
    version: Arc<Mutex<String>>,
}

#[cfg(any(feature = "tpm", feature = "pkcs11"))]
impl Tls {
    /// Issues a workload's certificate for this key.
    pub(crate) fn certify(&self, key: &str) -> String {
        let params = CertificateParams::new(vec!["workload.example.com".to_owned()]).unwrap();
        params.signed_by(&KeyPair::from_pem(key).unwrap(), &self.authority).unwrap().pem()
    }

    /// The TLS version of the last connection.
    pub(crate) fn last_version(&self) -> String {
        self.version.lock().unwrap().clone()
    }
}

impl Google {
    pub(crate) async fn tls(&self) -> Tls {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (params.signed_by(&key, &authority).unwrap(), key)
        };
        let (server, client) = (issue("127.0.0.1"), issue("workload.example.com"));
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let key = PrivateKeyDer::try_from(server.1.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_client_cert_verifier(verifier);
        let config = config.with_single_cert(vec![server.0.der().clone()], key).unwrap();
        let (acceptor, google) = (TlsAcceptor::from(Arc::new(config)), self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let version = Arc::new(Mutex::new(String::new()));
        let last_version = Arc::clone(&version);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                *last_version.lock().unwrap() = format!("{:?}", stream.get_ref().1.protocol_version().unwrap());
                let peer = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
                tokio::spawn(google.clone().serve(stream, Some(peer)));
            }
        });
        let client = (client.0.pem(), client.1.serialize_pem());
        Tls { url, root: authority.pem(), client, authority, version }
    }
}
