//! HTTPS with client certificates: which clients are served, which are refused and why.

mod keys;
mod minted;
mod readiness;
mod reload;
mod revocation;

use crate::support::{Answer, Client, ask_metrics, eventually, get, request};
use gce_metadata_server::certs::{Authority, Minted, replace_file};
use gce_metadata_server::{Address, Certificates, MtlsOptions, Server, ServerBuilder};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyIdMethod, KeyPair,
    RevocationReason, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto, version};

/// A certificate authority, and the folder in which the server finds its certificate, key and client roots.
struct Pki {
    authority: Authority,
    folder: TempDir,
}

impl Pki {
    fn new() -> Self {
        let (authority, folder) = (Authority::new().unwrap(), tempfile::tempdir().unwrap());
        let pki = Self { authority, folder };
        pki.write("root.crt", pki.authority.certificate());
        pki.write_server(&pki.authority.server().unwrap());
        pki
    }

    /// Replaces a file atomically, so that a running server never reads half of it.
    fn write(&self, name: &str, content: &str) {
        replace_file(&self.folder.path().join(name), content, 0o600).unwrap();
    }

    fn write_server(&self, server: &Minted) {
        self.write("server.crt", &server.certificate);
        self.write("server.key", &server.key);
    }

    fn client(&self) -> Minted {
        self.authority.client("vm-1", &["vm-1.example.com".into()]).unwrap()
    }

    fn options(&self) -> MtlsOptions {
        let path = |name: &str| self.folder.path().join(name);
        let certificates = Certificates::Files {
            certificate: path("server.crt"),
            key: path("server.key"),
            client_roots: path("root.crt"),
            revoked: Some(path("revoked.pem")).filter(|path| path.exists()),
        };
        MtlsOptions::new(certificates)
    }

    async fn serve(&self) -> Server {
        with_metrics().mtls(self.options()).start().await.unwrap()
    }

    /// Issues a client certificate with this serial number.
    fn client_with_serial(&self, serial: u64) -> Minted {
        self.issue(|params| params.serial_number = Some(SerialNumber::from(serial)))
    }

    /// Writes a revocation list (CRL) with this serial number.
    fn revoke(&self, serial: u64) {
        let root = KeyPair::from_pem(&self.authority.key()).unwrap();
        let issuer = Issuer::from_ca_cert_pem(self.authority.certificate(), root).unwrap();
        self.write("revoked.pem", &revocation_list(&issuer, SerialNumber::from(serial)));
    }

    /// Issues a client certificate after `change` to its parameters.
    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Minted {
        let root = KeyPair::from_pem(&self.authority.key()).unwrap();
        let issuer = Issuer::from_ca_cert_pem(self.authority.certificate(), root).unwrap();
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        Minted { certificate, key: key.serialize_pem().into() }
    }
}

fn with_metrics() -> ServerBuilder {
    Server::builder().metrics("127.0.0.1:0", "/metrics")
}

/// Connects with this certificate, or without one, and asks for the project.
async fn ask(
    server: &Server,
    root: &str,
    client: Option<&Minted>,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<Answer> {
    let mut connection = connect(server, root, client, versions).await?;
    connection.try_get("project/project-id").await.map_err(std::io::Error::other)
}

async fn connect(
    server: &Server,
    root: &str,
    client: Option<&Minted>,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<Client> {
    let stream = handshake(server, config(root, client, versions)).await?;
    Ok(Client::over(stream, "metadata.google.internal").await)
}

async fn handshake(server: &Server, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let Some(Address::Tcp(address)) = server.tls_address() else { panic!("no HTTPS") };
    let name = "metadata.google.internal".try_into().unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
}

fn config(root: &str, client: Option<&Minted>, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let Some(client) = client else { return builder.with_no_client_auth() };
    let chain = CertificateDer::pem_slice_iter(client.certificate.as_bytes()).map(Result::unwrap).collect();
    builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(client.key.as_bytes()).unwrap()).unwrap()
}

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS12, &version::TLS13];

async fn handshakes(server: &Server, outcome: &str) -> bool {
    ask_metrics(server, "/metrics")
        .await
        .1
        .contains(&format!("metadata_tls_handshakes_total{{outcome=\"{outcome}\"}} "))
}

/// The number of certificate reloads with this outcome.
async fn reloads(server: &Server, outcome: &str) -> u64 {
    let series = format!("metadata_tls_reloads_total{{outcome=\"{outcome}\"}} ");
    let metrics = ask_metrics(server, "/metrics").await.1;
    metrics.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_client_with_a_certificate_is_served_over_tls_1_2_and_1_3() {
    let pki = Pki::new();
    let server = pki.serve().await;
    assert!(server.url().unwrap().starts_with("https://"));
    for version in [&version::TLS12, &version::TLS13] {
        let answer = ask(&server, pki.authority.certificate(), Some(&pki.client()), &[version]).await.unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, "sample-project"));
    }
    assert!(handshakes(&server, "ok").await);
    let mut client = connect(&server, pki.authority.certificate(), Some(&pki.client()), BOTH).await.unwrap();
    let redirect = client.get("instance?recursive=true").await;
    assert_eq!(
        redirect.header("location"),
        Some("https://metadata.google.internal/computeMetadata/v1/instance/?recursive=true")
    );
    let bare = client.send(request("GET", "/computeMetadata/v1/instance/id", &[]), "").await;
    assert_eq!(bare.status, 403, "Metadata-Flavor is required over HTTPS too");
}

#[tokio::test]
async fn plain_http_on_the_https_port_is_answered_400_in_words() {
    let server = Pki::new().serve().await;
    let Some(Address::Tcp(address)) = server.tls_address() else { panic!("no HTTPS") };
    let stream = TcpStream::connect(address).await.unwrap();
    let answer = Client::over(stream, "metadata.google.internal").await.get("instance/id").await;
    let words = "Client sent an HTTP request to an HTTPS server.\n";
    assert_eq!((answer.status.as_u16(), &*answer.body), (400, words));
    eventually("not_tls", async || handshakes(&server, "not_tls").await).await;
}

#[tokio::test]
async fn clients_without_a_valid_certificate_are_refused_and_counted() {
    let pki = Pki::new();
    let revoked = pki.client_with_serial(7);
    pki.revoke(7);
    let server = pki.serve().await;

    let expired = pki.issue(|params| params.not_after = date_time_ymd(2020, 1, 1));
    let early = pki.issue(|params| params.not_before = date_time_ymd(2100, 1, 1));
    let for_servers = pki.issue(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let stranger = Pki::new().client();
    for (outcome, client) in [
        ("no_certificate", None),
        ("expired", Some(&expired)),
        ("not_yet_valid", Some(&early)),
        ("wrong_usage", Some(&for_servers)),
        ("unknown_issuer", Some(&stranger)),
        ("revoked", Some(&revoked)),
    ] {
        for version in [&version::TLS12, &version::TLS13] {
            let answer = ask(&server, pki.authority.certificate(), client, &[version]).await;
            assert!(answer.is_err(), "{outcome}: {answer:?}");
        }
        eventually(outcome, async || handshakes(&server, outcome).await).await;
    }
    let for_nothing = pki.issue(|params| params.extended_key_usages = Vec::new());
    let server = pki.serve().await;
    let answer = ask(&server, pki.authority.certificate(), Some(&for_nothing), BOTH).await.unwrap();
    assert_eq!(answer.status, 403, "clientAuth is required");
    assert!(handshakes(&server, "wrong_usage").await);
    assert_eq!(ask(&server, pki.authority.certificate(), Some(&pki.client()), BOTH).await.unwrap().status, 200);
}

/// A revocation list (CRL) in PEM with this serial number.
pub(crate) fn revocation_list(issuer: &Issuer<'_, KeyPair>, serial: SerialNumber) -> String {
    let revoked = RevokedCertParams {
        serial_number: serial,
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: Some(RevocationReason::KeyCompromise),
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(2100, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(issuer).unwrap().pem().unwrap()
}

#[tokio::test]
async fn mtls_allow_admits_clients_by_name_or_fingerprint() {
    let pki = Pki::new();
    let client = pki.issue(|params| {
        params.distinguished_name.push(DnType::CommonName, "vm-1");
        params.subject_alt_names = vec![
            SanType::DnsName("vm-1.example.com".try_into().unwrap()),
            SanType::URI("spiffe://example.com/vm-1".try_into().unwrap()),
            SanType::IpAddress("192.0.2.1".parse().unwrap()),
        ];
    });
    let der = CertificateDer::from_pem_slice(client.certificate.as_bytes()).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    let fingerprint = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    let admitted = ["vm-1", "vm-1.example.com", "spiffe://example.com/vm-1", "192.0.2.1", &fingerprint];
    let others = ["vm-2", "spiffe://example.com/vm", "VM-1", &fingerprint[1..]];
    let statuses = admitted.iter().map(|name| (name, 200)).chain(others.iter().map(|name| (name, 403)));
    for (allowed, status) in statuses {
        let options = pki.options().allowed(["another", *allowed]);
        let server = Server::builder().mtls(options).start().await.unwrap();
        let answer = ask(&server, pki.authority.certificate(), Some(&client), BOTH).await.unwrap();
        assert_eq!(answer.status, status, "{allowed}");
    }
}

/// A client without ALPN gets HTTP/1.1; one that offers only HTTP/2 is refused.
#[tokio::test]
async fn alpn_agrees_on_http_1_1_only() {
    let pki = Pki::new();
    let server = pki.serve().await;
    for (offered, agreed) in [(&["h2", "http/1.1"][..], Some("http/1.1")), (&[], None)] {
        let mut config = config(pki.authority.certificate(), Some(&pki.client()), BOTH);
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = handshake(&server, config).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes));
    }
    let mut config = config(pki.authority.certificate(), Some(&pki.client()), BOTH);
    config.alpn_protocols = vec![b"h2".to_vec()];
    assert!(handshake(&server, config).await.is_err());
    eventually("the failed handshake is counted", async || handshakes(&server, "other").await).await;
}

#[tokio::test]
async fn https_is_served_beside_http() {
    let pki = Pki::new();
    let server = with_metrics().mtls_beside("127.0.0.1:0", pki.options()).start().await.unwrap();
    assert_ne!(Some(server.address()), server.tls_address());
    assert_eq!(get(&server, "project/project-id").await.body, "sample-project");
    let answer = ask(&server, pki.authority.certificate(), Some(&pki.client()), BOTH).await.unwrap();
    assert_eq!(answer.body, "sample-project");
}

#[tokio::test]
async fn errors_name_the_unusable_file() {
    let pki = Pki::new();
    let error = async |pki: &Pki| Server::builder().mtls(pki.options()).start().await.unwrap_err().to_string();
    pki.write("server.key", "nothing");
    assert!(error(&pki).await.contains("server.key: no private key"), "{}", error(&pki).await);
    pki.write("server.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIF\n-----END ENCRYPTED PRIVATE KEY-----\n");
    assert!(
        error(&pki).await.contains("server.key: the private key is encrypted: decrypt it"),
        "{}",
        error(&pki).await
    );
    std::fs::remove_file(pki.folder.path().join("server.key")).unwrap();
    assert!(error(&pki).await.contains("server.key: "), "{}", error(&pki).await);
    pki.write("server.key", &pki.authority.server().unwrap().key);
    let mismatch = error(&pki).await;
    assert!(mismatch.contains("server.key: not the private key of ") && mismatch.ends_with("server.crt"), "{mismatch}");
    pki.write("root.crt", "");
    assert!(error(&pki).await.contains("root.crt: no CERTIFICATE in PEM"), "{}", error(&pki).await);
}

/// A client that connects and sends no TLS hello blocks neither other clients nor the shutdown.
#[tokio::test]
async fn a_silent_client_does_not_delay_the_shutdown() {
    let pki = Pki::new();
    let server = pki.serve().await;
    let Some(Address::Tcp(address)) = server.tls_address() else { panic!() };
    let _silent = TcpStream::connect(address).await.unwrap();
    let connected = async || ask_metrics(&server, "/metrics").await.1.contains("metadata_connections 1\n");
    eventually("the silent client is connected", connected).await;
    assert!(
        ask(&server, pki.authority.certificate(), Some(&pki.client()), BOTH).await.is_ok(),
        "other clients are served"
    );
    tokio::time::timeout(Duration::from_secs(5), server.shutdown()).await.unwrap();
}
