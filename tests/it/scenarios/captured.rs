//! `capture --follow` records the changes of a server, and a server that runs the recorded scenario shows the same changes.

use crate::admin::{Admin, builder};
use crate::support::Client;
use gce_metadata_server::{Metadata, NotReady, Server};
use gce_metadata_support::duration;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

async fn start() -> Server {
    builder().metadata(Metadata::sample()).start().await.unwrap()
}

/// A running `capture --follow`.
struct Capture {
    child: Child,
    /// Standard error.
    lines: Lines<BufReader<ChildStderr>>,
}

impl Capture {
    /// Starts the command, and waits until it has the first answer.
    fn start(server: &Server, time: &str, folder: &Path, args: &[&str]) -> Self {
        let url = server.url().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
        command.args(["capture", "--from", &url, "--follow", time]).args(args).current_dir(folder).env_clear();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut capture = Self { child, lines };
        assert_eq!(capture.line(), format!("following {url} for {time}; Ctrl-C ends it"));
        capture
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("the command has ended").unwrap()
    }

    /// A line without the time before its first colon.
    fn timed_line(&mut self) -> String {
        let line = self.line();
        line.split_once(": ").unwrap_or_else(|| panic!("{line}")).1.to_owned()
    }

    /// Sends a signal; returns the exit status and the last lines.
    fn end(mut self, signal: &str) -> (Option<i32>, Vec<String>) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let lines = self.lines.map(Result::unwrap).collect();
        (self.child.wait().unwrap().code(), lines)
    }
}

/// The scenario in a simulation file.
fn scenario(file: &Path) -> Value {
    let file: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(file["version"], 1);
    file["scenarios"]["captured"].clone()
}

/// The time of a state since the state before.
fn after(state: &Value) -> Duration {
    duration::parse(state["after"].as_str().unwrap()).unwrap()
}

/// A client that waits for changes of all metadata.
struct Watcher {
    client: Client,
    tag: String,
}

impl Watcher {
    /// Returns the first answer too.
    async fn of(server: &Server) -> (Self, String) {
        let mut client = Client::connect(server).await;
        let first = client.get("?recursive=true").await;
        (Self { client, tag: first.etag().to_owned() }, first.body)
    }

    async fn change(&mut self) -> String {
        let answer = self.client.get(&format!("?recursive=true&wait_for_change=true&last_etag={}", self.tag)).await;
        answer.etag().clone_into(&mut self.tag);
        answer.body
    }
}

#[tokio::test]
async fn a_long_poll_sees_the_same_states_of_a_scenario_and_of_its_capture() {
    let folder = tempfile::tempdir().unwrap();
    let original = start().await;
    let mut capture = Capture::start(&original, "10m", folder.path(), &["-o", "changes.json"]);
    let (mut watcher, first) = Watcher::of(&original).await;
    // 60 s until the migration and 30 s until its end, in 3 s.
    let run = original.scenario("live-migration").speed(30.0).run().await.unwrap();
    let seen = [first, watcher.change().await, watcher.change().await, watcher.change().await];
    run.finished().await;
    let (event, drift) = ("instance/maintenance-event", "instance/virtual-clock/drift-token");
    assert_eq!([capture.timed_line(), capture.timed_line(), capture.timed_line()], [event, drift, event]);
    let captured = format!("changes of {} that were captured: 3", original.url().unwrap());
    assert_eq!(capture.end("-INT"), (Some(0), vec![captured]));
    let captured = scenario(&folder.path().join("changes.json"));
    let time = after(&captured["states"][1]) + after(&captured["states"][2]);
    assert!((1..60).contains(&time.as_secs()), "{captured}");

    let again = start().await;
    Admin::of(&again).await.expect(201, "PUT", "scenarios/captured", captured).await;
    let run = again.scenario("captured").manual().run().await.unwrap();
    let (mut watcher, first) = Watcher::of(&again).await;
    let mut seen_again = vec![first];
    for _ in 0..3 {
        run.step().await.unwrap();
        seen_again.push(watcher.change().await);
    }
    assert_eq!(seen.as_slice(), seen_again);
}

#[tokio::test]
async fn it_ends_when_the_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let server = start().await;
    let mut capture = Capture::start(&server, "3s", folder.path(), &["-o", "changes.json"]);
    server.publisher().set("instance/preempted", "TRUE").unwrap();
    assert_eq!(capture.timed_line(), "instance/preempted");
    let lines: Vec<_> = capture.lines.map(Result::unwrap).collect();
    assert_eq!(lines, [format!("changes of {} that were captured: 1", server.url().unwrap())]);
    assert!(capture.child.wait().unwrap().success());
    let captured = scenario(&folder.path().join("changes.json"));
    assert_eq!(captured["states"][0]["patch"], json!({"instance": {"preempted": "TRUE"}}));
}

#[tokio::test]
async fn a_lost_connection_is_noted_and_no_change_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let server = start().await;
    let mut capture = Capture::start(&server, "10m", folder.path(), &["--redact", "-o", "changes.json"]);
    server.readiness().set_not_ready(NotReady::Refuse).await.unwrap();
    let note = capture.line();
    assert!(note.starts_with("note: ") && note.ends_with("; asking again"), "{note}");
    server.publisher().set("instance/preempted", "TRUE").unwrap();
    server.publisher().set("instance/attributes/ssh-keys", "ada:key").unwrap();
    server.readiness().set_ready().await.unwrap();
    let note = capture.line();
    assert!(note.contains("answered again") && note.ends_with("changes in between are one change"), "{note}");
    assert_eq!(capture.timed_line(), "instance/attributes/ssh-keys, instance/preempted");
    assert_eq!(capture.end("-TERM").0, Some(0));
    let states = scenario(&folder.path().join("changes.json"))["states"].clone();
    let patch = json!({"instance": {"attributes": {"ssh-keys": "xxxxxxx"}, "preempted": "TRUE"}});
    assert_eq!((&states[0]["patch"], states.as_array().unwrap().len()), (&patch, 1));
}

#[tokio::test]
async fn nothing_is_written_without_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let server = start().await;
    let capture = Capture::start(&server, "10m", folder.path(), &["-o", "changes.json"]);
    let error = format!("error: no value of {} has changed: nothing is written", server.url().unwrap());
    assert_eq!(capture.end("-INT"), (Some(1), vec![error]));
    assert!(!folder.path().join("changes.json").exists());
}
