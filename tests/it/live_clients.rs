//! Real client libraries obtain live tokens through the program, from each source, and call an API that verifies them.

use crate::support::google::{Google, SUBJECT_TOKEN};
use crate::support::program::Program;
use crate::support::repository;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;
use tokio::process::Command;

/// The default account of the built-in sample.
const EMAIL: &str = "vm-1@sample-project.iam.gserviceaccount.com";

/// Runs a client against the program with these options and credentials.
async fn run(google: &Google, args: &[&str], credentials: &Value, owner: &str, client: &Path, script: &str) {
    let home = TempDir::new().unwrap();
    let file = home.path().join("credentials.json");
    std::fs::write(&file, credentials.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let args = args.iter().map(|arg| arg.replace("FILE", file));
    let mut program = Program::start(|command| {
        command.args(["--iam-url", &google.url]).args(args).current_dir(home.path());
        command.env("GOOGLE_APPLICATION_CREDENTIALS", file);
    });
    let host = program.wait_for("export GCE_METADATA_HOST=");
    let output = Command::new(client)
        .arg(repository("tests/clients").join(script))
        .env_clear()
        .env("PATH", env!("PATH"))
        .env("HOME", home.path())
        .env("NODE_PATH", repository("target/clients/node/node_modules"))
        .envs(["GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"].map(|name| (name, &host)))
        .env("API", format!("{}/api", google.url))
        .env("EMAIL", owner)
        .output()
        .await;
    let output = output.unwrap_or_else(|error| panic!("{}: {error}; scripts/test installs it", client.display()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{script}:\n{}{}", text(&output.stdout), text(&output.stderr),);
}

async fn from_each_source(client: &Path, script: &str) {
    let google = Google::start().await;
    google.allow_impersonation(EMAIL);
    let key = google.service_account(EMAIL);
    run(&google, &["--serviceAccountFile", "FILE"], &key, EMAIL, client, script).await;
    run(&google, &["--service-account-file=FILE", "--access-token-kind", "jwt"], &key, EMAIL, client, script).await;
    run(&google, &["-impersonate"], &google.user_credentials(), EMAIL, client, script).await;
    let impersonated = json!({
        "type": "impersonated_service_account", "source_credentials": google.user_credentials(),
        "service_account_impersonation_url": google.impersonation_url(EMAIL),
    });
    run(&google, &["-impersonate"], &impersonated, EMAIL, client, script).await;
    let aws_workload = google.aws_workload();
    run(&google, &["--federate"], &aws_workload, "AKIDMADEUP in eu-north-1", client, script).await;
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, SUBJECT_TOKEN).unwrap();
    let mut workload = google.workload(json!({"file": token}));
    run(&google, &["--federate"], &workload, "principal://workload", client, script).await;
    workload["service_account_impersonation_url"] = google.impersonation_url(EMAIL).into();
    run(&google, &["--federate"], &workload, EMAIL, client, script).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages that scripts/test installs"]
async fn python_google_auth() {
    from_each_source(&repository("target/clients/venv/bin/python"), "python/live.py").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages that scripts/test installs"]
async fn node_google_auth_library() {
    from_each_source(Path::new("node"), "node/live.js").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the program that scripts/test builds"]
async fn rust_google_cloud_auth() {
    from_each_source(&repository("target/clients/rust/debug/live-client"), "rust").await;
}
