//! Tokens signed by a key in a TPM, with the Go emulator's command lines and our own.

use crate::support::google::{CLOUD_PLATFORM, Google};
use crate::support::program::Program;
use crate::support::swtpm::Swtpm;
use crate::support::{Answer, eventually, get_at};
use serde_json::json;
use std::process::Command;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;
use tokio::time::timeout;

const EMAIL: &str = "vm-1@sample-project.iam.gserviceaccount.com";

/// A TPM whose key the fake Google knows as the default account's.
struct Setup {
    google: Google,
    tpm: Swtpm,
}

impl Setup {
    async fn with(cases: &[&str]) -> Self {
        let (google, tpm) = (Google::start().await, Swtpm::with(cases));
        google.add_service_account(EMAIL, &tpm.pem);
        Self { google, tpm }
    }

    fn start(&self, options: &str, change: impl FnOnce(&mut Command)) -> (Program, String) {
        let mut program = Program::start(|command| {
            command
                .args(options.split(' ').map(|word| word.replace("FOLDER", self.tpm.folder.path().to_str().unwrap())));
            command.arg("--tpm-path").arg(self.tpm.file("socket"));
            command.args(["--token-url", &format!("{}/token", self.google.url), "--iam-url", &self.google.url]);
            command.current_dir(self.tpm.folder.path()).env("TSS2_LOG", "all+none");
            change(command);
        });
        let host = program.wait_for("export GCE_METADATA_HOST=");
        (program, host)
    }

    /// Starts the program with these options; asserts that it serves tokens of the default account.
    async fn assert_serves(&self, options: &str) {
        let (program, host) = self.start(options, |_| {});
        let (owner, scopes) = self.owner(&get_at(&host, "instance/service-accounts/default/token").await);
        assert!(owner == EMAIL && scopes.starts_with(CLOUD_PLATFORM), "{options}: {owner} {scopes}");
        let token = get_at(&host, "instance/service-accounts/default/identity?audience=https://a.example.com").await;
        assert_eq!(self.google.id_token(&token.body), ("https://a.example.com".to_owned(), EMAIL.to_owned()));
        // A killed program would leave its key loaded in the TPM, which has room for three.
        program.stop();
    }

    fn owner(&self, answer: &Answer) -> (String, String) {
        assert_eq!(answer.status, 200, "{}", answer.body);
        self.google.api(answer.json()["access_token"].as_str().unwrap()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn the_go_emulators_tpm_command_lines_work() {
    let setup = Setup::with(&["persistent", "password", "pcr", "sent-password", "sent-pcr"]).await;
    for options in [
        "-logtostderr -alsologtostderr -v 5 --tpm --persistentHandle=0x81010002",
        "--tpm -persistentHandle 2164326402",
        "--tpm --keyfile=FOLDER/private.pem",
        "--tpm --tpmKeyFile=FOLDER/private-password.pem --keyPass pass1",
        "--tpm --keyfile=FOLDER/private-pcr.pem -pcrs=23",
        "--tpm --keyfile FOLDER/sent-password.pem --useEKParent --keyPass=bar",
        "--tpm --keyfile FOLDER/sent-pcr.pem --useEKParent -pcrs=23",
        "--tpm -persistentHandle 0x81008001 --useEKParent --keyPass=bar",
        "--tpm -persistentHandle 0x81008002 --useEKParent -pcrs=23",
    ] {
        setup.assert_serves(options).await;
    }
    // Access tokens are self-signed; only the nine identity tokens need a request.
    assert_eq!(setup.google.asked("/token"), 9);
    setup.assert_serves("--tpm --keyfile FOLDER/private.pem --useOauthToken").await;
    // One more access and one more identity token: the probe at start and our request share a fetch.
    assert_eq!(setup.google.asked("/token"), 11);
    let name =
        setup.tpm.run("tpm2_createek -Q -c ek.ctx -G rsa -u ek.pub") + &setup.tpm.run("tpm2_readpublic -c ek.ctx");
    setup.tpm.run("tpm2_flushcontext -t");
    let name = name.lines().find_map(|line| line.strip_prefix("name: ")).unwrap();
    setup.assert_serves(&format!("--tpm --keyfile FOLDER/private.pem --tpm-session-encrypt-with-name={name}")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn key_password_from_a_file_or_the_environment() {
    let setup = Setup::with(&["password"]).await;
    std::fs::write(setup.tpm.file("password"), "pass1\n").unwrap();
    setup.assert_serves("--tpm --keyfile FOLDER/private-password.pem --key-pass-file FOLDER/password").await;
    let (_program, host) =
        setup.start("--tpm --keyfile FOLDER/private-password.pem", |it| _ = it.env("GCE_METADATA_KEY_PASS", "pass1"));
    assert_eq!(get_at(&host, "instance/service-accounts/default/token").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn credentials_list_may_name_a_key_in_a_tpm() {
    let setup = Setup::with(&["plain"]).await;
    std::fs::write(setup.tpm.file("all.json"), json!({EMAIL: "private.pem"}).to_string()).unwrap();
    let (_program, host) = setup.start("--credentials FOLDER/all.json", |_| {});
    assert_eq!(setup.owner(&get_at(&host, "instance/service-accounts/default/token").await).0, EMAIL);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn a_changed_tpm_key_file_is_reloaded() {
    let setup = Setup::with(&["plain", "generated"]).await;
    let (mut program, _) = setup.start("--tpm --keyfile FOLDER/private.pem --metricsEnabled --metrics-port 0", |_| {});
    let metrics_host = program.wait_for("# Metrics and health at http://");
    let fingerprint = async || {
        let metrics = crate::support::metrics_at(&metrics_host).await;
        assert!(metrics.contains(r#"credential_type{type="TPM"} 1"#), "{metrics}");
        metrics.lines().find(|line| line.starts_with("service_account_hash{")).unwrap().to_owned()
    };
    let before = fingerprint().await;
    std::fs::copy(setup.tpm.file("private-generated.pem"), setup.tpm.file("private.pem")).unwrap();
    eventually("the new key is in use", async || fingerprint().await != before).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn shutdown_flushes_keys_and_sessions_from_the_tpm() {
    let setup = Setup::with(&["password"]).await;
    let (program, host) = setup.start("--tpm --keyfile FOLDER/private-password.pem --keyPass pass1", |_| {});
    assert_eq!(get_at(&host, "instance/service-accounts/default/token").await.status, 200);
    assert!(!setup.tpm.run("tpm2_getcap handles-transient").is_empty());
    program.stop();
    for handles in ["handles-transient", "handles-loaded-session"] {
        assert_eq!(setup.tpm.run(&format!("tpm2_getcap {handles}")), "", "{handles}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn invalid_tpm_options_and_files_fail_the_start() {
    let setup = Setup::with(&["plain"]).await;
    let json = json!({"type": "service_account", "private_key": setup.tpm.pem});
    std::fs::write(setup.tpm.file("sa.json"), json.to_string()).unwrap();
    let refused = |options: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
        command.args(options.split(' ')).args(["--port", "0"]).current_dir(setup.tpm.folder.path()).env_clear();
        command.env("TSS2_LOG", "all+none").env("GOOGLE_APPLICATION_CREDENTIALS", "adc.json");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{options}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        stderr
    };
    for (options, text) in [
        ("--tpm", "--tpm needs a key: add --tpm-key-file or --persistent-handle"),
        ("--keyfile private.pem", "without --tpm"),
        ("--tpm --keyfile private.pem --tpm-path /dev/no-tpm-here", "private.pem: no TPM at /dev/no-tpm-here"),
        ("--tpm --keyfile private.pem --tpm-path nonsense", "--tpm-path: `nonsense`: a device, HOST:PORT"),
        ("--tpm --keyfile rsa.pem --tpm-path ./socket", "rsa.pem: no key of a TPM in PEM (TSS2 PRIVATE KEY) found"),
        ("--tpm --keyfile sa.json --tpm-path ./socket", "sa.json: no key of a TPM in PEM (TSS2 PRIVATE KEY) found"),
        ("--tpm --persistentHandle 7", "from 0x81000000 to 0x81ffffff"),
        ("--tpm --persistentHandle 0x81010009 --tpm-path ./socket", "no key at the persistent handle 0x81010009"),
        ("--tpm --keyfile private.pem --pcrs 99", "--pcrs: `99`: registers from 0 to 23"),
        ("--tpm --keyfile private.pem --tpm-session-encrypt-with-name xyz", "hexadecimal"),
        (
            "--tpm --keyfile private.pem --credentials all.json",
            "--tpm and --credentials exclude each other: give one of them",
        ),
        ("--tpm --persistentHandle=0", "--tpm needs a key"),
        ("--tpm --keyfile private.pem --useTPMmTLS", "--pool-id"),
        (
            "--tpm --keyfile private.pem --useTPMmTLS --poolID p --providerID q --pubCert c",
            "--use-tpm-mtls needs the number of the project: add --project-number, or numericProjectId to the config",
        ),
    ] {
        let error = refused(options);
        assert!(error.contains(text), "{options}: {error}");
    }
    // The error names the wrong file of a key and its certificate.
    for (key, certificate, text) in [
        ("none.pem", "rsa.pem", "none.pem: No such file"),
        ("sa.json", "rsa.pem", "sa.json: no key of a TPM in PEM (TSS2 PRIVATE KEY) found"),
        ("private.pem", "none.crt", "none.crt: No such file"),
        ("private.pem", "rsa.pem", "rsa.pem: no certificates in PEM"),
    ] {
        let federated = "--useTPMmTLS --projectNumber 1 --poolID p --providerID q --tpm-path ./socket";
        let error = refused(&format!("--tpm --keyfile {key} {federated} --pubCert {certificate}"));
        assert!(error.starts_with(&format!("error: credentials: {text}")), "{key} {certificate}: {error}");
    }
}

#[tokio::test]
async fn sigterm_ends_a_start_that_waits_for_the_tpm() {
    for options in ["--tpm --persistent-handle 0x81010002", "--tls-port 0 --mds-mtls-dir mds"] {
        let folder = tempfile::tempdir().unwrap();
        // A TPM that accepts commands and answers none.
        let tpm = UnixListener::bind(folder.path().join("socket")).unwrap();
        let program = Program::start(|command| {
            command.args(options.split(' ')).args(["--tpm-path", "./socket"]);
            command.current_dir(folder.path()).env("TSS2_LOG", "all+none");
        });
        let asked = async {
            loop {
                let (mut asked, _) = tpm.accept().await.unwrap();
                // A connection may only probe the socket, or be replaced by another one before it has sent a command.
                if asked.read_exact(&mut [0; 10]).await.is_ok() {
                    return asked;
                }
            }
        };
        let _unanswered = timeout(Duration::from_secs(30), asked).await.expect("the TPM receives a command");
        program.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn use_tpm_mtls_federates_with_a_certificate_of_a_tpm_key() {
    // A key without a fixed padding can sign for TLS 1.3 (PSS); one bound to PKCS#1 v1.5 only for TLS 1.2.
    let setup = Setup::with(&["plain"]).await;
    setup.google.allow_impersonation(EMAIL);
    let any = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"))
        .args(["tpm", "import", "--key", "rsa.pem", "--out", "any.pem", "--tpm-path", "./socket"])
        .current_dir(setup.tpm.folder.path())
        .env("TSS2_LOG", "all+none")
        .status();
    assert!(any.unwrap().success());
    let tls = setup.google.tls().await;
    std::fs::write(setup.tpm.file("root.pem"), &tls.root).unwrap();
    std::fs::write(setup.tpm.file("client.pem"), tls.certify(&setup.tpm.pem)).unwrap();
    std::fs::write(setup.tpm.file("other.pem"), &tls.client.0).unwrap();
    let federated = "--useTPMmTLS --projectNumber 1 --poolID p --providerID q --pubCert";
    for (file, version) in [("any.pem", "TLSv1_3"), ("private.pem", "TLSv1_2")] {
        let options = format!("--tpm --keyfile {file} {federated} client.pem --sts-url {}/v1/token", tls.url);
        let (mut program, host) = setup.start(&format!("{options} --metricsEnabled --metrics-port 0"), |it| {
            it.env("SSL_CERT_FILE", setup.tpm.file("root.pem"));
        });
        let answer = get_at(&host, "instance/service-accounts/default/token").await;
        assert_eq!(setup.owner(&answer).0, EMAIL);
        let token = get_at(&host, "instance/service-accounts/default/identity?audience=https://a.example.com").await;
        assert_eq!(setup.google.id_token(&token.body).1, EMAIL);
        assert_eq!(tls.last_version(), version, "{file}");
        let metrics = crate::support::metrics_at(&program.wait_for("# Metrics and health at http://")).await;
        assert!(metrics.contains(r#"credential_type{type="TPMFederated"} 1"#), "{metrics}");
        program.stop();
    }
    // Without the option, the number is that of the environment, or else of the config.
    let options =
        "--tpm --keyfile any.pem --persistentHandle=0 --useTPMmTLS --poolID p --providerID q --pubCert client.pem";
    for (variable, number) in [("", 1), ("1", 2)] {
        let accounts = json!({"default": {"email": EMAIL}});
        let vm = json!({"project": {"numericProjectId": number}, "instance": {"serviceAccounts": accounts}});
        std::fs::write(setup.tpm.file("vm.json"), vm.to_string()).unwrap();
        let options = format!("{options} --sts-url {}/v1/token --config-file FOLDER/vm.json", tls.url);
        let (program, host) = setup.start(&options, |it| {
            it.env("SSL_CERT_FILE", setup.tpm.file("root.pem")).env("GOOGLE_NUMERIC_PROJECT_ID", variable);
        });
        assert_eq!(setup.owner(&get_at(&host, "instance/service-accounts/default/token").await).0, EMAIL);
        program.stop();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.args(format!("--tpm --keyfile any.pem --tpm-path ./socket {federated} other.pem").split(' '));
    let output = command.current_dir(setup.tpm.folder.path()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("other.pem: this certificate is not of the key in the TPM"), "{error}");
}
