//! `scenario list`, `run`, `step`, `advance`, `stop` and `reset`.

use super::{builder, error, ok, program};
use crate::support::get;
use gce_metadata_server::Server;
use serde_json::Value;

fn scenario(server: &Server, words: &[&str]) -> String {
    ok(program(server, &[&["scenario"], words].concat()))
}

async fn preempted(server: &Server) -> String {
    get(server, "instance/preempted").await.body
}

#[tokio::test]
async fn a_run_moves_by_hand_and_its_state_is_printed() {
    let server = builder().start().await.unwrap();
    let started = scenario(&server, &["run", "preemption", "--progression", "manual", "--notice", "120"]);
    assert_eq!(started, "preemption: Preempted, next SoftOff at 2m\n");
    assert_eq!(preempted(&server).await, "TRUE");
    assert_eq!(scenario(&server, &["advance", "preemption", "2m"]), "preemption: SoftOff, next Off at 2m30s\n");
    assert_eq!(scenario(&server, &["step", "preemption"]), "preemption: Off\n");
    assert_eq!(scenario(&server, &["step", "preemption"]), "preemption: over\n");
    assert_eq!(preempted(&server).await, "FALSE");
    assert_eq!(error(program(&server, &["scenario", "step", "preemption"]), 1), "the scenario preemption does not run");
}

#[tokio::test]
async fn a_run_is_stopped_alone_or_with_all_others() {
    let server = builder().start().await.unwrap();
    for end in [&["stop", "preemption"][..], &["reset"]] {
        scenario(&server, &["run", "preemption", "--progression", "manual"]);
        assert_eq!(preempted(&server).await, "TRUE");
        assert_eq!(scenario(&server, end), "");
        assert_eq!(preempted(&server).await, "FALSE");
    }
}

#[tokio::test]
async fn the_list_has_the_state_and_the_description_of_each_scenario() {
    let server = builder().start().await.unwrap();
    scenario(&server, &["run", "preemption", "--progression", "immediate", "--keep"]);
    let list = scenario(&server, &["list"]);
    let line = |name: &str| list.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("preemption ").contains("  Off          A Spot VM is preempted"), "{list}");
    assert!(line("mds-blip ").contains("  not running  "), "{list}");
    let detailed: Value = serde_json::from_str(&scenario(&server, &["list", "--format", "json"])).unwrap();
    let run = detailed.as_array().unwrap().iter().find(|it| it["name"] == "preemption").unwrap();
    assert_eq!((&run["run"]["keep"], &run["run"]["state"]), (&true.into(), &"Off".into()));
}

#[tokio::test]
async fn options_and_parameters_are_passed_on() {
    let server = builder().start().await.unwrap();
    let later = scenario(&server, &["run", "preemption", "--in", "1h", "--speed", "60", "--param", "notice=120"]);
    assert_eq!(later, "preemption: Started, next Preempted at 0s\n");
    let listed: Value = serde_json::from_str(&scenario(&server, &["list", "--format", "json"])).unwrap();
    let run = &listed.as_array().unwrap().iter().find(|it| it["name"] == "preemption").unwrap()["run"];
    assert_eq!(run["speed"], 60.0);
    scenario(&server, &["stop", "preemption"]);
    let past = scenario(&server, &["run", "preemption", "--at", "2020-01-01T00:00:00Z"]);
    assert!(past.starts_with("preemption: Preempted, next "), "{past}");
}

#[tokio::test]
async fn a_command_waits_for_the_end_of_a_run_or_for_its_last_state() {
    let server = builder().start().await.unwrap();
    let staying = scenario(&server, &["run", "preemption", "--speed", "1000", "--wait"]);
    assert_eq!(staying, "preemption: Off\n");
    let ending = scenario(&server, &["run", "mds-blip", "--speed", "1000", "--wait"]);
    assert_eq!(ending, "mds-blip: over\n");
}

#[tokio::test]
async fn mistakes_are_errors_with_the_words_of_the_api() {
    let server = builder().start().await.unwrap();
    let unknown = error(program(&server, &["scenario", "run", "preemtion"]), 1);
    assert_eq!(unknown, "there is no scenario \"preemtion\": did you mean preemption?");
    let wrong = error(program(&server, &["scenario", "run", "preemption", "--notice", "5"]), 1);
    assert_eq!(wrong, "expected one of 0, 120 (at /parameters/notice)");
    for words in [
        &[][..],
        &["run"],
        &["run", "preemption", "--in", "soon"],
        &["run", "preemption", "--in", "1s", "--at", "2030-01-01T00:00:00Z"],
        &["run", "preemption", "--param", "notice"],
        &["advance", "preemption"],
        &["advance", "preemption", "soon"],
    ] {
        error(program(&server, &[&["scenario"], words].concat()), 2);
    }
}
