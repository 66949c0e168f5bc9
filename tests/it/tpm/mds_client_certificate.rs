//! `instance/credentials/mds-client-certificate` as the guest agent uses it: fetch it, unseal it in the VM's TPM, connect with it.

use crate::support::program::Program;
use crate::support::swtpm::Swtpm;
use crate::support::{get_at, repository};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const NODE: &str = "instance/credentials/mds-client-certificate";

/// Starts the program with HTTPS beside HTTP; returns it and both `HOST:PORT`s.
fn start(folder: &Path, option: &str, value: &Path) -> (Program, String, String) {
    let mut program = Program::start(|command| {
        command.arg("--config-file").arg(repository("config.json"));
        command.args(["--tls-port", "0", "--mds-mtls-dir"]).arg(folder).arg(option).arg(value);
    });
    let http = program.wait_for("GCE_METADATA_HOST=");
    let https = program.wait_for("https://");
    (program, http, https)
}

fn bytes(json: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(json.as_str().unwrap()).unwrap()
}

/// Imports a blob below the TPM's endorsement key and unseals it.
fn unsealed(tpm: &Swtpm, blob: &Value) -> Vec<u8> {
    for (name, json) in [("public", "public_area"), ("duplicate", "duplicate"), ("seed", "encrypted_seed")] {
        let content = bytes(&blob[json]);
        let size = u16::try_from(content.len()).unwrap().to_be_bytes();
        std::fs::write(tpm.file(name), [&size[..], &content].concat()).unwrap();
    }
    let with_endorsement = |line: &str| {
        tpm.run("tpm2_startauthsession --policy-session -S session");
        tpm.run("tpm2_policysecret -Q -S session -c e");
        tpm.run(line);
        tpm.run("tpm2_flushcontext session");
    };
    tpm.run("tpm2_createek -Q -c ek.ctx -G ecc -u ek.pub");
    tpm.run("tpm2_flushcontext -t");
    with_endorsement("tpm2_import -Q -C ek.ctx -P session:session -u public -i duplicate -s seed -r private");
    tpm.run("tpm2_flushcontext -t");
    with_endorsement("tpm2_load -Q -C ek.ctx -P session:session -u public -r private -c sealed.ctx");
    tpm.run("tpm2_flushcontext -t");
    tpm.run("tpm2_unseal -Q -c sealed.ctx -o unsealed");
    tpm.run("tpm2_flushcontext -t");
    std::fs::read(tpm.file("unsealed")).unwrap()
}

fn decrypted(key: &[u8], encrypted: &[u8]) -> Vec<u8> {
    let (nonce, rest) = encrypted.split_at(NONCE_LEN);
    let mut rest = rest.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
    RandomizedNonceKey::new(&AES_256_GCM, key).unwrap().open_in_place(nonce, Aad::empty(), &mut rest).unwrap().to_vec()
}

fn curl(https: &str, folder: &Path, path: &str) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "-H", "Metadata-Flavor: Google", "--cacert", "root.crt", "-E", "client.key"]);
    curl.arg("--connect-to").arg(format!("169.254.169.254:443:{https}"));
    curl.arg(format!("https://169.254.169.254/computeMetadata/v1/{path}")).current_dir(folder);
    let output = curl.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Once with the endorsement key from a file and once read from a TPM that the server shares with the client.
#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn the_vms_tpm_unseals_its_client_certificate() {
    let tpm = Swtpm::with(&[]);
    tpm.run("tpm2_createek -Q -c ek.ctx -G ecc -u ek.pem -f pem");
    tpm.run("tpm2_flushcontext -t");
    for (option, value) in [("--mds-ek", "ek.pem"), ("--tpm-path", "socket")] {
        let (server, vm) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (_running, http, https) = start(server.path(), option, &tpm.file(value));
        let answer = get_at(&http, NODE).await;
        assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
        assert!(!answer.body.contains(' ') && !answer.body.contains('\n'), "{}", answer.body);
        let answer = answer.json();

        let key = unsealed(&tpm, &answer["key_import_blob"]);
        assert_eq!(key.len(), 32);
        let credentials = decrypted(&key, &bytes(&answer["encrypted_credentials"]));
        let text = String::from_utf8(credentials).unwrap();
        assert!(text.starts_with("-----BEGIN CERTIFICATE-----\n"), "{option}");
        assert!(text.contains("\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\n"), "{option}");
        std::fs::write(vm.path().join("client.key"), &text).unwrap();
        // A real VM reads the root from a variable of its firmware.
        std::fs::copy(server.path().join("root.crt"), vm.path().join("root.crt")).unwrap();
        let verified = Command::new("openssl")
            .args(["verify", "-purpose", "sslclient", "-CAfile", "root.crt", "client.key"])
            .current_dir(vm.path())
            .output()
            .unwrap();
        assert!(verified.status.success(), "{verified:?}");
        assert_eq!(curl(&https, vm.path(), "instance/name"), "vm-1");

        let again = get_at(&http, NODE).await.json();
        assert_eq!(again, answer, "the sealed certificate is the same until it is renewed");
    }
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn another_tpm_can_not_unseal_the_client_certificate() {
    let (tpm, other) = (Swtpm::with(&[]), Swtpm::with(&[]));
    let server = tempfile::tempdir().unwrap();
    let (_running, http, _) = start(server.path(), "--tpm-path", &tpm.file("socket"));
    let answer = get_at(&http, NODE).await.json();
    unsealed(&tpm, &answer["key_import_blob"]);
    for (name, json) in [("public", "public_area"), ("duplicate", "duplicate"), ("seed", "encrypted_seed")] {
        assert!(tpm.file(name).exists() && answer["key_import_blob"][json].is_string());
        std::fs::copy(tpm.file(name), other.file(name)).unwrap();
    }
    other.run("tpm2_createek -Q -c ek.ctx -G ecc -u ek.pub");
    other.run("tpm2_flushcontext -t");
    other.run("tpm2_startauthsession --policy-session -S session");
    other.run("tpm2_policysecret -Q -S session -c e");
    let line = "-C ek.ctx -P session:session -u public -i duplicate -s seed -r private";
    let refused = other.tool("tpm2_import").args(line.split(' ')).output().unwrap();
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && error.contains("integrity check failed"), "{error}");
}

#[test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
fn invalid_endorsement_keys_are_errors() {
    let tpm = Swtpm::with(&[]);
    tpm.run("tpm2_createek -Q -c ek.ctx -G rsa -u rsa-ek.pem -f pem");
    let refused = |option: &str, value: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"))
            .args(["--port", "0", "--tls-port", "0", "--mds-mtls-dir", "mds", option])
            .arg(value)
            .env_clear()
            .env("TSS2_LOG", "all+none")
            .current_dir(tpm.folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let rsa = refused("--mds-ek", Path::new("rsa-ek.pem"));
    assert!(rsa.contains("--mds-ek rsa-ek.pem: an RSA key, but") && rsa.contains("-G ecc"), "{rsa}");
    let nowhere = refused("--tpm-path", &tpm.file("nothing"));
    assert!(nowhere.contains("--mds-ek") && nowhere.contains("no TPM at"), "{nowhere}");
}
