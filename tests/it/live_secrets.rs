//! Secrets that a host or an executable echoes in its errors reach neither the log (at the highest verbosity) nor the metrics
//! nor an answer. Background processes of executables end with the server.

use crate::support::google::aws::{SECRET_KEY, VERIFICATION_URL};
use crate::support::google::{CLIENT, Google, REFRESH_TOKEN, SUBJECT_TOKEN};
use crate::support::program::Program;
use crate::support::{get_at, metrics_at};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs::File;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

const EMAIL: &str = "live@sample-project.iam.gserviceaccount.com";
const ACCOUNT: &str = "instance/service-accounts/default";

/// Up to three secrets in a request, in six encodings each.
const REQUESTS: usize = 18;

/// Starts the program with these credentials and asks for tokens. Returns its answers, metrics and log.
async fn output_of(option: &str, json: &Value, change: impl FnOnce(&mut Command)) -> String {
    let folder = TempDir::new().unwrap();
    let (credentials, log) = (folder.path().join("adc.json"), folder.path().join("log"));
    std::fs::write(&credentials, json.to_string()).unwrap();
    let mut program = Program::start(|command| {
        command.args(["-v", "10", "--metricsEnabled", "--metrics-port", "0", option]);
        match option {
            "--service-account-file" => _ = command.arg(&credentials),
            _ => _ = command.env("GOOGLE_APPLICATION_CREDENTIALS", &credentials),
        }
        command.stderr(File::create(&log).unwrap());
        change(command);
    });
    let host = program.wait_for("export GCE_METADATA_HOST=");
    let metrics = program.wait_for("# Metrics and health at http://");
    let mut output = String::new();
    for number in 0..REQUESTS {
        let answer = get_at(&host, &format!("{ACCOUNT}/identity?audience=https://audience.example.com/{number}")).await;
        assert_eq!(answer.status, 403, "{}", answer.body);
        output += &answer.body;
    }
    output += &metrics_at(&metrics).await;
    program.stop();
    output + &std::fs::read_to_string(log).unwrap()
}

/// Asserts that the output contains no 16 consecutive bytes of a secret, in any encoding.
fn assert_not_in(output: &str, secrets: &[String]) {
    assert!(output.contains("[redacted]") && output.contains("metadata_token_fetches_total"), "{output}");
    let parts: HashSet<&[u8]> = output.as_bytes().windows(16).collect();
    for secret in secrets {
        let encoded = percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string();
        let form = form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>();
        for text in [secret, &encoded, &form] {
            assert!(!output.contains(text), "{secret}");
            let found = text.as_bytes().windows(16).find(|part| parts.contains(part));
            assert_eq!(found.map(String::from_utf8_lossy), None, "of {secret}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens_and_client_secrets_echoed_by_a_token_endpoint_are_not_logged() {
    let google = Google::start().await;
    google.echoes_below("/token");
    let mut json = google.user_credentials();
    let token_uri = format!("{}/token", google.url).replace("http://", "http://me:made-up-url-password@");
    json["token_uri"] = token_uri.into();
    let output = output_of("--impersonate", &json, |_| {}).await;
    let secrets = [google.echoed(), vec!["made-up-url-password".to_owned()]].concat();
    assert!([REFRESH_TOKEN, CLIENT.1].iter().all(|secret| secrets.iter().any(|it| it == secret)), "{secrets:?}");
    assert_not_in(&output, &secrets);
}

#[tokio::test(flavor = "multi_thread")]
async fn bearer_tokens_and_audiences_echoed_by_iam_are_not_logged() {
    let google = Google::start().await;
    google.echoes_below("/v1/projects/");
    let output =
        output_of("--impersonate", &google.user_credentials(), |it| _ = it.args(["--iam-url", &google.url])).await;
    assert!(google.echoed().iter().all(|secret| secret.starts_with("eyJ")), "{:?}", google.echoed());
    // The log line of the request has the audience, but no error has.
    let errors: Vec<_> = output.lines().filter(|line| !line.contains("identity token requested")).collect();
    assert_not_in(&errors.join("\n"), &[google.echoed(), vec!["https://audience.example.com/".to_owned()]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn assertions_echoed_by_a_token_endpoint_are_not_logged() {
    let google = Google::start().await;
    google.echoes_below("/token");
    let output = output_of("--service-account-file", &google.service_account(EMAIL), |_| {}).await;
    assert!(google.echoed().iter().all(|secret| secret.starts_with("eyJ")), "{:?}", google.echoed());
    assert_not_in(&output, &google.echoed());
}

#[tokio::test(flavor = "multi_thread")]
async fn subject_tokens_and_basic_credentials_echoed_by_the_token_service_are_not_logged() {
    let google = Google::start().await;
    google.echoes_below("/v1/token");
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, SUBJECT_TOKEN).unwrap();
    let mut json = google.workload(json!({"file": token}));
    (json["client_id"], json["client_secret"]) = (CLIENT.0.into(), CLIENT.1.into());
    let output = output_of("--federate", &json, |_| {}).await;
    let secrets = google.echoed();
    assert!([SUBJECT_TOKEN, CLIENT.1].iter().all(|secret| secrets.iter().any(|it| it == secret)), "{secrets:?}");
    assert_not_in(&output, &secrets);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_queries_echoed_by_a_subject_token_url_are_not_logged() {
    let google = Google::start().await;
    google.echoes_below("/subject");
    let url = format!("{}/subject?key=made-up-url-key", google.url);
    let headers = json!({"x-api-key": "made-up-api-key", "Authorization": "Bearer made-up-bearer"});
    let output = output_of("--federate", &google.workload(json!({"url": url, "headers": headers})), |_| {}).await;
    for secret in ["made-up-api-key", "made-up-bearer", "made-up-url-key"] {
        assert!(google.echoed().iter().any(|it| it == secret), "{:?}", google.echoed());
    }
    assert_not_in(&output, &google.echoed());
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_session_tokens_echoed_by_the_token_service_are_not_logged() {
    let google = Google::start().await;
    google.echoes_below("/v1/token");
    let source = json!({"environment_id": "aws1", "regional_cred_verification_url": VERIFICATION_URL});
    let session = "made-up-session-token";
    let output = output_of("--federate", &google.workload(source), |it| {
        it.env("AWS_REGION", "eu-west-1").env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        it.env("AWS_ACCESS_KEY_ID", "AKIDOFENV").env("AWS_SESSION_TOKEN", session);
    })
    .await;
    assert!(google.echoed().iter().all(|secret| secret.contains("made%2Dup%2Dsession")), "{:?}", google.echoed());
    assert_not_in(&output, &[google.echoed(), vec![session.to_owned()]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn session_tokens_echoed_by_the_aws_metadata_server_are_not_logged() {
    let google = Google::start().await;
    google.echoes_below("/latest/meta-data/");
    let output = output_of("--federate", &google.aws_workload(), |_| {}).await;
    assert!(google.echoed().iter().all(|secret| secret == "made-up-session"), "{:?}", google.echoed());
    assert_not_in(&output, &google.echoed());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_in_an_executables_error_message_are_not_logged() {
    let google = Google::start().await;
    let unknown = "0123456789abcdef".repeat(4);
    let printed = json!({"version": 1, "success": false, "id_token": SUBJECT_TOKEN, "code": "401",
        "message": format!("refused: {SUBJECT_TOKEN} and {unknown}")});
    let source = json!({"executable": {"command": format!("/bin/echo '{printed}'")}});
    let allow = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";
    let output = output_of("--federate", &google.workload(source), |it| _ = it.env(allow, "1")).await;
    assert_not_in(&output, &[SUBJECT_TOKEN.to_owned(), unknown]);
}

#[tokio::test(flavor = "multi_thread")]
async fn background_processes_of_an_executable_end_with_the_server() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let (script, fifo) = (folder.path().join("script"), folder.path().join("pipe"));
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    std::fs::write(&script, format!("(echo >&3; exec sleep 600) 3>'{}' &\nsleep 600\n", fifo.display())).unwrap();
    let source =
        json!({"executable": {"command": format!("/bin/sh '{}'", script.display()), "timeout_millis": 120_000}});
    let credentials = folder.path().join("adc.json");
    std::fs::write(&credentials, google.workload(source).to_string()).unwrap();
    let mut receiver = pipe::OpenOptions::new().open_receiver(&fifo).unwrap();
    // Without a writer, reading the pipe would end at once.
    let writer = pipe::OpenOptions::new().open_sender(&fifo).unwrap();
    let mut program = Program::start(|command| {
        command.args(["--federate", "--drain-timeout", "0"]).env("PATH", "/usr/bin:/bin");
        command
            .env("GOOGLE_APPLICATION_CREDENTIALS", &credentials)
            .env("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
    });
    // The executable runs twice: for the probe at start and for a request.
    let host = program.wait_for("export GCE_METADATA_HOST=");
    let request = tokio::spawn(async move { get_at(&host, &format!("{ACCOUNT}/identity?audience=a")).await });
    let mut started = [0; 2];
    receiver.read_exact(&mut started).await.unwrap();
    drop(writer);
    request.abort();
    program.stop();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(60), receiver.read_to_end(&mut rest)).await;
    ended.expect("a background process is alive").unwrap();
}
