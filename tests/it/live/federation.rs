//! Workload and workforce identity federation: each kind of subject token and its exchange.

use super::{CLOUD_PLATFORM, EMAIL, OTHER, READ_ONLY, access, builder, file, identity, joined, server, status};
use crate::support::ask_metrics;
use crate::support::google::aws::SECRET_KEY;
use crate::support::google::{CLIENT, Google, SUBJECT_TOKEN};
use gce_metadata_server::{AwsEnvironment, LiveOptions, LiveSource, Server};
use serde_json::{Value, json};
use std::process::Command;
use tempfile::TempDir;

async fn federated(google: &Google, json: &Value, change: impl FnOnce(&mut LiveOptions)) -> Server {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "adc.json", json);
    builder(google, LiveSource::Federate { path }, change).start().await.unwrap()
}

#[tokio::test]
async fn a_subject_token_from_a_file_is_exchanged() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.allow_impersonation(EMAIL);
    let token = folder.path().join("token");
    std::fs::write(&token, "an older one").unwrap();
    let path = file(&folder, "adc.json", &google.workload(json!({"file": token})));
    let server = server(&google, LiveSource::Federate { path }).await;
    assert_eq!(status(&server, "default/token").await, 403);
    // A pipe is refused; reading one could block.
    std::fs::remove_file(&token).unwrap();
    assert!(Command::new("mkfifo").arg(&token).status().unwrap().success());
    assert_eq!(status(&server, "default/token").await, 503);
    std::fs::remove_file(&token).unwrap();
    // Files above the size limit are refused without a request.
    std::fs::File::create(&token).unwrap().set_len(1024 * 1024 + 1).unwrap();
    let asked = google.asked("/v1/token");
    assert_eq!((status(&server, "default/token").await, google.asked("/v1/token")), (503, asked));
    std::fs::remove_file(&token).unwrap();
    // The next request reads the file again.
    std::fs::write(&token, format!("{SUBJECT_TOKEN}\n")).unwrap();
    assert_eq!(access(&server, &google, "default/token").await.0, "principal://workload");
    assert_eq!(identity(&server, &google, "default").await.1, EMAIL);
    assert_eq!(status(&server, &format!("{OTHER}/token")).await, 404);
    assert!(ask_metrics(&server, "/metrics").await.1.contains(r#"credential_type{type="Federated"} 1"#));
}

#[tokio::test]
async fn a_workload_impersonates_a_service_account() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.allow_impersonation(EMAIL);
    let format = json!({"type": "json", "subject_token_field_name": "token"});
    let url = format!("{}/subject", google.url);
    let mut json = google.workload(json!({"url": url, "headers": {"x-wanted": "yes"}, "format": format}));
    json["service_account_impersonation_url"] = google.impersonation_url(EMAIL).into();
    let path = file(&folder, "adc.json", &json);
    let server = server(&google, LiveSource::Federate { path }).await;
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL);
    assert_eq!(identity(&server, &google, "default").await.1, EMAIL);
    // One exchange serves both tokens.
    assert_eq!(google.asked("/v1/token"), 1);
}

#[tokio::test]
async fn token_lifetime_seconds_sets_the_lifetime_of_impersonated_tokens() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.allow_impersonation(EMAIL);
    let token = folder.path().join("token");
    std::fs::write(&token, SUBJECT_TOKEN).unwrap();
    let mut json = google.workload(json!({"file": token}));
    json["service_account_impersonation_url"] = google.impersonation_url(EMAIL).into();
    json["service_account_impersonation"] = json!({"token_lifetime_seconds": 1800});
    let server = federated(&google, &json, |_| {}).await;
    let answer = crate::support::get(&server, "instance/service-accounts/default/token").await.json();
    assert!((1700..=1800).contains(&answer["expires_in"].as_u64().unwrap()), "{}", answer["expires_in"]);
}

#[tokio::test]
async fn an_executable_runs_only_if_executables_are_allowed() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let printed = json!({"version": 1, "success": true, "id_token": SUBJECT_TOKEN,
        "token_type": "urn:ietf:params:oauth:token-type:id_token", "expiration_time": 4_000_000_000_u64});
    let output = file(&folder, "printed.json", &printed);
    let command = format!("cat '{}'", output.display());
    let path = file(&folder, "adc.json", &google.workload(json!({"executable": {"command": command}})));
    let source = LiveSource::Federate { path };
    let error = builder(&google, source.clone(), |_| {}).start().await.unwrap_err();
    assert!(error.to_string().contains("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1"), "{error}");
    let server = builder(&google, source, |it| it.allow_executables = true).start().await.unwrap();
    assert_eq!(access(&server, &google, "default/token").await.0, "principal://workload");
}

/// A command that runs these lines as a shell script.
fn script(folder: &TempDir, lines: &str) -> String {
    let path = folder.path().join("script");
    std::fs::write(&path, lines).unwrap();
    format!("sh '{}'", path.display())
}

#[tokio::test]
async fn an_executable_may_answer_in_its_output_file_and_must_exit_with_0() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let token = json!({"version": 1, "success": true, "id_token": SUBJECT_TOKEN,
        "token_type": "urn:ietf:params:oauth:token-type:id_token"});
    let left = folder.path().join("left.json");
    let source = |command| json!({"executable": {"command": command, "output_file": left}});
    for (lines, answered) in [
        (format!("echo '{token}' >\"$GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE\""), 200),
        // The output file of an earlier run does not count.
        ("echo made-up".to_owned(), 503),
        (format!("echo '{token}'; exit 1"), 503),
        ("exit 1".to_owned(), 503),
    ] {
        let json = google.workload(source(script(&folder, &lines)));
        let server = federated(&google, &json, |it| it.allow_executables = true).await;
        assert_eq!(status(&server, "default/token").await, answered, "{lines}");
    }
}

#[tokio::test]
async fn an_unexpired_output_file_is_used_instead_of_running_the_executable() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let (left, ran) = (folder.path().join("left.json"), folder.path().join("ran"));
    let json = |expiry: u64| {
        json!({"version": 1, "success": true, "id_token": SUBJECT_TOKEN, "expiration_time": expiry,
            "token_type": "urn:ietf:params:oauth:token-type:id_token"})
    };
    let program = script(
        &folder,
        &format!("echo $GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE >>'{}'\necho '{}'", ran.display(), json(4_000_000_000)),
    );
    std::fs::write(&left, json(4_000_000_000).to_string()).unwrap();
    let source = json!({"executable": {"command": program, "output_file": left, "timeout_millis": 5000}});
    let server = federated(&google, &google.workload(source), |it| it.allow_executables = true).await;
    assert_eq!(access(&server, &google, "default/token").await.0, "principal://workload");
    assert!(!ran.exists());
    // An expired output file is ignored.
    std::fs::write(&left, json(1).to_string()).unwrap();
    assert_eq!(status(&server, &format!("default/token?scopes={READ_ONLY}")).await, 200);
    assert_eq!(std::fs::read_to_string(ran).unwrap().trim(), crate::support::google::AUDIENCE);
}

#[tokio::test]
async fn an_executables_refusal_is_not_quoted_to_the_client() {
    let google = Google::start().await;
    let source = json!({"executable": {"command":
        r#"echo '{"version": 1, "success": false, "code": "401", "message": "made-up reason"}'"#}});
    let server = federated(&google, &google.workload(source), |it| it.allow_executables = true).await;
    let refused = crate::support::get(&server, "instance/service-accounts/default/token").await;
    assert_eq!(refused.status, 403);
    assert!(!refused.body.contains("made-up"), "{}", refused.body);
    assert_eq!(google.asked("/v1/token"), 0);
}

#[tokio::test]
async fn an_aws_instance_signs_a_get_caller_identity_request() {
    let google = Google::start().await;
    let server = federated(&google, &google.aws_workload(), |_| {}).await;
    let all = joined(&[CLOUD_PLATFORM, READ_ONLY]);
    assert_eq!(access(&server, &google, "default/token").await, ("AKIDMADEUP in eu-north-1".into(), all));
}

#[tokio::test]
async fn aws_environment_variables_override_the_instances_metadata() {
    let google = Google::start().await;
    let mut aws = AwsEnvironment::default();
    aws.region = Some("us-east-2".into());
    aws.access_key_id = Some("AKIDOFENV".into());
    aws.secret_access_key = Some(SECRET_KEY.into());
    let server = federated(&google, &google.aws_workload(), |it| it.aws = aws).await;
    assert_eq!(access(&server, &google, "default/token").await.0, "AKIDOFENV in us-east-2");
    assert_eq!(google.asked("/latest/api/token"), 0);
    // The fake verifies signatures: a wrong key is refused.
    let mut aws = AwsEnvironment::default();
    aws.access_key_id = Some("AKIDOFENV".into());
    aws.secret_access_key = Some("another".into());
    let server = federated(&google, &google.aws_workload(), |it| it.aws = aws).await;
    assert_eq!(status(&server, "default/token").await, 403);
}

#[tokio::test]
async fn a_workforce_pool_names_its_user_project() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let token = folder.path().join("token");
    std::fs::write(&token, SUBJECT_TOKEN).unwrap();
    let mut json = google.workload(json!({"file": token}));
    json["workforce_pool_user_project"] = "payer".into();
    let server = federated(&google, &json, |_| {}).await;
    assert_eq!(access(&server, &google, "default/token").await.0, "principal://workload for payer");
    // With a client ID the user project is not sent.
    (json["client_id"], json["client_secret"]) = (CLIENT.0.into(), CLIENT.1.into());
    let server = federated(&google, &json, |_| {}).await;
    assert_eq!(access(&server, &google, "default/token").await.0, "principal://workload by c.apps.example.com");
    json["client_secret"] = "another".into();
    let server = federated(&google, &json, |_| {}).await;
    assert_eq!(status(&server, "default/token").await, 403);
}
