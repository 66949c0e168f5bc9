//! Live tokens of the program that depend on its environment variables and on files in the home folder.

use crate::support::google::aws::{SECRET_KEY, VERIFICATION_URL};
use crate::support::google::{Google, SUBJECT_TOKEN};
use crate::support::program::Program;
use crate::support::{Answer, get_at};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Writes Application Default Credentials, starts the program with them and asks for the default account's token.
    async fn federated(&self, json: &Value, change: impl FnOnce(&mut Command)) -> Answer {
        let credentials = self.write("adc.json", &json.to_string());
        self.token("--federate", |command| {
            command.env("GOOGLE_APPLICATION_CREDENTIALS", credentials);
            change(command);
        })
        .await
    }

    async fn token(&self, option: &str, change: impl FnOnce(&mut Command)) -> Answer {
        self.ask(option, "token", change).await
    }

    /// Starts the program and asks for a path of the default account.
    async fn ask(&self, option: &str, path: &str, change: impl FnOnce(&mut Command)) -> Answer {
        let mut program = Program::start(|command| {
            command.arg(option).current_dir(self.0.path());
            change(command);
        });
        let host = program.wait_for("export GCE_METADATA_HOST=");
        get_at(&host, &format!("instance/service-accounts/default/{path}")).await
    }
}

fn owner(google: &Google, answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.body);
    google.api(answer.json()["access_token"].as_str().unwrap()).unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_sourced_workload_presents_its_certificate_to_the_token_service() {
    let (google, folder) = (Google::start().await, Folder::new());
    let tls = google.tls().await;
    let root = folder.write("root.pem", &tls.root);
    let paths = json!({
        "cert_path": folder.write("client.pem", &tls.client.0), "key_path": folder.write("client.key", &tls.client.1),
    });
    let config = folder.write("certificate_config.json", &json!({"cert_configs": {"workload": paths}}).to_string());
    let mut json = google.workload(json!({"certificate": {"use_default_certificate_config": true}}));
    json["subject_token_type"] = "urn:ietf:params:oauth:token-type:mtls".into();
    json["token_url"] = format!("{}/v1/token", tls.url).into();
    let answer = folder
        .federated(&json, |it| {
            it.env("SSL_CERT_FILE", &root).env("GOOGLE_API_CERTIFICATE_CONFIG", &config);
        })
        .await;
    assert_eq!(owner(&google, &answer), "principal://certificate/1");
    // With a trust chain in the subject token.
    json["credential_source"] =
        json!({"certificate": {"certificate_config_location": config, "trust_chain_path": root}});
    let answer = folder.federated(&json, |it| _ = it.env("SSL_CERT_FILE", &root)).await;
    assert_eq!(owner(&google, &answer), "principal://certificate/2");
    // A token service with an untrusted certificate gets no request.
    let answer = folder.federated(&json, |_| {}).await;
    assert_eq!(answer.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_environment_variables_are_read() {
    let (google, folder) = (Google::start().await, Folder::new());
    let source = json!({"environment_id": "aws1", "regional_cred_verification_url": VERIFICATION_URL});
    let mut json = google.workload(source);
    json["subject_token_type"] = "urn:ietf:params:aws:token-type:aws4_request".into();
    let answer = folder
        .federated(&json, |it| {
            it.env("AWS_DEFAULT_REGION", "eu-west-1").env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
            it.env("AWS_ACCESS_KEY_ID", "AKIDOFENV").env("AWS_SESSION_TOKEN", "made-up-session-token");
        })
        .await;
    assert_eq!(owner(&google, &answer), "AKIDOFENV in eu-west-1");
}

/// The library that signs AWS requests logs the request that it signs, which contains the session token.
#[tokio::test(flavor = "multi_thread")]
async fn aws_keys_stay_out_of_the_log_at_every_level() {
    let (google, folder) = (Google::start().await, Folder::new());
    let source = json!({"environment_id": "aws1", "regional_cred_verification_url": VERIFICATION_URL});
    let json = google.workload(source);
    for filter in ["", "trace", "aws_sigv4=trace", "aws_sigv4::http_request::sign=trace,info"] {
        let path = folder.write("log", "");
        let log = std::fs::File::options().append(true).open(&path).unwrap();
        folder
            .federated(&json, |it| {
                it.args(["-v", "10"]).stderr(log);
                if !filter.is_empty() {
                    it.env("RUST_LOG", filter);
                }
                it.env("AWS_REGION", "eu-west-1").env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
                it.env("AWS_ACCESS_KEY_ID", "AKIDOFENV").env("AWS_SESSION_TOKEN", "made-up-session-token");
            })
            .await;
        let log = std::fs::read_to_string(path).unwrap();
        assert!(filter.starts_with("aws_sigv4=") || log.contains("listening"), "{log}");
        for secret in ["made-up-session-token", SECRET_KEY] {
            assert!(!log.contains(secret), "{filter}: {secret} is in the log");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn allow_executables_variable_lets_credentials_run_a_program() {
    let (google, folder) = (Google::start().await, Folder::new());
    let printed = json!({"version": 1, "success": true, "id_token": SUBJECT_TOKEN,
        "token_type": "urn:ietf:params:oauth:token-type:id_token"});
    let json = google.workload(json!({"executable": {"command": format!("/bin/echo '{printed}'")}}));
    let answer = folder.federated(&json, |it| _ = it.env("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")).await;
    assert_eq!(owner(&google, &answer), "principal://workload");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executable_does_not_inherit_password_variables() {
    let (google, folder) = (Google::start().await, Folder::new());
    let printed = json!({"version": 1, "success": true, "id_token": SUBJECT_TOKEN,
        "token_type": "urn:ietf:params:oauth:token-type:id_token"});
    let inherited = folder.0.path().join("inherited");
    let script = folder.write("script", &format!("env >'{}'\necho '{printed}'\n", inherited.display()));
    let command = format!("/bin/sh '{}'", script.display());
    let json = google.workload(json!({"executable": {"command": command}}));
    let answer = folder
        .federated(&json, |it| {
            it.env("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1").env("PATH", "/usr/bin:/bin");
            it.env("GCE_METADATA_KEY_PASS", "made-up").env("GCE_METADATA_PARENT_PASS", "made-up");
            it.env("GCE_METADATA_PKCS11_PIN", "made-up");
        })
        .await;
    assert_eq!(owner(&google, &answer), "principal://workload");
    let inherited = std::fs::read_to_string(inherited).unwrap();
    assert!(inherited.contains("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE=") && !inherited.contains("made-up"), "{inherited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_identity_token_is_logged_without_its_audience() {
    let (google, folder) = (Google::start().await, Folder::new());
    let email = "vm-1@sample-project.iam.gserviceaccount.com";
    let key = folder.write("key.json", &google.service_account(email).to_string());
    let path = folder.write("log", "");
    let log = std::fs::File::options().append(true).open(&path).unwrap();
    let answer = folder
        .ask("--service-account-file", "identity?audience=https://a.example.com/?made=up", |it| {
            _ = it.arg(key).stderr(log)
        })
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let log = std::fs::read_to_string(path).unwrap();
    let line = log.lines().find(|line| line.contains("identity token made")).expect(&log);
    assert!(line.contains(email) && line.contains("live") && line.contains("lifetime=3"), "{line}");
    assert!(!log.contains("a.example.com") && !log.contains(&answer.body), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_the_kind_of_tokens_that_is_not_given() {
    let (google, folder) = (Google::start().await, Folder::new());
    let email = "vm-1@sample-project.iam.gserviceaccount.com";
    let key = folder.write("key.json", &google.service_account(email).to_string());
    for (variable, is_id) in [("GOOGLE_ACCESS_TOKEN", false), ("GOOGLE_ID_TOKEN", true)] {
        let path = folder.write("log", "");
        let log = std::fs::File::options().append(true).open(&path).unwrap();
        let mut program = Program::start(|command| {
            command.arg("--service-account-file").arg(&key).env(variable, "made-up-token").stderr(log);
        });
        let host = program.wait_for("export GCE_METADATA_HOST=");
        let access = get_at(&host, "instance/service-accounts/default/token").await;
        let id = get_at(&host, "instance/service-accounts/default/identity?audience=https://a.example.com").await;
        if is_id {
            assert_eq!((owner(&google, &access), &*id.body), (email.to_owned(), "made-up-token"));
        } else {
            assert_eq!(access.json()["access_token"], "made-up-token");
            assert_eq!(google.id_token(&id.body), ("https://a.example.com".to_owned(), email.to_owned()));
        }
        program.stop();
        let log = std::fs::read_to_string(path).unwrap();
        let warning = format!("{variable} is served to the default account; --service-account-file makes its ");
        assert!(log.contains(&warning) && !log.contains("made-up-token"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_several_sources_in_the_go_emulators_order_is_used() {
    let (google, folder) = (Google::start().await, Folder::new());
    let email = "vm-1@sample-project.iam.gserviceaccount.com";
    google.allow_impersonation(email);
    let key =
        folder.write("key.json", &google.service_account("key@sample-project.iam.gserviceaccount.com").to_string());
    let adc = folder.write("adc.json", &google.user_credentials().to_string());
    for (options, used) in [
        ("--impersonate --federate", email),
        ("--federate", "person@example.com"),
        ("--impersonate=false", "key@sample-project.iam.gserviceaccount.com"),
    ] {
        let answer = folder
            .token("--serviceAccountFile", |it| {
                it.arg(&key).args(options.split(' ')).args(["--iam-url", &google.url]);
                it.env("GOOGLE_APPLICATION_CREDENTIALS", &adc);
            })
            .await;
        assert_eq!(owner(&google, &answer), used, "{options}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gclouds_default_credentials_file_is_found() {
    let (google, folder) = (Google::start().await, Folder::new());
    let email = "vm-1@sample-project.iam.gserviceaccount.com";
    google.allow_impersonation(email);
    folder.write(".config/gcloud/application_default_credentials.json", &google.user_credentials().to_string());
    let home = folder.0.path();
    let answer = folder.token("--impersonate", |it| _ = it.env("HOME", home).args(["--iam-url", &google.url])).await;
    assert_eq!(owner(&google, &answer), email);
}
