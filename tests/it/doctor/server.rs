//! Findings of `doctor` about the server itself.

use super::{Machine, diagnosis, text};
use crate::support::program::Program;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;

const DOCTOR: &str = "gce-metadata-server doctor --format json";

fn findings(machine: &Machine, script: &str) -> Vec<Value> {
    diagnosis(&mut machine.shell(script)).0
}

#[test]
fn a_server_that_does_not_answer_is_an_error_with_its_command() {
    let mut server = Program::start(|_| {});
    let machine = Machine::at(server.wait_for("export GCE_METADATA_HOST="));
    server.stop();
    let (found, status) = diagnosis(&mut machine.shell(DOCTOR));
    assert_eq!((found.len(), status), (1, Some(1)), "{found:?}");
    assert!(text(&found[0], "message").starts_with(&format!("no server answers at http://{}: ", machine.host)));
    let port = machine.host.rsplit_once(':').unwrap().1;
    assert_eq!(found[0]["remedy"], format!("gce-metadata-server --port {port}"));

    let in_container = findings(&machine, &format!("export KUBERNETES_SERVICE_HOST=10.0.0.1\n{DOCTOR}"));
    assert!(text(&in_container[0], "alternative").ends_with("since 127.0.0.1 is this container itself"));
}

#[test]
fn a_server_without_the_flavor_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let machine = Machine::at(listener.local_addr().unwrap().to_string());
    let server = std::thread::Builder::new().spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let _ = client.read(&mut [0; 1024]);
        client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let found = findings(&machine, DOCTOR);
    server.unwrap().join().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    let expected = format!("http://{} is not a metadata server: ", machine.host);
    assert!(text(&found[0], "message").starts_with(&expected), "{found:?}");
}

#[test]
fn a_server_without_accounts_gets_one_by_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("vm.json");
    std::fs::write(&config, r#"{"instance": {"id": 7, "serviceAccounts": {}}}"#).unwrap();
    let machine = Machine::with(|command| _ = command.arg("--config-file").arg(&config));
    let found = findings(&machine, DOCTOR);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(text(&found[0], "message").starts_with("the server has no service account: "), "{found:?}");

    let (variable, program) = text(&found[0], "remedy").split_once(' ').unwrap();
    assert_eq!(program, "gce-metadata-server");
    let (name, value) = variable.split_once('=').unwrap();
    let machine = Machine::with(|command| _ = command.arg("--config-file").arg(&config).env(name, value));
    assert_eq!(findings(&machine, DOCTOR), [Value::Null; 0]);
}

#[test]
fn an_expired_token_of_the_server_is_reported() {
    // {"iat": 1000, "exp": 4600}
    let token = "e30.eyJpYXQiOiAxMDAwLCAiZXhwIjogNDYwMH0.";
    let machine = Machine::with(|command| _ = command.env("GOOGLE_ID_TOKEN", token));
    let output = machine.shell(DOCTOR).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains(token));
    let found = findings(&machine, DOCTOR);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(text(&found[0], "message").starts_with("the server's identity token has expired"), "{found:?}");
    assert_eq!(found[0]["remedy"], "unset GOOGLE_ID_TOKEN");
}

#[test]
fn php_reaches_the_server_as_its_proxy() {
    let machine = Machine::start();
    let found = findings(&machine, &format!("{DOCTOR} --client php"));
    assert!(text(&found[0], "message").starts_with("PHP reads no variable and asks 169.254.169.254"), "{found:?}");
    assert!(text(&found[0], "alternative").contains("exec --via-proxy"), "{found:?}");
    assert_eq!(
        findings(&machine, &format!("gce-metadata-server exec --via-proxy -- {DOCTOR} --client php")),
        [Value::Null; 0]
    );
}
