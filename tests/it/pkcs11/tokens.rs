//! Tokens signed by a key in a PKCS#11 token, by the program.

use crate::support::google::{CLOUD_PLATFORM, Google};
use crate::support::hsm::{Hsm, P11Kit, PIN, p11_kit_client, run, softhsm};
use crate::support::program::{Program, failed_start};
use crate::support::{Answer, Client, eventually, get_at, metrics_at};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UnixListener};
use tokio::time::timeout;

const EMAIL: &str = "vm-1@sample-project.iam.gserviceaccount.com";
const URI: &str = "pkcs11:token=gce%20token;object=vm;id=%01";

/// A token whose key `vm` the fake Google knows as the default account's.
struct Setup {
    google: Google,
    hsm: Hsm,
}

impl Setup {
    async fn new() -> Self {
        let (google, hsm) = (Google::start().await, Hsm::new());
        google.add_service_account(EMAIL, &hsm.pem);
        Self { google, hsm }
    }

    fn command(&self, module: &Path, options: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
        command.args(["--port", "0"]).env_clear().stdin(Stdio::null()).stderr(Stdio::null());
        self.hsm.expose_to(&mut command);
        command.args(options.split(' ')).arg("--pkcs11-module").arg(module).current_dir(self.hsm.path());
        command.args(["--token-url", &format!("{}/token", self.google.url)]);
        command
    }

    fn start(&self, module: &Path, options: &str, change: impl FnOnce(&mut Command)) -> (Program, String) {
        let mut command = self.command(module, options);
        change(&mut command);
        let mut program = Program::of(command);
        let host = program.wait_for("export GCE_METADATA_HOST=");
        (program, host)
    }

    /// Asserts that the program serves tokens of the default account.
    async fn assert_serves(&self, module: &Path, options: &str, change: impl FnOnce(&mut Command)) {
        let (program, host) = self.start(module, options, change);
        self.assert_tokens(&host, options).await;
        program.stop();
    }

    async fn assert_tokens(&self, host: &str, what: &str) {
        let (owner, scopes) = self.owner(&get_at(host, "instance/service-accounts/default/token").await);
        assert!(owner == EMAIL && scopes.starts_with(CLOUD_PLATFORM), "{what}: {owner} {scopes}");
        let token = get_at(host, "instance/service-accounts/default/identity?audience=https://a.example.com").await;
        assert_eq!(self.google.id_token(&token.body), ("https://a.example.com".to_owned(), EMAIL.to_owned()));
    }

    fn owner(&self, answer: &Answer) -> (String, String) {
        assert_eq!(answer.status, 200, "{}", answer.body);
        self.google.api(answer.json()["access_token"].as_str().unwrap()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs SoftHSM and OpenSC, which scripts/test installs"]
async fn a_key_in_a_token_serves_tokens_of_the_default_account() {
    let setup = Setup::new().await;
    let options = format!("--pkcs11-uri {URI}");
    let pin_file = format!("{options} --pkcs11-pin-file pin");
    setup.assert_serves(&softhsm(), &pin_file, |_| {}).await;
    setup.assert_serves(&softhsm(), &options, |it| _ = it.env("GCE_METADATA_PKCS11_PIN", PIN)).await;
    setup.assert_serves(&softhsm(), &format!("{options}?pin-source=file:pin"), |_| {}).await;
    // Access tokens are self-signed; only the identity tokens need a request.
    assert_eq!(setup.google.asked("/token"), 3);
    setup.assert_serves(&softhsm(), &format!("{pin_file} --use-oauth-token"), |_| {}).await;
    assert_eq!(setup.google.asked("/token"), 5);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs SoftHSM and OpenSC, which scripts/test installs"]
async fn metrics_have_the_type_and_the_fingerprint_of_the_key() {
    let setup = Setup::new().await;
    let options = format!("--pkcs11-uri {URI} --pkcs11-pin-file pin --metrics-enabled --metrics-port 0");
    let (mut program, _) = setup.start(&softhsm(), &options, |_| {});
    let metrics = metrics_at(&program.wait_for("# Metrics and health at http://")).await;
    assert!(metrics.contains(r#"credential_type{type="PKCS11"} 1"#), "{metrics}");
    let shown = run(Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"))
        .args(["pkcs11", "show", "--pkcs11-pin-file", "pin", "--pkcs11-module"])
        .arg(softhsm())
        .env("SOFTHSM2_CONF", setup.hsm.file("softhsm2.conf"))
        .current_dir(setup.hsm.path()));
    let fingerprint = shown.lines().find_map(|line| line.strip_prefix("fingerprint: ")).unwrap();
    let label = format!("fingerprint=\"{fingerprint}\"");
    assert!(
        metrics.lines().any(|line| line.starts_with("service_account_hash{") && line.contains(&label)),
        "{metrics}"
    );
}

/// The header of a token.
fn header(answer: &Answer) -> Value {
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs SoftHSM and OpenSC, which scripts/test installs"]
async fn credentials_files_may_name_keys_in_tokens() {
    let setup = Setup::new().await;
    let entry = |more: Value| {
        let mut entry = json!({"type": "pkcs11", "uri": URI, "pin_file": "pin"});
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        std::fs::write(setup.hsm.file("vm.json"), entry.to_string()).unwrap();
    };
    std::fs::write(setup.hsm.file("all.json"), json!({EMAIL: "vm.json"}).to_string()).unwrap();
    // The module and the key's id of the file, or the module of the command line.
    entry(json!({"module": softhsm(), "client_email": EMAIL, "private_key_id": "0123456789abcdef"}));
    let (program, host) = setup.start(Path::new("/nowhere.so"), "--credentials all.json", |_| {});
    setup.assert_tokens(&host, "all.json").await;
    let answer = get_at(&host, "instance/service-accounts/default/token").await;
    assert_eq!(header(&answer)["kid"], "0123456789abcdef");
    program.stop();
    entry(json!({}));
    let (mut program, host) =
        setup.start(&softhsm(), "--credentials all.json --metrics-enabled --metrics-port 0", |_| {});
    setup.assert_tokens(&host, "all.json").await;

    // A changed file of the PIN, or a changed entry, is read again; an unusable entry keeps the key that is open.
    let metrics = program.wait_for("# Metrics and health at http://");
    let reloads = async |outcome: &str| {
        let counter = format!("metadata_credential_reloads_total{{outcome=\"{outcome}\"}} 1");
        metrics_at(&metrics).await.contains(&counter)
    };
    std::fs::write(setup.hsm.file("pin"), format!("{PIN}\r\n")).unwrap();
    eventually("the PIN is read again", async || reloads("good").await).await;
    entry(json!({"uri": "pkcs11:object=none"}));
    eventually("the entry is refused", async || reloads("bad").await).await;
    setup.assert_tokens(&host, "after the reloads").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs SoftHSM, OpenSC and p11-kit, which scripts/test installs"]
async fn tokens_are_served_through_a_restart_of_the_token() {
    let setup = Setup::new().await;
    let mut token = P11Kit::start(setup.hsm.path());
    let (program, host) = setup.start(&p11_kit_client(), &format!("--pkcs11-uri {URI} --pkcs11-pin-file pin"), |_| {});
    setup.assert_tokens(&host, "before the restart").await;
    token.kill();
    let path = |number| format!("instance/service-accounts/default/identity?audience=https://{number}.example.com");
    assert_eq!(get_at(&host, &path(0)).await.status, 503);
    let _token = P11Kit::start(setup.hsm.path());
    let mut number = 0;
    eventually("tokens are served again", async || {
        number += 1;
        get_at(&host, &path(number)).await.status == 200
    })
    .await;
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs SoftHSM, OpenSC and p11-kit, which scripts/test installs"]
async fn a_module_that_hangs_during_a_signature_delays_no_stop() {
    let setup = Setup::new().await;
    let token = P11Kit::start(setup.hsm.path());
    let options = format!("--pkcs11-uri {URI} --pkcs11-pin-file pin --drain-timeout 1");
    let (program, host) = setup.start(&p11_kit_client(), &options, |_| {});
    setup.assert_tokens(&host, "before the stop").await;
    token.stop_answering();
    let stream = TcpStream::connect(&host).await.unwrap();
    let mut client = Client::over(stream, &host).await;
    // The answer of a request before shows that the server reads from the connection.
    assert_eq!(client.get("instance/id").await.status, 200);
    let asking = tokio::spawn(async move {
        let path = "instance/service-accounts/default/identity?audience=https://b.example.com";
        client.try_get(path).await.map(|answer| answer.status)
    });
    program.stop();
    let answered = asking.await.unwrap();
    assert!(!answered.as_ref().is_ok_and(|status| *status == 200), "{answered:?}");
}

#[tokio::test]
#[ignore = "needs p11-kit, which scripts/test installs"]
async fn sigterm_ends_a_start_that_waits_for_the_module() {
    let folder = tempfile::tempdir().unwrap();
    // A server of p11-kit that accepts calls and answers none.
    let token = UnixListener::bind(folder.path().join("p11-kit.sock")).unwrap();
    let program = Program::start(|command| {
        command.args(["--pkcs11-uri", URI, "--pkcs11-module"]).arg(p11_kit_client());
        let address = format!("unix:path={}", folder.path().join("p11-kit.sock").display());
        command.env("P11_KIT_SERVER_ADDRESS", address);
    });
    let asked = async {
        let (mut asked, _) = token.accept().await.unwrap();
        asked.read_exact(&mut [0; 1]).await.unwrap();
        asked
    };
    let _unanswered = timeout(Duration::from_secs(30), asked).await.expect("the module sends a call");
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs SoftHSM and OpenSC, which scripts/test installs"]
async fn invalid_options_and_keys_fail_the_start() {
    let setup = Setup::new().await;
    setup.hsm.generate("EC:prime256v1", "ec", "02", &[]);
    std::fs::write(setup.hsm.file("wrong"), "98765").unwrap();
    std::fs::write(setup.hsm.file("all.json"), json!({EMAIL: "entry.json"}).to_string()).unwrap();
    let refused = |options: &str, module: &Path| failed_start(setup.command(module, options));
    let uri = |query: &str| format!("--pkcs11-uri {URI}{query}");
    for (options, text) in [
        (uri(""), "the token `gce token` needs a PIN: give it with --pkcs11-pin-file, in GCE_METADATA_PKCS11_PIN"),
        (uri(" --pkcs11-pin-file wrong"), "the token `gce token` refused the PIN; it is not tried again"),
        (uri(" --pkcs11-pin-file nowhere"), "nowhere: No such file"),
        (
            uri("?pin-source=file:pin --pkcs11-pin-file pin"),
            "--pkcs11-pin-file and the pin-source of --pkcs11-uri exclude",
        ),
        (uri("?pin-value=98765"), "pin-value would show the PIN in the list of processes"),
        (uri(" --credentials all.json"), "--pkcs11-uri and --credentials exclude each other: give one of them"),
        (uri(" --service-account-file vm.pem"), "--service-account-file and --pkcs11-uri exclude each other"),
        ("--pkcs11-uri pkcs11:object=ec --pkcs11-pin-file pin".to_owned(), "use an RSA key that may sign"),
        ("--pkcs11-uri pkcs11:object=none --pkcs11-pin-file pin".to_owned(), "no private key fits pkcs11:object=none"),
        (uri(" --use-pkcs11-mtls"), "--pool-id"),
        ("--pkcs11-pin-file pin".to_owned(), "--pkcs11-module does nothing without --pkcs11-uri or --credentials"),
    ] {
        let error = refused(&options, &softhsm());
        assert!(error.contains(text) && error.lines().count() == 1 && !error.contains("98765"), "{options}: {error}");
    }
    let error = refused(&uri(""), Path::new("/nowhere.so"));
    assert!(error.contains("/nowhere.so: can't be loaded as a PKCS#11 module: "), "{error}");
    for (entry, text) in [
        (json!({"type": "pkcs11"}), "entry.json: at .: missing field `uri`"),
        (
            json!({"type": "pkcs11", "uri": "pkcs11:?pin-value=98765"}),
            "entry.json: uri: not a usable PKCS#11 URI: pin-value",
        ),
        (
            json!({"type": "pkcs11", "uri": URI, "pin_file": "wrong"}),
            "entry.json: the token `gce token` refused the PIN",
        ),
        (
            json!({"type": "pkcs11", "uri": "pkcs11:?pin-source=file:pin", "pin_file": "pin"}),
            "entry.json: pin_file and the URI's pin-source exclude each other",
        ),
    ] {
        std::fs::write(setup.hsm.file("entry.json"), entry.to_string()).unwrap();
        let error = refused("--credentials all.json", &softhsm());
        assert!(error.contains(text) && !error.contains("98765"), "{entry}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs SoftHSM and OpenSC, which scripts/test installs"]
async fn the_log_at_level_trace_does_not_have_the_pin() {
    let setup = Setup::new().await;
    let log = std::fs::File::create(setup.hsm.file("log")).unwrap();
    let (program, host) = setup.start(&softhsm(), &format!("--pkcs11-uri {URI}?pin-source=file:pin"), |command| {
        command.env("RUST_LOG", "trace").env("GCE_METADATA_PKCS11_PIN", PIN).stderr(log);
    });
    setup.assert_tokens(&host, "at level trace").await;
    program.stop();
    let log = std::fs::read_to_string(setup.hsm.file("log")).unwrap();
    assert!(log.contains("cryptoki") && log.contains("PKCS11") && !log.contains(PIN), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs SoftHSM and OpenSC, which scripts/test installs"]
async fn use_pkcs11_mtls_federates_with_a_certificate_of_a_key_in_a_token() {
    let setup = Setup::new().await;
    setup.google.allow_impersonation(EMAIL);
    let ec = rcgen::KeyPair::generate().unwrap().serialize_pem();
    setup.hsm.import(&ec, "ec", "02");
    let tls = setup.google.tls().await;
    std::fs::write(setup.hsm.file("root.pem"), &tls.root).unwrap();
    std::fs::write(setup.hsm.file("other.crt"), &tls.client.0).unwrap();
    let federated = "--use-pkcs11-mtls --project-number 1 --pool-id p --provider-id q --pkcs11-pin-file pin";
    for (label, pem) in [("vm", setup.hsm.pem.as_str()), ("ec", &ec)] {
        std::fs::write(setup.hsm.file("client.crt"), tls.certify(pem)).unwrap();
        let options = format!(
            "--pkcs11-uri pkcs11:object={label} {federated} --pub-cert client.crt --sts-url {}/v1/token --iam-url {} \
             --metrics-enabled --metrics-port 0",
            tls.url, setup.google.url
        );
        let (mut program, host) = setup.start(&softhsm(), &options, |it| {
            it.env("SSL_CERT_FILE", setup.hsm.file("root.pem"));
        });
        assert_eq!(setup.owner(&get_at(&host, "instance/service-accounts/default/token").await).0, EMAIL);
        assert_eq!(tls.last_version(), "TLSv1_3", "{label}");
        let metrics = metrics_at(&program.wait_for("# Metrics and health at http://")).await;
        assert!(metrics.contains(r#"credential_type{type="PKCS11Federated"} 1"#), "{metrics}");
        program.stop();
    }
    let options = format!("--pkcs11-uri pkcs11:object=vm {federated} --pub-cert other.crt");
    let error = failed_start(setup.command(&softhsm(), &options));
    assert!(error.contains("other.crt: this certificate is not of the key in the PKCS#11 token"), "{error}");
}
