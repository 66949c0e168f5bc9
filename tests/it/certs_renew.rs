//! `certs init --days` and `certs renew`: how long certificates are valid, and new ones by the same root.

use crate::support::program::{Program, refusal};
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

/// For how many whole days the certificate is valid.
fn days(folder: &Path, name: &str) -> i64 {
    let der = der(folder, name);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    (certificate.validity().not_after.timestamp() - certificate.validity().not_before.timestamp()) / (24 * 3600)
}

#[test]
fn certificates_are_valid_for_the_given_days_and_the_root_for_longer() {
    let folder = tempfile::tempdir().unwrap();
    for (args, expected) in [(&["init"][..], 7), (&["init", "--days", "1"], 1), (&["init", "--days", "3650"], 3650)] {
        let certificates = folder.path().join(expected.to_string());
        done(certs(args, &certificates));
        assert_eq!(["server.crt", "client.crt"].map(|name| days(&certificates, name)), [expected; 2]);
        assert!(days(&certificates, "root.crt") > expected);
    }
    for wrong in ["0", "3651", "week"] {
        let said = refusal(certs(&["init", "--days", wrong], &folder.path().join("none")));
        assert!(said.contains("--days"), "{said}");
    }
    assert!(!folder.path().join("none").exists());
}

#[test]
fn renewed_certificates_have_new_keys_the_same_names_and_the_same_root() {
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
    assert_eq!(FILES.map(mode), [0o644, 0o600, 0o644, 0o600, 0o644, 0o640], "modes stay as their owner set them");
    assert_eq!(folder.read_dir().unwrap().count(), 6, "nothing else stays behind");
}

/// The server is not restarted, and a client that trusts the root goes on without a change.
#[test]
fn a_running_server_takes_renewed_certificates_over() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, log) = (parent.path().join("certs"), parent.path().join("log"));
    done(certs(&["init", "--days", "10"], &folder));
    let mut program = Program::start(|command| {
        command.args(["--usemTLS", "--configFile"]).arg(repository("config.json")).current_dir(parent.path());
        command.stderr(std::fs::File::create(&log).unwrap());
    });
    let address = program.says("https://");
    let served = |text: &str| {
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
    // They expire within 14 days, which is said at the start.
    let warning = served("certs/server.crt: ").unwrap();
    for part in ["WARN", "CN=metadata.google.internal", "expires in 9 days, on 20", "certs renew"] {
        assert!(warning.contains(part), "{part}: {warning}");
    }

    done(certs(&["renew", "--days", "30"], &folder));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while served("certs/server.crt: reloaded").is_none() {
        assert!(std::time::Instant::now() < deadline, "{}", std::fs::read_to_string(&log).unwrap());
        std::thread::yield_now();
    }
    assert_eq!(curl(), "sample-project");
    assert!(served("ERROR").is_none(), "{:?}", served("ERROR"));
    program.stop();
}

#[test]
fn without_the_roots_key_nothing_is_renewed_and_the_error_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    done(certs(&["init"], folder));
    let (before, key) = (contents(folder), folder.join("root.key"));
    std::fs::write(&key, &*Authority::new().unwrap().key()).unwrap();
    let said = refusal(certs(&["renew"], folder));
    assert!(said.contains("root.crt: ") && said.contains("does not belong to its certificate"), "{said}");
    std::fs::remove_file(&key).unwrap();
    let said = refusal(certs(&["renew"], folder));
    assert!(
        said.contains("root.key: needed to renew; create new certificates with `certs init`: No such file"),
        "{said}"
    );
    std::fs::write(&key, &before[1]).unwrap();
    assert_eq!(contents(folder), before);
}
