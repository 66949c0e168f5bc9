//! Revocation of clients with open connections, and revocation lists (CRLs) made by openssl.

use super::keys::openssl;
use super::{BOTH, Pki, ask, connect, handshakes};
use crate::support::{Client, eventually};
use gce_metadata_server::Server;
use gce_metadata_server::certs::Minted;
use std::time::Duration;
use tokio::time::timeout;
use tokio_rustls::rustls::version;

const PROJECT: &str = "project/project-id";

async fn until_refused(server: &Server, root: &str, client: &Minted, reason: &str) {
    eventually(reason, async || {
        let _ = ask(server, root, Some(client), BOTH).await;
        handshakes(server, reason).await
    })
    .await;
}

/// Asserts that the next request is answered 403 and the connection is closed.
async fn assert_closed_at_the_next_request(client: &mut Client) {
    let answer = client.get(PROJECT).await;
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (403, Some("close")));
    assert_eq!(answer.header("metadata-flavor"), Some("Google"), "the server's headers are set");
    assert!(client.try_get(PROJECT).await.is_err());
}

#[tokio::test]
async fn an_open_connection_of_a_revoked_client_is_closed_at_its_next_request() {
    for version in [&version::TLS12, &version::TLS13] {
        let pki = Pki::new();
        pki.revoke(1);
        let server = pki.serve().await;
        let (root, revoked) = (pki.authority.certificate(), pki.client_with_serial(7));
        let mut connection = connect(&server, root, Some(&revoked), &[version]).await.unwrap();
        let mut other = connect(&server, root, Some(&pki.client_with_serial(8)), &[version]).await.unwrap();
        assert_eq!(connection.get(PROJECT).await.status, 200);
        // A list without the client's certificate: the connection stays open.
        pki.revoke(9);
        until_refused(&server, root, &pki.client_with_serial(9), "revoked").await;
        assert_eq!(connection.get(PROJECT).await.status, 200);

        pki.write("server.key", "nothing");
        pki.revoke(7);
        eventually("the client is refused", async || ask(&server, root, Some(&revoked), BOTH).await.is_err()).await;
        assert_closed_at_the_next_request(&mut connection).await;
        assert_eq!(other.get(PROJECT).await.status, 200, "another client's connection stays");
    }
}

#[tokio::test]
async fn an_open_connection_of_a_client_of_a_removed_authority_is_closed_at_its_next_request() {
    let (pki, other) = (Pki::new(), Pki::new());
    pki.write("root.crt", &[pki.authority.certificate(), other.authority.certificate()].concat());
    let server = pki.serve().await;
    let (root, client) = (pki.authority.certificate(), other.client());
    let mut removed = connect(&server, root, Some(&client), BOTH).await.unwrap();
    let mut stays = connect(&server, root, Some(&pki.client()), BOTH).await.unwrap();
    assert_eq!(removed.get(PROJECT).await.status, 200);
    pki.write("root.crt", root);
    until_refused(&server, root, &client, "unknown_issuer").await;
    assert_closed_at_the_next_request(&mut removed).await;
    assert_eq!(stays.get(PROJECT).await.status, 200);
}

#[tokio::test]
async fn a_long_poll_is_aborted_when_its_client_is_revoked() {
    let pki = Pki::new();
    pki.revoke(1);
    let server = pki.serve().await;
    let (root, revoked) = (pki.authority.certificate(), pki.client_with_serial(7));
    let mut waiting = connect(&server, root, Some(&revoked), BOTH).await.unwrap();
    let mut other = connect(&server, root, Some(&pki.client_with_serial(8)), BOTH).await.unwrap();
    let etag = waiting.get("instance/tags").await.etag().to_owned();
    let path = format!("instance/tags?wait_for_change=true&last_etag={etag}");
    let [waiting, mut other] = [&mut waiting, &mut other].map(|client| Box::pin(client.try_get(&path)));
    let revoke = async {
        let polled = async || crate::support::ask_metrics(&server, "/metrics").await.1.contains("metadata_waiters 2\n");
        eventually("both long polls wait", polled).await;
        pki.revoke(7);
    };
    tokio::select! {
        (ended, ()) = async { tokio::join!(timeout(Duration::from_secs(30), waiting), revoke) } => {
            assert!(ended.unwrap().is_err(), "closed without an answer");
        }
        answer = &mut other => panic!("the other client is answered: {answer:?}"),
    }
    server.publisher().set("instance/tags", serde_json::json!(["changed"])).unwrap();
    assert_eq!(other.await.unwrap().status, 200);
}

/// openssl makes lists of version 1 by default. The error about one describes how to make a list of version 2.
#[tokio::test]
#[ignore = "needs openssl, which scripts/test installs"]
async fn the_error_about_a_version_1_crl_says_how_to_make_version_2() {
    let pki = Pki::new();
    let client = pki.client();
    let config = |section: &str| {
        format!(
            "[ca]\ndefault_ca = it\n[it]\ndatabase = index.txt\ndefault_md = sha256\ncertificate = root.crt\n\
             private_key = root.key\n{section}\n[extensions]\nauthorityKeyIdentifier = keyid:always\n"
        )
    };
    pki.write("root.key", &pki.authority.key());
    pki.write("client.crt", &client.certificate);
    pki.write("index.txt", "");
    pki.write("crlnumber", "01\n");
    let make = |section: &str, args: &[&str]| {
        pki.write("ca.cnf", &config(section));
        let ca = ["ca", "-config", "ca.cnf"];
        openssl(&pki, &[&ca[..], &["-gencrl", "-crldays", "30", "-out", "revoked.pem"], args].concat(), "revoked.pem");
    };
    pki.write("ca.cnf", &config(""));
    openssl(&pki, &["ca", "-config", "ca.cnf", "-revoke", "client.crt"], "ca.cnf");
    make("", &[]);
    let error = super::Server::builder().mtls(pki.options()).start().await.unwrap_err().to_string();
    for part in ["revoked.pem: ", "version 1", "version 2", "crlNumber", "`crl_extensions = ", "`-crlexts "] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let number = "crlnumber = crlnumber";
    let (option, line) = (["-crlexts", "extensions"], format!("{number}\ncrl_extensions = extensions"));
    for (section, args) in [(number, &option[..]), (&line, &[])] {
        make(section, args);
        let server = pki.serve().await;
        assert!(ask(&server, pki.authority.certificate(), Some(&client), BOTH).await.is_err());
        assert!(handshakes(&server, "revoked").await);
        assert!(ask(&server, pki.authority.certificate(), Some(&pki.client()), BOTH).await.is_ok());
    }
}
