//! Certificates that the server makes (`--mds-mtls-dir`): in a folder for Google's libraries, and sealed to the VM's TPM.

use super::{BOTH, ask};
use crate::support::get;
use gce_metadata_server::certs::{EndorsementKey, Minted};
use gce_metadata_server::{Address, Certificates, MdsFolder, Metadata, MtlsOptions, Server};
use rcgen::KeyPair;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::path::Path;

#[tokio::test]
async fn mds_mtls_dir_has_the_files_and_modes_that_googles_libraries_expect() {
    let folder = tempfile::tempdir().unwrap();
    let mds = folder.path().join("google-mds-mtls");
    // A temporary file of a server that was killed while it wrote.
    std::fs::create_dir(&mds).unwrap();
    let temporary = mds.join(format!(".gce-metadata-server-{}.new", "0123456789abcdef".repeat(2)));
    std::fs::write(temporary, "-----BEGIN").unwrap();
    let certificates = Certificates::Minted(MdsFolder::new(&mds));
    let server = Server::builder().mtls(MtlsOptions::new(certificates)).start().await.unwrap();
    let root = std::fs::read_to_string(mds.join("root.crt")).unwrap();
    let combined = std::fs::read_to_string(mds.join("client.key")).unwrap();
    let client = Minted { certificate: combined.clone(), key: combined.into() };
    assert_eq!(ask(&server, &root, Some(&client), BOTH).await.unwrap().body, "sample-project");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(mds.join("client.key").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let for_all = MtlsOptions::new(Certificates::Minted(MdsFolder::new(&mds).key_mode(0o644)));
    let _other = Server::builder().mtls(for_all).start().await.unwrap();
    assert_eq!(mds.join("client.key").metadata().unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(mds.read_dir().unwrap().count(), 2, "temporary files are removed");
}

/// Another server may be running with the same folder.
#[tokio::test]
async fn a_failed_start_replaces_no_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let start = async |port| {
        let certificates = Certificates::Minted(MdsFolder::new(folder.path()));
        let options = MtlsOptions::new(certificates);
        Server::builder().mtls_beside((Ipv4Addr::LOCALHOST, port), options).start().await
    };
    let server = start(0).await.unwrap();
    let files = || ["root.crt", "client.key"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
    let before = files();
    let Some(Address::Tcp(taken)) = server.tls_address() else { panic!("no TCP address") };
    let error = start(taken.port()).await.unwrap_err().to_string();
    assert!(error.ends_with("(--tls-port 0 takes any free port)"), "{error}");
    assert!(files() == before);

    let start = async |mds: &Path, attributes: &str| {
        let certificates = Certificates::Minted(MdsFolder::new(mds));
        let builder = Server::builder().mtls(MtlsOptions::new(certificates));
        builder.guest_attributes_file(folder.path().join(attributes)).start().await.unwrap_err().to_string()
    };
    let error = start(folder.path(), "none/attributes.json").await;
    assert!(error.starts_with("guest attributes: "), "{error}");
    assert!(files() == before);
    let error = start(&folder.path().join("root.crt/below"), "attributes.json").await;
    assert!(error.starts_with("HTTPS: "), "{error}");
    assert!(files() == before && folder.path().read_dir().unwrap().count() == 2);
}

#[tokio::test]
async fn mds_client_certificate_is_listed_if_the_endorsement_key_is_known() {
    const NODE: &str = "instance/credentials/mds-client-certificate";
    let folder = tempfile::tempdir().unwrap();
    let start = async |endorsement_key| {
        let mds = MdsFolder::new(folder.path());
        let mds = if let Some(key) = endorsement_key { mds.endorsement_key(key) } else { mds };
        let options = MtlsOptions::new(Certificates::Minted(mds));
        Server::builder().mtls_beside("127.0.0.1:0", options).start().await.unwrap()
    };
    let without = start(None).await;
    for path in [NODE, "instance/credentials/"] {
        assert_eq!(get(&without, path).await.status, 404, "{path}");
    }

    let endorsement_key = EndorsementKey::from_pem(KeyPair::generate().unwrap().public_key_pem().as_bytes()).unwrap();
    let with = start(Some(endorsement_key)).await;
    assert_eq!(get(&with, "instance/credentials/").await.body, "mds-client-certificate\n");
    assert_eq!(get(&with, "instance/credentials/?recursive=true").await.body, "{}");
    assert_eq!(get(&with, "?recursive=true").await.body, get(&without, "?recursive=true").await.body);
    let listings = (get(&with, "instance/").await.body, get(&without, "instance/").await.body);
    assert_eq!(listings.0.replace("credentials/\n", ""), listings.1);
    let answer = get(&with, NODE).await;
    let members = |json: &Value| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&answer.json()), ["encrypted_credentials", "key_import_blob"]);
    assert_eq!(members(&answer.json()["key_import_blob"]), ["duplicate", "encrypted_seed", "public_area"]);
    assert_eq!((answer.header("content-type"), answer.header("etag")), (Some("application/json"), None));
    assert_eq!(get(&with, &format!("{NODE}?wait_for_change=true")).await.status, 400);
    assert_eq!(get(&with, &format!("{NODE}/")).await.status, 404);

    // It stays listed when an embedder publishes other metadata.
    with.publisher().publish(Metadata::empty().tree());
    assert_eq!(get(&with, "instance/credentials/").await.body, "mds-client-certificate\n");
    assert_eq!(crate::listing_walk::walk(&with, &[]).await, 1);
}
