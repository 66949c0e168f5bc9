//! Reload of certificate files: the server's pair, the client roots and the revocation list are each reloaded on their own.

use super::{BOTH, Pki, ask, connect, handshakes, reloads, revocation_list};
use crate::support::eventually;
use gce_metadata_server::Server;
use gce_metadata_server::certs::Minted;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SerialNumber,
};

async fn is_served(server: &Server, pki: &Pki, client: &Minted) -> bool {
    ask(server, pki.authority.certificate(), Some(client), BOTH).await.is_ok_and(|answer| answer.status == 200)
}

#[tokio::test]
async fn changed_certificates_are_reloaded_and_open_connections_keep_the_old_ones() {
    let pki = Pki::new();
    let server = pki.serve().await;
    let old = pki.authority.certificate();
    let mut connected = connect(&server, old, Some(&pki.client()), BOTH).await.unwrap();

    // A key of another certificate: the old pair stays.
    pki.write("server.key", &pki.authority.server().unwrap().key);
    eventually("a bad pair is counted", async || reloads(&server, "bad").await > 0).await;
    assert!(is_served(&server, &pki, &pki.client()).await);

    // A good pair: an open connection keeps the old one.
    let renewed = pki.authority.server().unwrap();
    pki.write_server(&renewed);
    eventually("the new pair is counted", async || reloads(&server, "good").await > 0).await;
    assert_eq!(connected.get("project/project-id").await.status, 200);

    let new = Pki::new();
    pki.write("root.crt", new.authority.certificate());
    pki.write_server(&new.authority.server().unwrap());
    eventually("the new certificates are served", async || is_served(&server, &new, &new.client()).await).await;
    assert!(ask(&server, old, Some(&pki.client()), BOTH).await.is_err());
}

/// A file that is rewritten without a change does not count as a reload.
#[tokio::test]
async fn an_unchanged_file_is_not_counted_as_a_reload() {
    let pki = Pki::new();
    pki.revoke(1);
    let server = pki.serve().await;
    for serial in 2..4 {
        pki.write("root.crt", pki.authority.certificate());
        pki.revoke(serial);
        eventually("the reload of the list is counted", async || reloads(&server, "good").await == serial - 1).await;
    }
    assert_eq!(reloads(&server, "bad").await, 0);
}

#[tokio::test]
async fn a_changed_crl_takes_effect_while_the_servers_pair_is_broken() {
    let pki = Pki::new();
    pki.revoke(1);
    let server = pki.serve().await;
    let (revoked, other) = (pki.client_with_serial(7), pki.client_with_serial(8));
    assert!(is_served(&server, &pki, &revoked).await);
    // A file without a key, and a key of another certificate.
    for (key, serial) in [("nothing", 7), (&**pki.authority.server().unwrap().key, 8)] {
        let client = if serial == 7 { &revoked } else { &other };
        let bad = reloads(&server, "bad").await;
        pki.write("server.key", key);
        eventually("the broken pair is counted", async || reloads(&server, "bad").await > bad).await;
        assert!(is_served(&server, &pki, client).await, "served with the old pair");
        pki.revoke(serial);
        eventually("the client is refused", async || !is_served(&server, &pki, client).await).await;
    }
    assert!(is_served(&server, &pki, &pki.client()).await, "others are served with the old pair");
    // A missing certificate does not undo a revocation.
    std::fs::remove_file(pki.folder.path().join("server.crt")).unwrap();
    pki.revoke(7);
    eventually("the other client is trusted again", async || is_served(&server, &pki, &other).await).await;
    assert!(!is_served(&server, &pki, &revoked).await);
}

#[tokio::test]
async fn changed_client_roots_take_effect_while_the_servers_pair_and_the_crl_are_broken() {
    let pki = Pki::new();
    pki.revoke(1);
    let server = pki.serve().await;
    pki.write("server.crt", "nothing");
    pki.write("revoked.pem", "nothing");
    eventually("both failures are counted", async || reloads(&server, "bad").await >= 2).await;
    let (root, client) = another_authority();
    pki.write("root.crt", &root);
    eventually("clients of the new authority are served with the old pair", async || {
        is_served(&server, &pki, &client).await
    })
    .await;
    assert!(!is_served(&server, &pki, &pki.client()).await);
}

/// A list that the client's authority has not signed can't be verified. Clients of another authority with the same name are then
/// refused rather than served without a check.
#[tokio::test]
async fn a_crl_of_a_previous_authority_of_the_same_name_refuses_its_clients() {
    let (pki, new) = (Pki::new(), Pki::new());
    pki.revoke(1);
    let server = pki.serve().await;
    pki.write("root.crt", new.authority.certificate());
    eventually("the reload of the roots is counted", async || reloads(&server, "good").await == 1).await;
    for client in [pki.client(), new.client()] {
        assert!(!is_served(&server, &pki, &client).await);
    }
    assert!(handshakes(&server, "bad_crl").await);
    let root = KeyPair::from_pem(&new.authority.key()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(new.authority.certificate(), root).unwrap();
    pki.write("revoked.pem", &revocation_list(&issuer, SerialNumber::from(1_u64)));
    eventually("clients are served after the authority's own list was loaded", async || {
        is_served(&server, &pki, &new.client()).await
    })
    .await;
}

/// A root with a distinct name, and a client certificate issued by it.
fn another_authority() -> (String, Minted) {
    let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "another authority");
    let root = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    (root, Minted { certificate, key: key.serialize_pem().into() })
}

#[tokio::test]
async fn a_new_pair_is_loaded_while_the_crl_is_broken_and_revocations_stay() {
    let pki = Pki::new();
    pki.revoke(7);
    let server = pki.serve().await;
    let list = pki.folder.path().join("revoked.pem");
    let break_list: [&dyn Fn(); 3] =
        [&|| std::fs::remove_file(&list).unwrap(), &|| pki.write("revoked.pem", ""), &|| {
            pki.write("revoked.pem", "-----BEGIN X509 CRL-----\nMAAwAA==\n-----END X509 CRL-----\n")
        }];
    for break_list in break_list {
        let bad = reloads(&server, "bad").await;
        break_list();
        eventually("the broken list is counted", async || reloads(&server, "bad").await > bad).await;
        let good = reloads(&server, "good").await;
        pki.write_server(&pki.authority.server().unwrap());
        eventually("the new pair is counted", async || reloads(&server, "good").await > good).await;
        assert!(!is_served(&server, &pki, &pki.client_with_serial(7)).await, "still revoked");
        assert!(is_served(&server, &pki, &pki.client()).await);
    }
    pki.revoke(8);
    eventually("the repaired list is loaded", async || !is_served(&server, &pki, &pki.client_with_serial(8)).await)
        .await;
}
