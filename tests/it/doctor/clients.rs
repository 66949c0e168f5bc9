//! Real clients in a trap get a token of the server only after the remedy that `doctor --client` prints.

use super::{Machine, diagnosis, set, text};
use crate::support::repository;
use std::process::Command;

const TOKEN: &str = "ya29.made-up-by-the-server";

const PYTHON: &str = "
import google.auth, google.auth.transport.requests
credentials, _ = google.auth.default(scopes=['https://www.googleapis.com/auth/cloud-platform'])
credentials.refresh(google.auth.transport.requests.Request())
print(credentials.token)
";

const NODE: &str = "
const { GoogleAuth } = require('google-auth-library');
new GoogleAuth().getAccessToken().then(console.log);
";

/// A machine, and the client's command as a line of a shell.
struct Patient {
    machine: Machine,
    client: &'static str,
    line: String,
}

impl Patient {
    fn new(client: &'static str, line: String) -> Self {
        Self { machine: Machine::with(|command| _ = command.env("GOOGLE_ACCESS_TOKEN", TOKEN)), client, line }
    }

    fn python() -> Self {
        let python = repository("target/clients/venv/bin/python");
        Self::new("python", format!("{} -c \"{PYTHON}\"", python.display()))
    }

    fn go() -> Self {
        Self::new("go", repository("target/clients/go/adc").display().to_string())
    }

    fn node() -> Self {
        Self::new("node", format!("node -e \"{NODE}\""))
    }

    fn gets_token(&self, before: &str, trap: &dyn Fn(&mut Command)) -> bool {
        // gcloud keeps tokens in this file.
        let mut command = self.machine.shell(&format!("rm -f ~/.config/gcloud/*.db\n{before}\n{}", self.line));
        command.env("NODE_PATH", repository("target/clients/node/node_modules"));
        trap(&mut command);
        let output = command.output().unwrap();
        assert_ne!(output.status.code(), Some(127), "{command:?}: scripts/test installs it");
        String::from_utf8_lossy(&output.stdout).trim() == TOKEN
    }

    /// Asserts that the client gets a token by the remedies for this trap, and not before.
    fn recovers(&self, name: &str, trap: impl Fn(&mut Command)) {
        assert!(self.gets_token("", &|_| {}), "{}: without a trap", self.client);
        assert!(!self.gets_token("", &trap), "{}: {name} is no trap", self.client);
        let doctor = format!("gce-metadata-server doctor --format json --client {}", self.client);
        let mut command = self.machine.shell(&doctor);
        trap(&mut command);
        let (findings, _) = diagnosis(&mut command);
        let remedies = findings.iter().map(|finding| text(finding, "remedy")).collect::<Vec<_>>().join("\n");
        assert!(self.gets_token(&remedies, &trap), "{}: {name}: {remedies}", self.client);
    }
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn python_gets_a_token_after_each_remedy() {
    let python = Patient::python();
    for (name, value) in [
        ("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file"),
        ("NO_GCE_CHECK", "true"),
        ("GCE_METADATA_MTLS_MODE", "strict"),
        ("GCE_METADATA_MTLS_MODE", "on"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
    ] {
        python.recovers(name, set(name, value));
    }
    python.recovers("no GCE_METADATA_IP", |command| _ = command.env_remove("GCE_METADATA_IP"));
    python.machine.write("gcloud/application_default_credentials.json", r#"{"type": "authorized_user"}"#);
    let folder = python.machine.home.path().join("gcloud");
    python.recovers("a login", |command| _ = command.env("CLOUDSDK_CONFIG", &folder));
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn node_gets_a_token_after_each_remedy() {
    let node = Patient::node();
    for (name, value) in [
        ("METADATA_SERVER_DETECTION", "none"),
        ("METADATA_SERVER_DETECTION", "bios-only"),
        ("METADATA_SERVER_DETECTION", "no"),
        ("google_application_credentials", "/no/such/file"),
        ("HTTPS_PROXY", "http://127.0.0.1:1"),
    ] {
        node.recovers(name, set(name, value));
    }
    node.machine.write("gcloud/application_default_credentials.json", r#"{"type": "authorized_user"}"#);
    let folder = node.machine.home.path().join("gcloud");
    node.recovers("a login", |command| _ = command.env("CLOUDSDK_CONFIG", &folder));
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn go_gets_a_token_after_each_remedy() {
    let go = Patient::go();
    let variable = "GOOGLE_APPLICATION_CREDENTIALS";
    go.recovers(variable, set(variable, "/no/such/file"));
    // Go finds a login in HOME only.
    go.machine.write("other/.config/gcloud/application_default_credentials.json", r#"{"type": "authorized_user"}"#);
    let home = go.machine.home.path().join("other");
    go.recovers("a login", |command| _ = command.env("HOME", &home));
}

/// `scripts/test` can't install gcloud, so this test does nothing where it is missing.
#[test]
#[ignore = "needs gcloud"]
fn gcloud_gets_a_token_after_each_remedy() {
    if Command::new("gcloud").arg("version").output().is_err() {
        eprintln!("gcloud is not installed and not tested: https://cloud.google.com/sdk/docs/install");
        return;
    }
    let gcloud = Patient::new("gcloud", "gcloud auth print-access-token --quiet".to_owned());
    for (name, value) in [
        ("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false"),
        ("CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", "/no/such/file"),
        ("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", "/no/such/file"),
        ("CLOUDSDK_CORE_ACCOUNT", "user@example.com"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
    ] {
        gcloud.recovers(name, set(name, value));
    }
    gcloud.recovers("no GCE_METADATA_ROOT", |command| _ = command.env_remove("GCE_METADATA_ROOT"));
    gcloud.machine.write("gcloud/gce", "False");
    let folder = gcloud.machine.home.path().join("gcloud");
    gcloud.recovers("the cache", |command| _ = command.env("CLOUDSDK_CONFIG", &folder));
}
