//! Keys and certificates in every format: PKCS#8, PKCS#1, SEC1, and chains with an intermediate authority.

use super::{BOTH, Pki, ask};
use gce_metadata_server::certs::Minted;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::version;

/// Each format for the server and the client, over TLS 1.2 and 1.3.
#[tokio::test]
#[ignore = "needs openssl, which scripts/test installs"]
async fn keys_of_every_format_are_read() {
    let pki = Pki::new();
    let key = |args: &[&str]| openssl(&pki, &[&[args[0], "-out", "made.key"][..], &args[1..]].concat(), "made.key");
    let ec = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let rsa = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    for (label, key) in [
        ("EC PRIVATE KEY", key(&["ecparam", "-name", "prime256v1", "-genkey", "-noout"])),
        ("RSA PRIVATE KEY", key(&["genrsa", "-traditional", "2048"])),
        ("PRIVATE KEY", key(&ec)),
        ("PRIVATE KEY", key(&rsa)),
    ] {
        assert!(key.starts_with(&format!("-----BEGIN {label}-----")));
        pki.write_server(&certified(&pki, &key, "serverAuth"));
        let (server, client) = (pki.serve().await, certified(&pki, &key, "clientAuth"));
        for version in [&version::TLS12, &version::TLS13] {
            let answer = ask(&server, pki.authority.certificate(), Some(&client), &[version]).await;
            assert!(answer.is_ok_and(|answer| answer.status == 200), "{label}");
        }
    }
}

/// The server and the client send the certificate of an intermediate authority along with their own.
#[tokio::test]
async fn a_chain_with_an_intermediate_authority_is_verified() {
    let pki = Pki::new();
    let root = KeyPair::from_pem(&pki.authority.key()).unwrap();
    let root = Issuer::from_ca_cert_pem(pki.authority.certificate(), root).unwrap();
    let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "between");
    let between = params.signed_by(&key, &root).unwrap().pem();
    let between = (Issuer::new(params, key), between);
    let issue = |names: &[&str], usage| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let (mut params, key) = (CertificateParams::new(names).unwrap(), KeyPair::generate().unwrap());
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &between.0).unwrap().pem();
        (certificate, key.serialize_pem())
    };
    let (server, key) = issue(&["metadata.google.internal"], ExtendedKeyUsagePurpose::ServerAuth);
    pki.write_server(&Minted { certificate: format!("{server}{}", between.1), key: key.into() });
    let running = pki.serve().await;
    let (client, key) = issue(&[], ExtendedKeyUsagePurpose::ClientAuth);
    let chain = Minted { certificate: format!("{client}{}", between.1), key: key.clone().into() };
    assert_eq!(ask(&running, pki.authority.certificate(), Some(&chain), BOTH).await.unwrap().status, 200);
    let alone = Minted { certificate: client, key: key.into() };
    assert!(ask(&running, pki.authority.certificate(), Some(&alone), BOTH).await.is_err());
}

/// Runs openssl and returns the content of the file `made`.
pub(super) fn openssl(pki: &Pki, args: &[&str], made: &str) -> String {
    let output = std::process::Command::new("openssl").args(args).current_dir(pki.folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    std::fs::read_to_string(pki.folder.path().join(made)).unwrap()
}

/// A certificate made by openssl, with the options from the Go emulator's documentation.
fn certified(pki: &Pki, key: &str, usage: &str) -> Minted {
    pki.write("ca.crt", pki.authority.certificate());
    pki.write("ca.key", &pki.authority.key());
    pki.write("certified.key", key);
    let usage = format!("extendedKeyUsage={usage}");
    let args = [
        &["req", "-x509", "-new", "-days", "2", "-subj", "/CN=metadata.google.internal"][..],
        &["-addext", "subjectAltName=DNS:metadata.google.internal"],
        &["-addext", "basicConstraints=critical,CA:FALSE", "-addext", &usage],
        &["-CA", "ca.crt", "-CAkey", "ca.key", "-key", "certified.key", "-out", "made.crt"],
    ];
    Minted { certificate: openssl(pki, &args.concat(), "made.crt"), key: key.to_owned().into() }
}
