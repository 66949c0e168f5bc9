//! `--announce json`: the start message for programs.

use super::{folder, program};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Child;

/// Starts the program; returns its start message and the process.
fn started(folder: &Path, args: &str) -> (Value, Child) {
    let mut child = program(folder, &format!("--announce json {args}")).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (serde_json::from_str(&line).unwrap(), child)
}

/// The members of the start message but the process ID, which is checked.
fn announced(folder: &Path, args: &str) -> Vec<(String, String)> {
    let (message, mut child) = started(folder, args);
    let mut members = message.as_object().unwrap().clone();
    assert_eq!(members.remove("pid").unwrap(), child.id());
    child.kill().unwrap();
    let mut rest = String::new();
    child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    child.wait().unwrap();
    assert_eq!(rest, "", "the message is one line");
    members.into_iter().map(|(name, value)| (name, value.as_str().unwrap().to_owned())).collect()
}

fn names(members: &[(String, String)]) -> Vec<&str> {
    members.iter().map(|(name, _)| &**name).collect()
}

#[test]
fn the_json_line_has_the_address_and_the_process_id() {
    let folder = folder();
    let members = announced(folder.path(), "--port 0");
    assert_eq!(names(&members), ["host"]);
    assert!(members[0].1.starts_with("127.0.0.1:"), "{members:?}");
}

#[test]
fn the_json_line_names_each_listener_by_a_reachable_address() {
    let folder = folder();
    let members = announced(
        folder.path(),
        "--port 0 --interface 0.0.0.0 --tls-port 0 --mds-mtls-dir mds --metrics-enabled --metrics-port 0",
    );
    assert_eq!(names(&members), ["host", "metrics", "tls"]);
    assert!(members.iter().all(|(_, address)| address.starts_with("127.0.0.1:")), "{members:?}");
}

#[test]
fn the_json_line_has_no_host_without_http_over_tcp() {
    let folder = folder();
    assert_eq!(names(&announced(folder.path(), "--port 0 --use-mtls --mds-mtls-dir mds")), ["tls"]);
    assert!(announced(folder.path(), "--domain-socket metadata.sock").is_empty());
}

#[test]
fn the_server_answers_at_the_announced_host() {
    let folder = folder();
    let (message, mut child) = started(folder.path(), "--port 0");
    let url = format!("health --url http://{}", message["host"].as_str().unwrap());
    assert!(program(folder.path(), &url).status().unwrap().success());
    child.kill().unwrap();
    child.wait().unwrap();
}
