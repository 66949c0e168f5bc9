//! The commands `tpm import`, `generate`, `certify`, `show` and `ek-name`: their output works with the program and other tools.

use crate::support::google::new_key;
use crate::support::swtpm::Swtpm;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gce_metadata_server::signer::PemSigner;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc::channel;

fn command(tpm: &Swtpm, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.arg("tpm").args(line.split(' ')).arg("--tpm-path").arg(tpm.file("socket"));
    command.current_dir(tpm.folder.path()).env_clear().env("TSS2_LOG", "all+none");
    command
}

/// Runs a `tpm` command and returns its standard output.
fn stdout_of(tpm: &Swtpm, line: &str) -> String {
    let Output { status, stdout, stderr } = command(tpm, line).output().unwrap();
    assert!(status.success(), "{line}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn refused(tpm: &Swtpm, line: &str) -> String {
    let Output { status, stderr, .. } = command(tpm, line).output().unwrap();
    assert_eq!(status.code(), Some(1), "{line}");
    String::from_utf8(stderr).unwrap()
}

/// Verifies a signature of `message` with openssl.
fn assert_verifies(tpm: &Swtpm, public: &str, signature: &[u8]) {
    std::fs::write(tpm.file("public.pem"), public).unwrap();
    std::fs::write(tpm.file("message"), "message").unwrap();
    std::fs::write(tpm.file("signature"), signature).unwrap();
    let checked = tpm.run("openssl dgst -sha256 -verify public.pem -signature signature message");
    assert_eq!(checked.trim(), "Verified OK");
}

fn public_key(shown: &str) -> String {
    let start = shown.find("-----BEGIN PUBLIC KEY-----").unwrap();
    let end = shown.find("-----END PUBLIC KEY-----").unwrap();
    format!("{}-----END PUBLIC KEY-----\n", &shown[start..end])
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn tpm_import_stores_a_service_account_key() {
    let tpm = Swtpm::with(&[]);
    let json = serde_json::json!({"type": "service_account", "private_key": tpm.pem});
    std::fs::write(tpm.file("sa.json"), json.to_string()).unwrap();
    std::fs::write(tpm.file("password"), "made-up password\n").unwrap();
    let fingerprint = PemSigner::from_pem(&tpm.pem).unwrap().info().spki_sha256;
    let base64 = BASE64_STANDARD.encode(fingerprint);
    let fingerprint: String = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    for (parent, more) in [("h2", ""), ("ek", " --persistent 0x81010005")] {
        let line = format!("import --key sa.json --out {parent}.pem --parent {parent} --key-pass-file password{more}");
        let shown = stdout_of(&tpm, &line);
        assert!(shown.contains(&fingerprint) && shown.contains("policy:      none"), "{shown}");
        assert!(shown.contains(&format!("fingerprint: {base64}\n")), "{shown}");
        let key = tpm.key(&format!("{parent}.pem")).password("made-up password");
        super::signer::signs_alike(&tpm, key).await;
    }
    let shown = stdout_of(&tpm, "show --persistent 0x81010005");
    assert!(shown.contains(&format!("fingerprint: {base64}\n             {fingerprint} (hex)\n")), "{shown}");
    assert!(shown.contains("2048 bits, PKCS#1 v1.5 and PSS"), "{shown}");
    stdout_of(&tpm, "import --key rsa.pem --out bound.pem --pcrs sha1:16+sha256:23");
    super::signer::signs_alike(&tpm, tpm.key("bound.pem").pcrs("sha1:16+sha256:23")).await;
    stdout_of(&tpm, "import --key rsa.pem --out both.pem --pcrs 23 --key-pass-file password");
    super::signer::signs_alike(&tpm, tpm.key("both.pem").pcrs("23").password("made-up password")).await;

    let taken = refused(&tpm, "import --key rsa.pem --out x.pem --persistent 0x81010005");
    assert!(taken.contains("0x81010005: the handle is in use"), "{taken}");
    std::fs::write(tpm.file("none.json"), r#"{"private_key": {"hidden": "made-up"}}"#).unwrap();
    let none = refused(&tpm, "import --key none.json --out x.pem");
    assert!(none.contains("none.json: not a service account key") && !none.contains("hidden"), "{none}");
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn tpm_generate_makes_a_key_and_a_certificate() {
    let tpm = Swtpm::with(&[]);
    for (bits, parent) in [(2048, "h2"), (3072, "ek")] {
        let line = format!(
            "generate --bits {bits} --out {parent}.pem --cert {parent}.crt --name made-up --parent {parent} --pcrs 23"
        );
        let shown = stdout_of(&tpm, &line);
        assert!(shown.contains(&format!("{bits} bits")) && !shown.contains("policy:      none"), "{shown}");
        assert_eq!(certified(&tpm, &format!("{parent}.crt")), public_key(&shown));
        let again = format!("certify --key {parent}.pem --cert again-{parent}.crt --name made-up --pcrs 23");
        assert!(stdout_of(&tpm, &again).contains(&format!("keys upload again-{parent}.crt")));
        assert_eq!(certified(&tpm, &format!("again-{parent}.crt")), public_key(&shown));
        let signer = super::signer::open(tpm.key(&format!("{parent}.pem")).pcrs("23"));
        assert_verifies(&tpm, &public_key(&shown), &super::signer::sign(&signer, "message").await.unwrap());
    }
}

#[test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
fn unsupported_key_sizes_and_long_passwords_are_errors() {
    let tpm = Swtpm::with(&[]);
    tpm.run("openssl genrsa -out long.pem 4096");
    let password = "x".repeat(33);
    for (line, text) in [
        ("generate --bits 1024 --out k.pem --cert k.crt", "1024 bits: 2048 or 3072 are expected"),
        ("generate --bits 4096 --out k.pem --cert k.crt", "4096 bits: 2048 or 3072 are expected"),
        ("import --key long.pem --out k.pem", "long.pem: 4096 bits: 2048 or 3072 are expected"),
        (&format!("import --key rsa.pem --out k.pem --key-pass {password}"), "has 33 bytes; at most 32 are possible"),
        (&format!("generate --out k.pem --cert k.crt --key-pass {password}"), "has 33 bytes; at most 32 are possible"),
    ] {
        let error = refused(&tpm, line);
        assert!(error.contains(text), "{line}: {error}");
    }
}

/// Verifies a self-signed certificate; returns its public key.
fn certified(tpm: &Swtpm, certificate: &str) -> String {
    let verified = tpm.run(&format!("openssl verify -CAfile {certificate} {certificate}"));
    assert_eq!(verified.trim(), format!("{certificate}: OK"));
    assert!(tpm.run(&format!("openssl x509 -in {certificate} -noout -subject")).contains("made-up"));
    tpm.run(&format!("openssl x509 -in {certificate} -noout -pubkey"))
}

#[test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
fn no_file_is_overwritten() {
    let tpm = Swtpm::with(&[]);
    std::fs::write(tpm.file("other.pem"), "made-up key").unwrap();
    for (line, text) in [
        ("import --key rsa.pem --out other.pem", "other.pem already exists"),
        ("generate --out other.pem --cert k.crt", "other.pem already exists"),
        ("generate --out k.pem --cert other.pem", "other.pem already exists"),
        ("generate --out k.pem --cert ./k.pem", "--out and --cert name the same file"),
    ] {
        let error = refused(&tpm, line);
        assert!(error.contains(text), "{line}: {error}");
    }
    assert_eq!(std::fs::read(tpm.file("other.pem")).unwrap(), b"made-up key");
    assert!(!tpm.file("k.pem").exists() && !tpm.file("k.crt").exists());
}

#[test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
fn output_files_with_similar_names_do_not_collide() {
    let tpm = Swtpm::with(&[]);
    std::fs::write(tpm.file("x.pem.new"), "another file").unwrap();
    stdout_of(&tpm, "generate --out x.pem --cert x.crt --name made-up");
    assert_eq!(std::fs::read(tpm.file("x.pem.new")).unwrap(), b"another file");
    let shown = stdout_of(&tpm, "generate --out k.pem.new --cert k.pem --name made-up");
    assert_eq!(certified(&tpm, "k.pem"), public_key(&shown));
    assert_eq!(public_key(&stdout_of(&tpm, "show --key k.pem.new")), public_key(&shown));
}

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// Output files are written after the TPM has answered, so a failed or interrupted command leaves none and can be repeated.
#[test]
fn output_files_are_not_created_before_the_tpm_has_answered() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tpm")).unwrap();
    std::fs::write(folder.path().join("sa.pem"), new_key().0).unwrap();
    // A TPM that lists the folder's files on each connection and closes it.
    let listener = UnixListener::bind(folder.path().join("tpm/sock")).unwrap();
    let (sender, seen) = channel();
    let looked_at = folder.path().to_owned();
    std::thread::spawn(move || listener.incoming().try_for_each(|_hung_up| sender.send(names(&looked_at))));
    for line in
        ["generate --out k.pem --cert k.crt", "import --key sa.pem --out k.pem", "certify --key sa.pem --cert k.crt"]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
        command.arg("tpm").args(line.split(' ')).args(["--tpm-path", "tpm/sock"]);
        let Output { status, stderr, .. } = command.current_dir(folder.path()).env_clear().output().unwrap();
        assert_eq!(status.code(), Some(1), "{line}: {}", String::from_utf8_lossy(&stderr));
        let seen: Vec<_> = seen.try_iter().collect();
        assert!(!seen.is_empty() && seen.iter().all(|names| *names == ["sa.pem", "tpm"]), "{line}: {seen:?}");
        assert_eq!(names(folder.path()), ["sa.pem", "tpm"], "{line}");
    }
}

#[test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
fn an_unwritable_output_path_fails_before_a_key_is_made() {
    let tpm = Swtpm::with(&[]);
    for (line, text) in [
        ("import --key rsa.pem --out none/k.pem --persistent 0x81010006", "none/k.pem: No such file"),
        ("generate --out k.pem --cert none/k.crt --persistent 0x81010006", "none/k.crt: No such file"),
        ("generate --out k.pem/ --cert k.crt --persistent 0x81010006", "k.pem/: Is a directory"),
        // Handles from 0x81800000 belong to the platform.
        ("generate --out k.pem --cert k.crt --persistent 0x81800000", "0x81000000 to 0x817fffff"),
    ] {
        let error = refused(&tpm, line);
        assert!(error.contains(text), "{line}: {error}");
    }
    assert_eq!(tpm.run("tpm2_getcap handles-persistent"), "");
    assert!(!tpm.file("k.pem").exists() && !tpm.file("k.crt").exists());
    // `tpm certify` finishes an interrupted `tpm generate`.
    stdout_of(&tpm, "generate --out k.pem --cert k.crt --persistent 0x81010006");
    stdout_of(&tpm, "certify --persistent 0x81010006 --cert again.crt --name made-up");
    assert_eq!(certified(&tpm, "again.crt"), tpm.run("openssl x509 -in k.crt -noout -pubkey"));
}

#[test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
fn tpm_ek_name_prints_the_names_that_tpm2_tools_computes() {
    let tpm = Swtpm::with(&[]);
    let shown = stdout_of(&tpm, "ek-name");
    let unused = command(&tpm, "ek-name --pcrs 23").output().unwrap();
    assert_eq!(
        String::from_utf8(unused.stderr).unwrap(),
        "warning: --pcrs does nothing: endorsement keys need no authorisation of a key\n"
    );
    for kind in ["rsa", "ecc"] {
        tpm.run(&format!("tpm2_createek -Q -c ek.ctx -G {kind} -u ek.pub"));
        tpm.run("tpm2_readpublic -Q -c ek.ctx -n ek.name");
        tpm.run("tpm2_flushcontext -t");
        let name = std::fs::read(tpm.file("ek.name")).unwrap();
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(shown.contains(&format!("{kind}: {name}")), "{shown}");
    }
}

/// Root may open any file, so the program runs as another user, from a folder that this user may read.
#[test]
fn the_error_about_an_inaccessible_device_names_the_group() {
    let folder = tempfile::tempdir().unwrap();
    let (program, device) = (folder.path().join("program"), folder.path().join("tpmrm0"));
    // By another process: a child that a test beside this one starts would inherit the open file, which can't be run meanwhile.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_gce-metadata-server")).arg(&program).status().unwrap();
    assert!(copied.success());
    std::fs::write(&device, "").unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&device, Permissions::from_mode(0o000)).unwrap();
    let mut command = Command::new(program);
    command.args(["tpm", "ek-name", "--tpm-path"]).arg(format!("device:{}", device.display())).env_clear();
    if std::fs::metadata(&device).unwrap().uid() == 0 {
        command.uid(65534);
    }
    let Output { status, stderr, .. } = command.output().unwrap();
    assert_eq!(status.code(), Some(1));
    let error = String::from_utf8(stderr).unwrap();
    let expected =
        format!("{}: no permission; add the user to the group that owns it (`tss` on Debian)", device.display());
    assert!(error.contains(&expected), "{error}");
}
