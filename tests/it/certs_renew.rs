//! `certs init --days` and `certs renew`: validity periods, and new certificates from the same root.

use crate::support::program::{Program, failed_start};
use crate::support::repository;
use gce_metadata_server::certs::{Authority, peer_identity};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

const FILES: [&str; 6] = ["root.crt", "root.key", "server.crt", "server.key", "client.crt", "client.key"];

fn certs(args: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.arg("certs").args(args).arg(folder);
    command
}

fn done(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn contents(folder: &Path) -> [String; 6] {
    FILES.map(|name| std::fs::read_to_string(folder.join(name)).unwrap())
}

fn der(folder: &Path, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(folder.join(name)).unwrap()
}

/// The validity period of the certificate in whole days.
fn days(folder: &Path, name: &str) -> i64 {
    let der = der(folder, name);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    (certificate.validity().not_after.timestamp() - certificate.validity().not_before.timestamp()) / (24 * 3600)
}

#[test]
fn certs_init_days_sets_the_validity_and_the_root_is_valid_for_longer() {
    let folder = tempfile::tempdir().unwrap();
    for (args, expected) in [(&["init"][..], 7), (&["init", "--days", "1"], 1), (&["init", "--days", "3650"], 3650)] {
        let certificates = folder.path().join(expected.to_string());
        done(certs(args, &certificates));
        assert_eq!(["server.crt", "client.crt"].map(|name| days(&certificates, name)), [expected; 2]);
        assert!(days(&certificates, "root.crt") > expected);
    }
    for wrong in ["0", "3651", "week"] {
        let said = failed_start(certs(&["init", "--days", wrong], &folder.path().join("none")));
        assert!(said.contains("--days"), "{said}");
    }
    assert!(!folder.path().join("none").exists());
}

#[test]
fn certs_renew_makes_new_keys_with_the_same_names_and_root() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    done(certs(&["init", "--client", "a", "--dns-name", "a.example.com", "--dns-name", "b.example.com"], folder));
    let (client_key, before) = (folder.join("client.key"), contents(folder));
    std::fs::set_permissions(&client_key, std::fs::Permissions::from_mode(0o640)).unwrap();

    let said = done(certs(&["renew", "--days", "30"], folder));
    assert_eq!(said.lines().count(), 4, "{said}");
    let after = contents(folder);
    assert_eq!(before[..2], after[..2], "the root stays");
    assert!(before.iter().zip(&after).skip(2).all(|(before, after)| before != after));
    assert_eq!(["server.crt", "client.crt"].map(|name| days(folder, name)), [30; 2]);
    let client = peer_identity(&[der(folder, "client.crt")]).unwrap();
    assert_eq!(client.common_name.as_deref(), Some("a"));
    assert_eq!(client.dns_names, ["a.example.com", "b.example.com"]);
    let mode = |name: &str| folder.join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(FILES.map(mode), [0o644, 0o600, 0o644, 0o600, 0o644, 0o640], "file modes are kept");
    assert_eq!(folder.read_dir().unwrap().count(), 6, "no temporary file remains");
}

/// The server needs no restart, and a client that trusts the root needs no change.
#[test]
fn a_running_server_loads_renewed_certificates() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, log) = (parent.path().join("certs"), parent.path().join("log"));
    done(certs(&["init", "--days", "10"], &folder));
    let mut program = Program::start(|command| {
        command.args(["--usemTLS", "--configFile"]).arg(repository("config.json")).current_dir(parent.path());
        command.stderr(std::fs::File::create(&log).unwrap());
    });
    let address = program.wait_for("https://");
    let log_line = |text: &str| {
        let log = std::fs::read_to_string(&log).unwrap();
        log.lines().find(|line| line.contains(text)).map(str::to_owned)
    };
    let curl = || {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-H", "Metadata-Flavor: Google", "--cacert", "root.crt", "--cert", "client.crt"])
            .args(["--key", "client.key", "-v", "--connect-to", &format!("metadata.google.internal:443:{address}")])
            .arg("https://metadata.google.internal/computeMetadata/v1/project/project-id")
            .current_dir(&folder);
        let output = curl.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(curl(), "sample-project");
    // A new certificate is not warned of, however short its validity is.
    assert!(log_line("expires in").is_none(), "{:?}", log_line("expires in"));

    done(certs(&["renew", "--days", "30"], &folder));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while log_line("certs/server.crt: reloaded").is_none() {
        assert!(std::time::Instant::now() < deadline, "{}", std::fs::read_to_string(&log).unwrap());
        std::thread::yield_now();
    }
    assert_eq!(curl(), "sample-project");
    assert!(log_line("ERROR").is_none(), "{:?}", log_line("ERROR"));
    program.stop();
}

#[test]
fn certs_renew_without_the_root_key_changes_nothing_and_the_error_names_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    done(certs(&["init"], folder));
    let (before, key) = (contents(folder), folder.join("root.key"));
    std::fs::write(&key, &*Authority::new().unwrap().key()).unwrap();
    let said = failed_start(certs(&["renew"], folder));
    assert!(said.contains("root.crt: ") && said.contains("does not belong to its certificate"), "{said}");
    std::fs::remove_file(&key).unwrap();
    let said = failed_start(certs(&["renew"], folder));
    assert!(
        said.contains("root.key: needed to renew; create new certificates with `certs init`: No such file"),
        "{said}"
    );
    std::fs::write(&key, &before[1]).unwrap();
    assert_eq!(contents(folder), before);
}
