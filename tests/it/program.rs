//! The program from outside: its options, what it prints, how it starts, fails and stops.

use crate::support::repository;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program in a folder of its own, with nothing in its environment.
fn program(folder: &Path, args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.current_dir(folder).env_clear().args(args.split(' ').filter(|word| !word.is_empty()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A program that serves; killed when dropped.
struct Running {
    child: Child,
    out: Vec<String>,
    url: String,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let watched = command.get_args().any(|arg| arg == "--metricsEnabled");
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let mut out = vec![lines.next().expect("it says where it listens").unwrap()];
        let url = out[0].rsplit(' ').next().unwrap().to_owned();
        let more = usize::from(url.starts_with("http://")) * 2 + usize::from(watched);
        out.extend(lines.take(more).map(Result::unwrap));
        Self { child, out, url }
    }

    /// What curl makes of it.
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

    /// Sends a signal and comes back with the exit status and everything on standard error.
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

/// A start that fails: its one line on standard error.
fn refused(folder: &Path, args: &str) -> String {
    refusal(program(folder, args))
}

fn refusal(command: Command) -> String {
    let stderr = crate::support::program::refusal(command);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let error = stderr.trim_end().strip_prefix("error: ").expect("it is an error");
    assert!(!is_said_twice(error), "{error}");
    error.to_owned()
}

/// Whether an error and its source say the same.
fn is_said_twice(error: &str) -> bool {
    error.match_indices(": ").any(|(place, _)| error[..place].ends_with(&error[place + 2..]))
}

#[test]
fn without_a_config_the_sample_is_served() {
    let folder = folder();
    let running = Running::start(program(folder.path(), "--port 0"));
    let address = running.url.trim_start_matches("http://").to_owned();
    assert_eq!(running.out[0], format!("# Serving the built-in sample at http://{address}"));
    assert_eq!(running.out[1], format!("export GCE_METADATA_HOST={address}"));
    assert_eq!(running.out[2], format!("export GCE_METADATA_IP={address}"));
    assert_eq!(running.get("project/project-id"), "sample-project");
    let (status, log) = running.stop("-TERM");
    assert_eq!(status, Some(0));
    let offline: Vec<_> = log.lines().filter(|line| line.contains("tokens are made offline")).collect();
    assert_eq!(offline.len(), 1, "{log}");
    assert!(offline[0].contains("GOOGLE_ACCESS_TOKEN"), "it says how to get real ones: {log}");
}

#[test]
fn a_config_in_the_folder_is_served_unasked() {
    let folder = folder();
    std::fs::write(folder.path().join("config.json"), r#"{"project": {"projectId": "found"}}"#).unwrap();
    let running = Running::start(program(folder.path(), "--port 0"));
    assert!(running.out[0].starts_with("# Serving config.json at "), "{}", running.out[0]);
    assert_eq!(running.get("project/project-id"), "found");
    assert_eq!(running.stop("-INT").0, Some(0));
}

/// The command line and the curl calls of the Go emulator's README, for tokens from the environment.
#[test]
fn the_go_emulators_static_mode_works_as_it_is_written() {
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
    for secret in ["some_static_token", "some_id_token", "foo.bar"] {
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
    for secret in [token["access_token"].as_str().unwrap(), &identity, "audience.example.com"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

/// The folder of the config is watched, and a log file in it changes with every line that is logged.
#[test]
fn a_log_beside_the_config_does_not_feed_itself() {
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
fn a_signal_reloads_and_a_unix_socket_is_removed() {
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

#[test]
fn what_can_not_be_started_says_why_in_one_line() {
    let folder = folder();
    assert!(refused(folder.path(), "--configFile=none.json").starts_with("none.json: No such file or directory"));
    assert!(refused(folder.path(), "--prot 1").contains("a similar argument exists: '--port'"));
    assert!(
        refused(folder.path(), "--interface no.such.host.invalid --port 0")
            .starts_with("--interface no.such.host.invalid: ")
    );
    assert!(refused(folder.path(), "--offline-key none.pem --port 0").starts_with("--offline-key none.pem: "));
    assert!(refused(folder.path(), "--service-account-file none.json").starts_with("credentials: none.json: No such"));
    assert!(refused(folder.path(), "--use-mtls --port 0").starts_with("HTTPS: certs/"));
    for option in [
        "--tpm-key-file x.pem",
        "--persistent-handle 0x81010002",
        "--key-pass x",
        "--key-pass-file x",
        "--pcrs 7",
        "--use-ek-parent",
        "--use-oauth-token",
        "--tpm-session-encrypt-with-name 000b",
    ] {
        let error = refused(folder.path(), &format!("{option} --port 0"));
        let name = option.split(' ').next().unwrap();
        assert_eq!(error, format!("{name} does nothing without --tpm"));
    }
    for option in ["", "--impersonate", "--credentials all.json"] {
        let error = refused(folder.path(), &format!("{option} --service-account-email a@example.com --port 0"));
        assert_eq!(error, "--service-account-email does nothing without --service-account-file");
    }
    let mtls = "--use-tpm-mtls --project-number 1 --pool-id p --provider-id q --pub-cert c.pem --port 0";
    assert_eq!(refused(folder.path(), mtls), "--use-tpm-mtls does nothing without --tpm");
    if cfg!(not(feature = "tpm")) {
        assert!(refused(folder.path(), "--tpm --keyfile x.pem").contains("--features tpm"));
        assert!(refused(folder.path(), "tpm generate --bits 2048").contains("--features tpm"));
    }

    let config = |json: &str| std::fs::write(folder.path().join("config.json"), json).unwrap();
    config("{\n  \"instance\": {\n    \"id\": 12,,\n  }\n}");
    assert_eq!(refused(folder.path(), "--port 0"), "config.json:3:14: at instance: key must be a string");
    config("{\"computeMetadata\": {\"v1\": {\n\"instance\": {\"disks\": 5}}}}");
    let error = refused(folder.path(), "--port 0");
    assert!(error.starts_with("config.json:2:"), "{error}");
    assert!(error.ends_with("at computeMetadata.v1.instance.disks: a list is expected, not a number"), "{error}");
    config("{\"project\": {}}");

    assert!(refused(folder.path(), "--use-mtls --tls-port 1").contains("cannot be used with"));
    assert!(refused(folder.path(), "--mtls-allow vm-1 --port 0").contains("--mtls-allow are for HTTPS"));
    let open_to_all = refused(folder.path(), "--use-mtls --mtls-allow= --mds-mtls-dir mtls --port 0");
    assert!(open_to_all.starts_with("--mtls-allow: nobody has an empty name"), "{open_to_all}");
    let nothing = refused(folder.path(), "certs");
    assert!(nothing.contains("requires a subcommand") && nothing.contains("[subcommands: init"), "{nothing}");
    assert!(refused(folder.path(), "check-config").ends_with("were not provided: <FILE> (see --help)"));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = refused(folder.path(), &format!("--port {port}"));
    assert!(error.starts_with(&format!("can't listen at 127.0.0.1:{port}: ")) && error.contains("--port 0"), "{error}");

    let error = refused(folder.path(), &format!("--port 0 --metricsEnabled --metricsPort {port}"));
    assert!(error.ends_with("choose another place (--metrics-port 0 takes any free port)"), "{error}");
    assert!(refused(folder.path(), "--metrics-path /healthz").contains("another answer stands there"));

    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert_eq!(refused(folder.path(), "--configFile=fifo"), "fifo: not a regular file");
}

/// Threads come last but for the file of guest attributes, which would stay behind.
#[test]
fn a_start_that_fails_leaves_no_file() {
    let folder = folder();
    let mut command = Command::new("sh");
    command.current_dir(folder.path()).env_clear().env("RUST_LOG", "error");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]);
    command.arg(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.args("--port 0 --threads 100 --guest-attributes-file kept.json".split(' '));
    let error = refusal(command);
    assert!(error.starts_with("can't start threads for connections: Too many open files"), "{error}");
    assert!(error.ends_with("; ask for fewer of them (--threads)"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn version_and_help_go_to_standard_output() {
    let folder = folder();
    for version in ["-version", "--version", "-V"] {
        let output = program(folder.path(), version).output().unwrap();
        assert!(output.status.success());
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            format!("gce-metadata-server {}\n", env!("CARGO_PKG_VERSION"))
        );
    }
    let help = String::from_utf8(program(folder.path(), "-help").output().unwrap().stdout).unwrap();
    for heading in ["Base Options:", "Authentication Options:", "Misc Options:", "Logging Options:"] {
        assert!(help.contains(heading), "{help}");
    }
}

/// The same signal twice in a moment, as from a terminal and from a supervisor, is one request to stop.
#[test]
fn a_doubled_signal_does_not_cut_the_drain_short() {
    let folder = folder();
    let running = Running::start(program(folder.path(), "--port 0 --drain-timeout 30"));
    let address = running.url.trim_start_matches("http://").to_owned();
    // Half a head keeps the server draining for a second.
    let mut half = std::net::TcpStream::connect(address).unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost: metadata\r\n\r\nGET /").unwrap();
    half.read_exact(&mut [0; 12]).unwrap();
    running.signal("-TERM");
    let (status, log) = running.stop("-INT");
    assert_eq!(status, Some(0));
    assert!(!log.contains("asked again"), "{log}");
}

/// A client in the middle of a long poll does not keep a stopping server from stopping.
#[test]
fn a_stopping_server_answers_who_waits() {
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
        assert!(Instant::now() < deadline, "nobody waits");
    }
    assert_eq!(running.stop("-TERM").0, Some(0));
    assert_eq!(waiter.wait_with_output().unwrap().stdout, b"NONE");
}

/// What `check-config` makes of this file: its exit status, and its lines.
fn checked(json: &str) -> (Option<i32>, Vec<String>) {
    let folder = folder();
    std::fs::write(folder.path().join("c.json"), json).unwrap();
    let Output { status, stdout, stderr } = program(folder.path(), "check-config c.json").output().unwrap();
    assert!(stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    (status.code(), String::from_utf8(stdout).unwrap().lines().map(str::to_owned).collect())
}

#[test]
fn a_config_is_checked_and_the_exit_status_says_how_bad_it_is() {
    let sample = std::fs::read_to_string(repository("config.json")).unwrap();
    assert_eq!(checked(&sample), (Some(0), vec![]));
    let guest = std::fs::read_to_string(repository("tests/clients/guest/vm.json")).unwrap();
    assert_eq!(checked(&guest), (Some(0), vec![]));

    let (status, lines) = checked("{\"instance\": {\n  \"colour\": \"red\"}}");
    assert_eq!((status, lines.len()), (Some(0), 1), "{lines:?}");
    assert!(lines[0].starts_with("c.json:2:13: notice: at instance.colour: "), "{lines:?}");

    let (status, lines) = checked("{\"instance\": {\"colour\": 1, \"preempted\": \"maybe\"}}");
    assert_eq!((status, lines.len()), (Some(2), 2), "{lines:?}");

    let (status, lines) = checked("{\"instance\": {\"preempted\": \"maybe\", \"disks\": 1, \"licenses\": 1}}");
    assert_eq!((status, lines.len()), (Some(1), 3), "{lines:?}");
    assert_eq!(lines[1], "c.json:1:46: error: at instance.disks: a list is expected, not a number");

    let (status, lines) = checked("{\"instance\": nothing}");
    assert_eq!((status, lines.len()), (Some(1), 1), "{lines:?}");
    assert!(lines[0].starts_with("c.json:1:15: error: at instance: "), "{lines:?}");
}

#[test]
fn commands_have_help_of_their_own() {
    let folder = folder();
    let help = program(folder.path(), "check-config --help").output().unwrap();
    assert!(String::from_utf8(help.stdout).unwrap().contains("Exit status:\n  0 "));
    let help = program(folder.path(), "certs init -h").output().unwrap();
    assert!(String::from_utf8(help.stdout).unwrap().contains("--dns-name"));
}

#[test]
fn a_file_that_is_not_there_can_not_be_checked() {
    let folder = folder();
    assert!(refused(folder.path(), "check-config none.json").starts_with("none.json: No such file"));
}
