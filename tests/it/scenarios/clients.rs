//! Programs that wait for preemptions and maintenances, against scenarios that the test moves by hand.
//!
//! `scripts/test` installs their libraries and runs these tests; plain `cargo test` ignores them.

use crate::support::program::Program;
use crate::support::repository;
use gce_metadata_server::{ConfigDocument, Matching, Metadata, Server};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

async fn serve(metadata: Metadata) -> Server {
    Server::builder().metadata(metadata).simulate().start().await.unwrap()
}

/// A VM that is terminated by a maintenance.
async fn serve_terminated(preemptible: &str) -> Server {
    let scheduling = json!({"onHostMaintenance": "TERMINATE", "preemptible": preemptible});
    let vm = json!({"instance": {"scheduling": scheduling, "maintenanceEvent": "NONE", "preempted": "FALSE"}});
    serve(ConfigDocument::from_json(vm).unwrap().metadata).await
}

/// Starts a program with this server's variables and nothing else in its environment.
fn start(server: &Server, program: &Path, args: &[&str]) -> Program {
    assert!(program.exists(), "{}: not there; scripts/test installs it", program.display());
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(server.env());
    Program::of(command)
}

/// The handler in Python, for this key of the instance.
fn python(server: &Server, key: &str) -> Program {
    let handler = repository("tests/clients/python/preemption.py");
    start(server, &repository("target/clients/venv/bin/python"), &[handler.to_str().unwrap(), key])
}

fn go(server: &Server, program: &str, args: &[&str]) -> Program {
    start(server, &repository("target/clients/go").join(program), args)
}

/// Preempts the machine of a handler that prints each value of `instance/preempted`.
async fn preempt(server: Server, mut handler: Program) {
    assert_eq!(handler.line(), "FALSE");
    let run = server.scenario("preemption").param("notice", 120).manual().run().await.unwrap();
    assert_eq!(handler.line(), "TRUE");
    run.advance(Duration::from_secs(150)).await.unwrap();
    assert_eq!(run.state(), "Off");
    run.stop().await.unwrap();
    assert_eq!(handler.line(), "FALSE", "the value was published again although it did not change");
}

#[tokio::test]
#[ignore = "needs the packages that scripts/test installs"]
async fn a_python_handler_sees_a_preemption() {
    let server = serve(Metadata::sample()).await;
    let handler = python(&server, "preempted");
    preempt(server, handler).await;
}

#[tokio::test]
#[ignore = "needs the packages that scripts/test installs"]
async fn a_go_handler_sees_a_preemption() {
    let server = serve(Metadata::sample()).await;
    let handler = go(&server, "preemption", &["preempted"]);
    preempt(server, handler).await;
}

#[tokio::test]
#[ignore = "needs the packages that scripts/test installs"]
async fn a_python_handler_asks_again_when_a_migration_makes_the_server_unavailable() {
    let server = serve(Metadata::sample()).await;
    let run = server.scenario("live-migration").param("blip", true).manual().run().await.unwrap();
    run.advance(Duration::from_secs(60)).await.unwrap();
    assert_eq!(run.state(), "Unavailable");
    let mut handler = python(&server, "maintenance-event");
    let asked = Matching::path("instance/maintenance-event");
    server.requests().matching(asked).wait_for(1.., Duration::from_secs(30)).await.unwrap();
    run.step().await.unwrap();
    assert_eq!(handler.line(), "MIGRATE_ON_HOST_MAINTENANCE");
    run.advance(Duration::from_secs(30)).await.unwrap();
    assert_eq!(handler.line(), "NONE");
    let received = server.requests().received();
    assert_eq!(received[0].status().unwrap(), 503, "{received:?}");
}

#[tokio::test]
#[ignore = "needs the packages that scripts/test installs"]
async fn a_termination_handler_drains_the_node_of_a_preempted_vm() {
    let server = serve_terminated("TRUE").await;
    let mut handler = go(&server, "termination", &[]);
    let mut first = [handler.line(), handler.line()];
    first.sort();
    assert_eq!(first, ["no termination: FALSE", "no termination: NONE"]);
    let run = server.scenario("preemption").manual().run().await.unwrap();
    assert_eq!(handler.line(), "drain: TRUE");
    run.stop().await.unwrap();
    assert_eq!(handler.line(), "no termination: FALSE");
}

#[tokio::test]
#[ignore = "needs the packages that scripts/test installs"]
async fn a_termination_handler_drains_the_node_of_a_vm_whose_host_is_maintained() {
    let server = serve_terminated("FALSE").await;
    let mut handler = go(&server, "termination", &[]);
    let _first = [handler.line(), handler.line()];
    let run = server.scenario("host-termination").param("gpu", true).manual().run().await.unwrap();
    assert_eq!(handler.line(), "drain: TERMINATE_ON_HOST_MAINTENANCE");
    run.stop().await.unwrap();
    assert_eq!(handler.line(), "no termination: NONE");
}

#[tokio::test]
#[ignore = "needs the packages that scripts/test installs"]
async fn a_termination_handler_does_not_watch_a_vm_that_migrates() {
    let server = serve(Metadata::sample()).await;
    assert_eq!(go(&server, "termination", &[]).line(), "not needed");
}
