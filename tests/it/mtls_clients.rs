//! The program with HTTPS, used by real clients: curl, google-auth and Node.

use crate::support::program::{Program, failed_start};
use crate::support::{get_at, repository};
use gce_metadata_server::certs::peer_identity;
use rcgen::{Issuer, KeyPair, SerialNumber};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

/// Starts the program with HTTPS; returns it and its `HOST:PORT` for HTTPS.
fn start(args: &[&str]) -> (Program, String) {
    start_with(args, |_| {})
}

fn start_with(args: &[&str], change: impl FnOnce(&mut Command)) -> (Program, String) {
    let mut program = Program::start(|command| {
        command.arg("--configFile").arg(repository("config.json")).args(args);
        change(command);
    });
    let address = program.wait_for("https://");
    (program, address)
}

fn stdout_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn curl(address: &str, args: &[&str], folder: &Path) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-H", "Metadata-Flavor: Google", "--connect-to"])
        .arg(format!("metadata.google.internal:443:{address}"))
        .args(args)
        .arg("https://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/email")
        .current_dir(folder);
    curl
}

const EMAIL: &str = "vm-1@sample-project.iam.gserviceaccount.com";

/// The Go emulator's command line and its curl call, with certificates of `certs init`.
#[test]
fn the_go_emulators_mtls_command_line_works() {
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path().join("certs");
    let init = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
        command.args(["certs", "init"]).arg(&certs);
        command
    };
    assert_eq!(stdout_of(&mut init()).lines().count(), 6);
    let again = init().output().unwrap();
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("already exists"));

    let path = |name: &str| certs.join(name).to_str().unwrap().to_owned();
    let (cert, key, root) = (path("server.crt"), path("server.key"), path("root.crt"));
    let (_running, address) = start(&["--usemTLS", "--serverCert", &cert, "--serverKey", &key, "--rootCAmTLS", &root]);
    let client_options = ["--cert", "certs/client.crt", "--key", "certs/client.key", "--cacert", "certs/root.crt"];
    assert_eq!(stdout_of(&mut curl(&address, &client_options, folder.path())), EMAIL);
    let without = curl(&address, &client_options[4..], folder.path()).output().unwrap();
    assert!(!without.status.success());
}

/// The client's name is the VM's, or that of `--mds-mtls-client`.
#[test]
fn log_lines_have_the_client_certificates_subject() {
    for (option, peer) in [(&[][..], "vm-1"), (&["--mds-mtls-client", "another"], "another")] {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let args =
            [&["-v", "1", "--tls-port", "0", "--mds-mtls-dir", folder.path().to_str().unwrap()][..], option].concat();
        let (_running, address) = start_with(&args, |command| {
            command.stderr(std::fs::File::create(&log).unwrap());
        });
        stdout_of(&mut curl(&address, &["--cacert", "root.crt", "-E", "client.key"], folder.path()));
        let log = std::fs::read_to_string(log).unwrap();
        let line = log.lines().find(|line| line.contains("default/email")).unwrap();
        assert!(line.contains(&format!("C=US, O=Google Compute Engine, CN={peer}")), "{line}");
        let der = CertificateDer::from_pem_file(folder.path().join("client.key")).unwrap();
        let dns_names = peer_identity(&[der]).unwrap().dns_names;
        assert_eq!(dns_names[0], format!("{peer}.c.sample-project.internal"));
    }
}

#[test]
fn mtls_allow_and_mtls_crl_options_take_effect() {
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path().join("certs");
    stdout_of(
        Command::new(env!("CARGO_BIN_EXE_gce-metadata-server")).args(["certs", "init", "--client", "a"]).arg(&certs),
    );
    let read = |name: &str| std::fs::read_to_string(certs.join(name)).unwrap();
    std::fs::write(certs.join("crl.pem"), revocation_list(&read("root.crt"), &read("root.key"), &read("client.crt")))
        .unwrap();
    let client_options = ["-w", " %{http_code}", "--cert", "client.crt", "--key", "client.key", "--cacert", "root.crt"];
    for (options, status) in [
        (&["--mtls-allow", "b", "--mtls-allow", "a"][..], Some(" 200")),
        (&["--mtls-allow", "b"], Some(" 403")),
        (&["--mtls-crl", "crl.pem"], None),
    ] {
        let files = ["--usemTLS", "--serverCert=server.crt", "--serverKey=server.key", "--rootCAmTLS=root.crt"];
        let (_running, address) = start_with(&[&files, options].concat(), |command| {
            command.current_dir(&certs);
        });
        let output = curl(&address, &client_options, &certs).output().unwrap();
        assert_eq!(output.status.success(), status.is_some(), "{options:?}: {output:?}");
        assert!(String::from_utf8(output.stdout).unwrap().ends_with(status.unwrap_or(" 000")), "{options:?}");
    }
}

/// A revocation list of this authority with one certificate.
fn revocation_list(root: &str, key: &str, revoked: &str) -> String {
    let issuer = Issuer::from_ca_cert_pem(root, KeyPair::from_pem(key).unwrap()).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(revoked.as_bytes()).unwrap();
    let serial = SerialNumber::from_slice(pem.parse_x509().unwrap().raw_serial());
    super::mtls::revocation_list(&issuer, serial)
}

/// Sealing to an endorsement key works without the feature `tpm`.
#[tokio::test]
async fn mds_ek_reads_the_endorsement_key_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (ek, mds) = (folder.path().join("ek.pem"), folder.path().join("mds"));
    let args = ["--tls-port", "0", "--mds-ek", ek.to_str().unwrap(), "--mds-mtls-dir", mds.to_str().unwrap()];
    std::fs::write(&ek, KeyPair::generate().unwrap().public_key_pem()).unwrap();
    let mut program = Program::start(|command| {
        command.args(args);
    });
    let answer = get_at(&program.wait_for("GCE_METADATA_HOST="), "instance/credentials/mds-client-certificate").await;
    assert!(answer.status == 200 && answer.body.starts_with(r#"{"encrypted_credentials":""#), "{answer:?}");

    let refused = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
        command.args(args);
        failed_start(command)
    };
    std::fs::write(&ek, "nothing").unwrap();
    assert!(refused(&args).contains("ek.pem: no PUBLIC KEY or CERTIFICATE in PEM"), "{}", refused(&args));
    assert!(refused(&args[..4]).contains("--mds-mtls-dir"), "{}", refused(&args[..4]));
    #[cfg(not(feature = "tpm"))]
    assert!(refused(&["--tls-port", "0", "--mds-mtls-dir", "x", "--tpm-path", "x"]).contains("--features tpm"));
}

#[test]
fn curl_by_every_name_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let (_running, address) = start(&["--usemTLS", "--mds-mtls-dir", folder.path().to_str().unwrap()]);
    for name in ["metadata.google.internal", "metadata.goog", "localhost", "169.254.169.254", "[fd20:ce::254]"] {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-H", "Metadata-Flavor: Google", "--cacert", "root.crt", "-E", "client.key", "--connect-to"]);
        curl.arg(format!("{name}:443:{address}")).arg(format!("https://{name}/computeMetadata/v1/instance/name"));
        assert_eq!(stdout_of(curl.current_dir(folder.path())), "vm-1", "{name}");
    }
}

/// The modes do not depend on the umask, which services often set to 077.
#[test]
fn mds_mtls_mode_overrides_the_umask() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("mds");
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_gce-metadata-server")]);
    command.args(["--port", "0", "--tls-port", "0", "--mds-mtls-mode", "644", "--mds-mtls-dir"]).arg(&folder);
    command.stderr(Stdio::null());
    Program::of(command).wait_for("GCE_METADATA_HOST=");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o755);
    assert_eq!([mode(&folder.join("root.crt")), mode(&folder.join("client.key"))], [0o644; 2]);
}

#[test]
fn curl_with_certificates_of_mds_mtls_dir() {
    let folder = tempfile::tempdir().unwrap();
    let (_running, address) = start(&["--tls-port", "0", "--mds-mtls-dir", folder.path().to_str().unwrap()]);
    // The call from the guest agent's documentation.
    assert_eq!(stdout_of(&mut curl(&address, &["--cacert", "root.crt", "-E", "client.key"], folder.path())), EMAIL);
}

fn client(program: &Path, script: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (_running, address) = start(&["--usemTLS", "--mds-mtls-dir", folder.path().to_str().unwrap()]);
    stdout_of(
        Command::new(program)
            .arg(repository("tests/clients").join(script))
            .env_clear()
            .env("PATH", env!("PATH"))
            .env("MTLS_ADDRESS", &address)
            .env("MTLS_FOLDER", folder.path()),
    );
}

#[test]
#[ignore = "needs Python packages, which scripts/test installs"]
fn python_google_auth_in_strict_mode() {
    client(&repository("target/clients/venv/bin/python"), "python/mtls.py");
}

#[test]
#[ignore = "needs Node, which scripts/test installs"]
fn node_https_agent() {
    client(Path::new("node"), "node/mtls.js");
}
