//! The options `--ready-after` and `--not-ready` of the program.

use super::connect_error;
use crate::support::program::{Program, failed_start};
use crate::support::{Client, eventually, get_at, request};
use std::io::ErrorKind::ConnectionRefused;
use std::net::SocketAddr;
use std::process::Command;
use tokio::net::TcpStream;

/// Starts the program; returns its address.
fn start(options: &[&str]) -> (Program, SocketAddr) {
    let mut program = Program::start(|command| _ = command.args(options));
    let address = program.wait_for("export GCE_METADATA_HOST=").parse().unwrap();
    (program, address)
}

/// Starts a second instance at this address; returns its error.
fn second_at(address: SocketAddr) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.args(["--port", &address.port().to_string()]).env_clear();
    failed_start(command)
}

#[tokio::test]
async fn the_start_message_appears_before_the_server_is_ready() {
    let (program, address) = start(&["--ready-after", "1h"]);
    assert_eq!(connect_error(address).await, Some(ConnectionRefused));
    assert!(second_at(address).contains("Address already in use"));
    program.stop();
}

#[tokio::test]
async fn the_server_becomes_ready_by_itself_and_a_second_one_gets_address_in_use_all_the_time() {
    let (program, address) = start(&["--ready-after", "1s"]);
    assert!(second_at(address).contains("Address already in use"));
    eventually("the server accepts connections", async || connect_error(address).await.is_none()).await;
    assert_eq!(get_at(&address.to_string(), "instance/id").await.status, 200);
    assert!(second_at(address).contains("Address already in use"));
    program.stop();
}

#[tokio::test]
async fn the_server_answers_503_until_it_is_ready() {
    let (program, address) = start(&["--ready-after", "1h", "--not-ready", "503"]);
    assert_eq!(get_at(&address.to_string(), "instance/id").await.status, 503);
    program.stop();
}

#[test]
fn the_command_of_exec_starts_before_the_server_is_ready() {
    let ask = "curl -s -o /dev/null -w '%{http_code} ' http://$GCE_METADATA_HOST/";
    let script = format!("{ask}; for i in $(seq 1000); do {ask} && break; sleep 0.01; done");
    let mut exec = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    exec.args(["exec", "--ready-after", "3s", "--", "sh", "-c", &script]).env_clear().env("PATH", env!("PATH"));
    let output = exec.output().unwrap();
    let statuses = String::from_utf8(output.stdout).unwrap();
    assert!(statuses.starts_with("000 ") && statuses.ends_with("000 200 "), "{statuses}");
}

/// The number of open files of a process.
fn open_files(pid: &str) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[tokio::test]
async fn switches_leave_no_file_open() {
    let mut program = Program::start(|command| _ = command.args(["--admin", "0", "--announce", "json"]));
    let announced = program.wait_for(r#"{"admin":"http://"#);
    let member =
        |name: &str| announced.split(&format!("\"{name}\":")).nth(1).unwrap().split([',', '}']).next().unwrap();
    let (admin, host, pid) = (announced.split('"').next().unwrap(), member("host").trim_matches('"'), member("pid"));
    let mut client = Client::over(TcpStream::connect(admin).await.unwrap(), admin).await;
    let mut counts = Vec::new();
    for _ in 0..30 {
        for ready in [false, true] {
            let settings = request("POST", "/__admin/settings", &[("content-type", "application/json")]);
            assert_eq!(client.send(settings, &format!(r#"{{"ready": {ready}}}"#)).await.status, 200);
        }
        assert_eq!(get_at(host, "instance/id").await.status, 200);
        counts.push(open_files(pid));
    }
    eventually("all files are closed", async || open_files(pid) <= counts[0]).await;
    program.stop();
}
