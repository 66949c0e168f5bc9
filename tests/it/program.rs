//! The program as a black box: options, output, start, reload, failure and shutdown.

mod announce;
mod commands;
mod completions;
mod config_variable;
mod hosts;
mod log;
mod parent;
mod refused;
mod simulation;
mod threads;
mod token_verify;
mod tokens;

use crate::support::repository;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The program in this folder, with an empty environment.
fn program(folder: &Path, args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.current_dir(folder).env_clear().args(args.split(' ').filter(|word| !word.is_empty()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A serving program; killed when dropped.
struct Running {
    child: Child,
    out: Vec<String>,
    url: String,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let has_metrics = command.get_args().any(|arg| arg == "--metricsEnabled");
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let mut out = vec![lines.next().expect("the first line names the address").unwrap()];
        let url = out[0].rsplit(' ').next().unwrap().to_owned();
        let more = usize::from(url.starts_with("http://")) * 3 + usize::from(has_metrics);
        out.extend(lines.take(more).map(Result::unwrap));
        Self { child, out, url }
    }

    /// Runs curl with these arguments and returns the body.
    fn curl(&self, args: &str) -> String {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-H", "Metadata-Flavor: Google"]).args(args.split(' '));
        if let Some(address) = self.url.strip_prefix("http://") {
            curl.args(["--connect-to", &format!("metadata.google.internal:80:{address}")]);
        }
        let output = curl.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn get(&self, path: &str) -> String {
        self.curl(&format!("http://metadata.google.internal/computeMetadata/v1/{path}"))
    }

    /// Sends a signal, waits for the exit, and returns the exit status and all of standard error.
    fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), err)
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_built_in_sample_is_served_without_a_config() {
    let folder = folder();
    let running = Running::start(program(folder.path(), "--port 0"));
    let address = running.url.trim_start_matches("http://").to_owned();
    assert_eq!(running.out[0], format!("# Serving the built-in sample at http://{address}"));
    assert_eq!(running.out[1], format!("export GCE_METADATA_HOST={address}"));
    assert_eq!(running.out[2], format!("export GCE_METADATA_IP={address}"));
    assert_eq!(running.out[3], format!("export GCE_METADATA_ROOT={address}"));
    assert_eq!(running.get("project/project-id"), "sample-project");
    let (status, log) = running.stop("-TERM");
    assert_eq!(status, Some(0));
    let offline: Vec<_> = log.lines().filter(|line| line.contains("tokens are made offline")).collect();
    assert_eq!(offline.len(), 1, "{log}");
    assert!(offline[0].contains("GOOGLE_ACCESS_TOKEN"), "the log must name the remedy: {log}");
}

#[test]
fn serve_is_also_a_command_with_the_same_options() {
    let folder = folder();
    let running = Running::start(program(folder.path(), "serve -port :0 --enable-legacy-endpoints=false"));
    assert_eq!(running.out[0], format!("# Serving the built-in sample at {}", running.url));
    assert_eq!(running.get("project/project-id"), "sample-project");
    assert_eq!(running.stop("-TERM").0, Some(0));
}

#[test]
fn config_json_in_the_current_folder_is_served_by_default() {
    let folder = folder();
    std::fs::write(folder.path().join("config.json"), r#"{"project": {"projectId": "found"}}"#).unwrap();
    let running = Running::start(program(folder.path(), "--port 0"));
    assert!(running.out[0].starts_with("# Serving config.json at "), "{}", running.out[0]);
    assert_eq!(running.get("project/project-id"), "found");
    assert_eq!(running.stop("-INT").0, Some(0));
}

/// The command line and curl calls from the Go emulator's README, with tokens from the environment.
#[test]
fn the_go_emulators_static_token_command_line_works() {
    let folder = folder();
    let config = repository("config.json");
    let mut command = program(folder.path(), "-logtostderr -alsologtostderr -v 5 -port :0");
    command.arg(format!("--configFile={}", config.display()));
    command.envs([
        ("GOOGLE_PROJECT_ID", "some-project-id"),
        ("GOOGLE_NUMERIC_PROJECT_ID", "some_project_number"),
        ("GOOGLE_ACCESS_TOKEN", "some_static_token"),
        ("GOOGLE_ID_TOKEN", "some_id_token"),
        ("GOOGLE_SERVICE_ACCOUNT", "metadata-sa@some-project-id.iam.gserviceaccount.com"),
    ]);
    let running = Running::start(command);
    let account = "instance/service-accounts/default";
    let token = running.get(&format!("{account}/token"));
    assert_eq!(token, r#"{"access_token":"some_static_token","expires_in":3600,"token_type":"Bearer"}"#);
    assert_eq!(running.get(&format!("{account}/identity?audience=https://foo.bar")), "some_id_token");
    assert_eq!(running.get("instance/id"), "5775171277418378001");
    assert_eq!(running.get("project/project-id"), "some-project-id");
    assert_eq!(running.get(&format!("{account}/email")), "metadata-sa@some-project-id.iam.gserviceaccount.com");
    let all: Value = serde_json::from_str(&running.get("?recursive=true")).unwrap();
    assert_eq!(all["project"]["numericProjectId"], "some_project_number");
    let accounts: Vec<_> = all["instance"]["serviceAccounts"].as_object().unwrap().keys().collect();
    assert_eq!(accounts, ["default", "metadata-sa@some-project-id.iam.gserviceaccount.com"]);

    let (status, log) = running.stop("-TERM");
    assert_eq!(status, Some(0));
    assert!(log.contains("GOOGLE_NUMERIC_PROJECT_ID is `some_project_number`"), "{log}");
    assert!(log.contains("DEBUG") && log.contains("path=\"/computeMetadata/v1/instance/id\""), "{log}");
    for secret in ["some_static_token", "some_id_token"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn secrets_stay_out_of_the_log_at_every_level() {
    let folder = folder();
    let running = Running::start(program(folder.path(), "--port 0 -v 10 --log-format json"));
    let token: Value = serde_json::from_str(&running.get("instance/service-accounts/default/token")).unwrap();
    let identity = running.get("instance/service-accounts/default/identity?audience=https://audience.example.com");
    let (_, log) = running.stop("-TERM");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    assert!(log.contains("\"status\":200"));
    for secret in [token["access_token"].as_str().unwrap(), &identity] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn a_cached_offline_token_is_logged_once() {
    let folder = folder();
    let running = Running::start(program(folder.path(), "--port 0"));
    let account = "instance/service-accounts/default";
    for path in ["token", "identity?audience=a"].repeat(5) {
        running.get(&format!("{account}/{path}"));
    }
    let (_, log) = running.stop("-TERM");
    for line in ["access token made", "identity token made"] {
        assert_eq!(log.matches(line).count(), 1, "{log}");
    }
}

/// The config's folder is watched, and a log file in it changes with each log line.
#[test]
fn a_log_file_beside_the_config_causes_no_reload_loop() {
    let folder = folder();
    std::fs::write(folder.path().join("config.json"), r#"{"project": {"projectId": "p"}}"#).unwrap();
    let log = folder.path().join("server.log");
    let mut command = program(folder.path(), "--port 0 -v 10");
    command.stderr(std::fs::File::create(&log).unwrap());
    let mut running = Running::start(command);
    for _ in 0..100 {
        assert_eq!(running.get("project/project-id"), "p");
    }
    running.signal("-TERM");
    running.child.wait().unwrap();
    let lines = std::fs::read_to_string(&log).unwrap().lines().count();
    assert!((100..5000).contains(&lines), "{lines} lines for 100 requests");
}

#[test]
fn sighup_reloads_the_config_and_shutdown_removes_the_unix_socket() {
    let folder = folder();
    let config = folder.path().join("config.json");
    std::fs::write(&config, r#"{"project": {"projectId": "one"}}"#).unwrap();
    let mut command = program(folder.path(), "-domainsocket metadata.sock --socket-mode 600");
    command.env("RUST_LOG", "gce_metadata_server=info");
    let mut running = Running::start(command);
    assert_eq!(running.out, ["# Serving config.json at unix:metadata.sock"]);
    let socket = folder.path().join("metadata.sock");
    let url = "http://metadata.google.internal/computeMetadata/v1/project/project-id";
    assert_eq!(running.curl(&format!("--unix-socket {} {url}", socket.display())), "one");

    let mut lines = BufReader::new(running.child.stderr.take().unwrap()).lines().map(Result::unwrap);
    running.signal("-HUP");
    assert!(lines.any(|line| line.contains("config reloaded")));
    running.signal("-TERM");
    assert!(lines.any(|line| line.contains("stopping")));
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert!(!socket.exists());
}

/// Two signals at almost the same time, as from a terminal and a supervisor, count as one request to stop.
#[test]
fn two_signals_at_once_do_not_cut_the_drain_short() {
    let folder = folder();
    let running = Running::start(program(folder.path(), "--port 0 --drain-timeout 30"));
    let address = running.url.trim_start_matches("http://").to_owned();
    // An unfinished request head keeps the server draining for a second.
    let mut half = std::net::TcpStream::connect(address).unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost: metadata\r\n\r\nGET /").unwrap();
    half.read_exact(&mut [0; 12]).unwrap();
    running.signal("-TERM");
    let (status, log) = running.stop("-INT");
    assert_eq!(status, Some(0));
    assert!(!log.contains("second signal"), "{log}");
}

/// A long poll does not delay the shutdown.
#[test]
fn shutdown_answers_long_polls() {
    let folder = folder();
    let running = Running::start(program(folder.path(), "--port 0 --metricsEnabled -metricsPort :0"));
    let metrics = running.out.last().unwrap().strip_prefix("# Metrics and health at ").unwrap().to_owned() + "/metrics";
    let waits = format!("{}/computeMetadata/v1/instance/maintenance-event?wait_for_change=true", running.url);
    let waiter = Command::new("curl")
        .args(["-sS", "-H", "Metadata-Flavor: Google", &waits])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !running.curl(&metrics).contains("\nmetadata_waiters 1\n") {
        assert!(Instant::now() < deadline, "no waiter");
    }
    assert_eq!(running.stop("-TERM").0, Some(0));
    assert_eq!(waiter.wait_with_output().unwrap().stdout, b"NONE");
}
