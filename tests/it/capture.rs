//! `capture`: the config is served with the same answers, tokens are never asked for, secrets are redacted, answers are kept.

use crate::support::{Client, V1, dump, serve};
use gce_metadata_server::layers::Answered;
use gce_metadata_server::routes::endpoint::{Answer, Call, Endpoint, Reply};
use gce_metadata_server::{Metadata, NoMaintenance, Server};
use http::HeaderValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----\n";

/// A dump with the values that recursion leaves out.
fn rich() -> Value {
    let mut vm: Value = serde_json::from_str(&dump()).unwrap();
    let instance = &mut vm["instance"];
    instance["credentials"]["mdsClientCertificate"] =
        json!({"encrypted_credentials": "c2VhbGVk", "key_import_blob": {}});
    let identities = json!({"workloadCredentials": {"spiffe://a/b": {"privateKeyPem": PEM}}}).to_string();
    instance["gceWorkloadCertificates"]["workloadIdentities"] = identities.into();
    instance["guestAttributes"] =
        json!({"hostkeys": {"ssh-ed25519": "AAAA"}, "Odd.space": {"Key_1": "é\n", "empty": ""}});
    instance["attributes"]["startup-script"] = "#!/bin/sh\necho MADEUPSECRET\n".into();
    instance["attributes"]["anything"] = PEM.into();
    vm
}

async fn rich_server() -> Server {
    serve(rich()).await
}

/// `capture` from this server, in this folder.
fn capture(server: &Server, folder: &Path, args: &[&str]) -> Output {
    let url = server.url().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.args(["capture", "--from", &url]).args(args).current_dir(folder).env_clear().stdin(Stdio::null());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The config on standard output and the lines on standard error.
fn captured(server: &Server, args: &[&str]) -> (Value, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let Output { status, stdout, stderr } = capture(server, folder.path(), args);
    let lines: Vec<_> = text(&stderr).lines().map(str::to_owned).collect();
    assert!(status.success(), "{lines:?}");
    (serde_json::from_slice(&stdout).unwrap(), lines)
}

/// Status, entity tag and body of every path below v1: recursion, listings and leaves.
async fn answers(server: &Server) -> BTreeMap<String, (u16, Option<String>, String)> {
    let mut client = Client::connect(server).await;
    let mut answers = BTreeMap::new();
    let mut paths = vec![String::new()];
    let defaults = ["maintenance-event", "preempted", "tags", "upcoming-maintenance", "virtual-clock/drift-token"];
    paths.extend(defaults.map(|name| format!("instance/{name}")));
    paths.push("universe/universe-domain".to_owned());
    while let Some(path) = paths.pop() {
        if path.ends_with("/token") || path.ends_with("/identity") {
            continue;
        }
        for query in ["", "?recursive=true", "?recursive=true&alt=text", "?alt=json"] {
            let answer = client.get(&format!("{path}{query}")).await;
            if query.is_empty() && (path.is_empty() || path.ends_with('/')) && answer.status == 200 {
                paths.extend(answer.body.lines().map(|name| format!("{path}{name}")));
            }
            let tag = answer.header("etag").map(str::to_owned);
            answers.insert(format!("{path}{query}"), (answer.status.as_u16(), tag, answer.body));
        }
    }
    answers
}

#[tokio::test]
async fn a_captured_config_is_served_with_the_same_answers() {
    let server = rich_server().await;
    let (config, lines) = captured(&server, &[]);
    let [summary] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(summary.starts_with("captured ") && summary.ends_with(&server.url().unwrap()), "{summary}");
    let again = serve(config).await;
    let (original, served) = (answers(&server).await, answers(&again).await);
    assert!(original.len() > 500, "{}", original.len());
    assert_eq!(original.keys().collect::<Vec<_>>(), served.keys().collect::<Vec<_>>());
    for (path, answer) in original {
        assert_eq!(served[&path], answer, "{path}");
    }
}

#[tokio::test]
async fn unlisted_defaults_are_not_added_to_the_config() {
    for vm in [json!({"instance": {"name": "vm"}}), json!({"instance": {"serviceAccounts": {}, "zone": "z"}})] {
        let server = serve(vm.clone()).await;
        let (config, lines) = captured(&server, &[]);
        assert_eq!((config, lines.len()), (vm, 1), "{lines:?}");
    }
}

#[tokio::test]
async fn no_request_for_a_token_is_sent() {
    let paths = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&paths);
    let server = Server::builder()
        .metadata(Metadata::from_json(rich()).unwrap())
        .record(move |answered: &Answered<'_>| record.lock().unwrap().push(answered.path.as_str().to_owned()))
        .start()
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    assert!(capture(&server, folder.path(), &["--answers", "answers"]).status.success());
    let paths = paths.lock().unwrap();
    assert!(paths.iter().any(|path| path.ends_with("/service-accounts/default/email")), "{paths:?}");
    let tokens = paths.iter().filter(|path| path.ends_with("/token") || path.ends_with("/identity"));
    assert_eq!(tokens.collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test]
async fn an_answer_that_a_config_can_not_give_is_a_note() {
    let vm = Metadata::from_json(json!({"instance": {"name": "vm"}})).unwrap();
    let server = Server::builder().metadata(vm).no_maintenance(NoMaintenance::Object).start().await.unwrap();
    let (_, lines) = captured(&server, &[]);
    let note = "note: instance/upcoming-maintenance: the config is served with another Content-Type";
    assert!(lines.contains(&note.to_owned()), "{lines:?}");
    let other = Metadata::empty().with_project_id("p");
    let server = Server::builder().metadata(other).with_route("/computeMetadata/v1/universe/universe-domain", Other);
    let (config, lines) = captured(&server.start().await.unwrap(), &[]);
    assert_eq!(config["universe"]["universeDomain"], "example.com");
    let note = "note: universe/universe-domain: not listed by this server, but listed when served from the config";
    assert!(lines.contains(&note.to_owned()), "{lines:?}");
}

/// Serves a value without listing it.
#[derive(Debug)]
struct Other;

impl Endpoint for Other {
    fn call(&self, call: Call<'_>) -> Reply {
        let is_json = call.head.query().is_some_and(|query| query.contains("alt=json"));
        let body = if is_json { "\"example.com\"" } else { "example.com" };
        let content_type = HeaderValue::from_static(if is_json { "application/json" } else { "application/text" });
        Ok(Answer::Document { body: body.into(), content_type }).into()
    }
}

#[tokio::test]
async fn redaction_keeps_lengths_and_e_mails() {
    let server = rich_server().await;
    let (plain, _) = captured(&server, &[]);
    let (config, lines) = captured(&server, &["--redact"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let length = |config: &Value, name: &str| config["instance"]["attributes"][name].as_str().unwrap().len();
    for name in ["ssh-keys", "startup-script", "kube-env", "anything", "odd.key_1"] {
        assert_eq!(length(&config, name), length(&plain, name), "{name}");
    }
    let printed = config.to_string();
    for secret in ["ssh-ed25519 AAAAC3", "MADEUPSECRET", "MIGHAgEA", "c2VhbGVk"] {
        assert!(plain.to_string().contains(secret) && !printed.contains(secret), "{secret}: {printed}");
    }
    assert_eq!(config["instance"]["serviceAccounts"], plain["instance"]["serviceAccounts"]);
    assert_eq!(config["instance"]["attributes"]["odd.key_1"], plain["instance"]["attributes"]["odd.key_1"]);
}

#[tokio::test]
async fn answers_have_status_headers_and_body() {
    let server = rich_server().await;
    let folder = tempfile::tempdir().unwrap();
    let output = capture(&server, folder.path(), &["-o", "vm.json", "--answers", "answers"]);
    assert_eq!((output.status.success(), text(&output.stdout)), (true, ""));
    let answers = folder.path().join("answers");
    let index: Value = serde_json::from_slice(&std::fs::read(answers.join("index.json")).unwrap()).unwrap();
    let find = |path: &str, flavor: Value| {
        let entries = index["answers"].as_array().unwrap();
        let is_it = |entry: &&Value| entry["path"] == path && entry["requestHeaders"]["metadata-flavor"] == flavor;
        let entry = entries.iter().find(is_it).unwrap_or_else(|| panic!("{path}"));
        (entry, std::fs::read_to_string(answers.join(entry["body"].as_str().unwrap())).unwrap())
    };
    let (zone, body) = find(&format!("{V1}/instance/name"), "Google".into());
    assert_eq!((&zone["status"], body.as_str()), (&json!(200), "gke-made-up-1"));
    assert!(zone["headers"].as_array().unwrap().contains(&json!(["metadata-flavor", "Google"])), "{zone}");
    let (refused, body) = find(&format!("{V1}/"), Value::Null);
    assert_eq!(refused["status"], 403);
    assert!(body.contains("Missing Metadata-Flavor:Google header"), "{body}");
    let (redirect, _) = find(&format!("{V1}/instance"), "Google".into());
    assert_eq!(redirect["status"], 301);
}

#[tokio::test]
async fn redacted_answers_contain_no_secret_in_any_form() {
    let server = rich_server().await;
    let folder = tempfile::tempdir().unwrap();
    assert!(capture(&server, folder.path(), &["--redact", "-o", "vm.json", "--answers", "answers"]).status.success());
    let tag = crate::support::get(&server, "instance/attributes/ssh-keys").await.etag().to_owned();
    let secrets = ["AAAAmadeup", "MADEUPSECRET", "MIGHAgEA", "c2VhbGVk", &tag];
    let files = std::fs::read_dir(folder.path().join("answers")).unwrap();
    let mut count = 0;
    for file in files.map(|file| file.unwrap().path()).chain([folder.path().join("vm.json")]) {
        let content = std::fs::read_to_string(&file).unwrap();
        for secret in secrets {
            assert!(!content.contains(secret), "{}: {secret}", file.display());
        }
        count += 1;
    }
    assert!(count > 150, "{count}");
}

#[tokio::test]
async fn existing_files_are_not_replaced() {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let server = serve(json!({"instance": {"name": "vm"}})).await;
    let folder = tempfile::tempdir().unwrap();
    assert!(capture(&server, folder.path(), &["-o", "vm.json", "--answers", "answers"]).status.success());
    let mode = |name: &str| folder.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("vm.json"), mode("answers")), (0o600, 0o700));
    std::fs::DirBuilder::new().mode(0o755).create(folder.path().join("shared")).unwrap();
    assert!(capture(&server, folder.path(), &["--answers", "shared"]).status.success());
    assert_eq!((mode("shared/0000"), mode("shared/index.json")), (0o600, 0o600), "others can read the folder");
    for (args, error) in [
        (["-o", "vm.json"], "error: vm.json already exists: remove it, or choose another file\n"),
        (["--answers", "answers"], "error: answers is not empty: choose another folder\n"),
    ] {
        let output = capture(&server, folder.path(), &args);
        assert_eq!((text(&output.stderr), output.status.code()), (error, Some(1)));
    }
}

#[tokio::test]
async fn the_server_is_that_of_the_environment() {
    let server = serve(json!({"instance": {"name": "vm"}})).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.arg("capture").env_clear().envs(server.env());
    let output = command.output().unwrap();
    assert_eq!(text(&output.stdout), "{\n  \"instance\": {\n    \"name\": \"vm\"\n  }\n}\n");
    let refused = command.env("GCE_METADATA_HOST", "127.0.0.1:1").output().unwrap();
    let error = text(&refused.stderr);
    assert!(error.starts_with("error: no metadata server answers: 127.0.0.1:1: can't connect"), "{error}");
    assert!(error.ends_with("; run this on a VM, or give --from URL\n"), "{error}");
}
