//! Workload and workforce identity federation: each kind of subject token, and what it is exchanged for.

use super::{CLOUD_PLATFORM, EMAIL, OTHER, READ_ONLY, access, both, builder, file, identity, server, status};
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
async fn a_workload_is_federated() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.lets_act_as(EMAIL);
    let token = folder.path().join("token");
    std::fs::write(&token, "an older one").unwrap();
    let path = file(&folder, "adc.json", &google.workload(json!({"file": token})));
    let server = server(&google, LiveSource::Federate { path }).await;
    assert_eq!(status(&server, "default/token").await, 403);
    // Nobody waits for the end of what has none.
    std::fs::remove_file(&token).unwrap();
    assert!(Command::new("mkfifo").arg(&token).status().unwrap().success());
    assert_eq!(status(&server, "default/token").await, 503);
    std::fs::remove_file(&token).unwrap();
    // A token is never this large.
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
async fn a_workload_acts_as_an_account() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.lets_act_as(EMAIL);
    let format = json!({"type": "json", "subject_token_field_name": "token"});
    let url = format!("{}/subject", google.url);
    let mut json = google.workload(json!({"url": url, "headers": {"x-wanted": "yes"}, "format": format}));
    json["service_account_impersonation_url"] = google.impersonation_url(EMAIL).into();
    let path = file(&folder, "adc.json", &json);
    let server = server(&google, LiveSource::Federate { path }).await;
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL);
    assert_eq!(identity(&server, &google, "default").await.1, EMAIL);
    // One exchange serves both.
    assert_eq!(google.asked("/v1/token"), 1);
}

#[tokio::test]
async fn a_workload_says_how_long_its_accounts_tokens_are_to_live() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.lets_act_as(EMAIL);
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
async fn a_program_is_run_where_that_is_allowed_only() {
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

/// A command that runs these lines.
fn script(folder: &TempDir, lines: &str) -> String {
    let path = folder.path().join("script");
    std::fs::write(&path, lines).unwrap();
    format!("sh '{}'", path.display())
}

#[tokio::test]
async fn a_program_may_answer_in_its_file_and_must_end_well() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let token = json!({"version": 1, "success": true, "id_token": SUBJECT_TOKEN,
        "token_type": "urn:ietf:params:oauth:token-type:id_token"});
    let left = folder.path().join("left.json");
    let source = |command| json!({"executable": {"command": command, "output_file": left}});
    for (lines, answered) in [
        (format!("echo '{token}' >\"$GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE\""), 200),
        // What the file has from another time is no answer of this one.
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
async fn what_a_program_left_in_its_file_spares_running_it() {
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
    // One that has expired is as good as none.
    std::fs::write(&left, json(1).to_string()).unwrap();
    assert_eq!(status(&server, &format!("default/token?scopes={READ_ONLY}")).await, 200);
    assert_eq!(std::fs::read_to_string(ran).unwrap().trim(), crate::support::google::AUDIENCE);
}

#[tokio::test]
async fn a_program_that_says_no_is_quoted_in_the_log_alone() {
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
async fn an_instance_on_aws_signs_a_question() {
    let google = Google::start().await;
    let server = federated(&google, &google.amazons_workload(), |_| {}).await;
    let all = both(&[CLOUD_PLATFORM, READ_ONLY]);
    assert_eq!(access(&server, &google, "default/token").await, ("AKIDMADEUP in eu-north-1".into(), all));
}

#[tokio::test]
async fn aws_own_variables_go_before_the_instances_metadata() {
    let google = Google::start().await;
    let mut aws = AwsEnvironment::default();
    aws.region = Some("us-east-2".into());
    aws.access_key_id = Some("AKIDOFENV".into());
    aws.secret_access_key = Some(SECRET_KEY.into());
    let server = federated(&google, &google.amazons_workload(), |it| it.aws = aws).await;
    assert_eq!(access(&server, &google, "default/token").await.0, "AKIDOFENV in us-east-2");
    assert_eq!(google.asked("/latest/api/token"), 0);
    // The check is a check: with another key AWS would not answer.
    let mut aws = AwsEnvironment::default();
    aws.access_key_id = Some("AKIDOFENV".into());
    aws.secret_access_key = Some("another".into());
    let server = federated(&google, &google.amazons_workload(), |it| it.aws = aws).await;
    assert_eq!(status(&server, "default/token").await, 403);
}

#[tokio::test]
async fn a_workforce_pool_says_who_pays() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let token = folder.path().join("token");
    std::fs::write(&token, SUBJECT_TOKEN).unwrap();
    let mut json = google.workload(json!({"file": token}));
    json["workforce_pool_user_project"] = "payer".into();
    let server = federated(&google, &json, |_| {}).await;
    assert_eq!(access(&server, &google, "default/token").await.0, "principal://workload for payer");
    // A client of its own says so already.
    (json["client_id"], json["client_secret"]) = (CLIENT.0.into(), CLIENT.1.into());
    let server = federated(&google, &json, |_| {}).await;
    assert_eq!(access(&server, &google, "default/token").await.0, "principal://workload by c.apps.example.com");
    json["client_secret"] = "another".into();
    let server = federated(&google, &json, |_| {}).await;
    assert_eq!(status(&server, "default/token").await, 403);
}
