//! `--fault`, `--scenario` and `--simulation` of `exec`: the command meets the faults, and gets the signals of the scenarios.

use super::{exec, output, shell};

/// Asks for a token, and prints the status.
const ASK: &str = "ask() { curl -s -o /dev/null -w '%{http_code} ' -H Metadata-Flavor:Google \
    http://$GCE_METADATA_HOST/computeMetadata/v1/instance/$1; };";

/// A preemption whose next state is SoftOff with TERM, and then Off with KILL.
const MANUAL: &str = "preemption,progression=manual,notice=120";

const STEP: &str = "curl -s -o /dev/null -X POST $GCE_METADATA_ADMIN/__admin/scenarios/preemption/step";

#[test]
fn the_command_meets_the_faults_in_their_order() {
    let token = "service-accounts/default/token";
    let script = format!("{ASK} for i in 1 2 3 4; do ask {token}; done; ask id; ask id");
    for more in [&[][..], &["--no-admin"]] {
        let faults = [
            "--fault",
            "instance/service-accounts/*/token=return-503*2,return-429",
            "--fault",
            "instance/id=return-500",
        ];
        let (printed, status) = output(shell(&[&faults, more].concat(), &script));
        assert_eq!((&*printed, status), ("503 503 429 200 500 200 ", Some(0)), "{more:?}");
    }
}

#[test]
fn the_signal_of_a_state_reaches_the_command_and_its_exit_status_is_kept() {
    let script = format!("trap 'echo TERM; exit 7' TERM; {STEP}; while :; do sleep 0.1; done");
    let (printed, status) = output(shell(&["--scenario", MANUAL], &script));
    assert_eq!((&*printed, status), ("TERM\n", Some(7)));
}

#[test]
fn the_command_is_killed_when_the_machine_is_off() {
    let wait = "until [ \"$terminated\" ]; do sleep 0.1; done";
    let script = format!("trap 'echo TERM; terminated=1' TERM; {STEP}; {wait}; {STEP}; while :; do sleep 0.1; done");
    let (printed, status) = output(shell(&["--scenario", MANUAL], &script));
    assert_eq!((&*printed, status), ("TERM\n", Some(128 + 9)));
}

#[test]
fn a_signal_of_the_first_state_is_not_lost() {
    for more in [&[][..], &["--no-admin"]] {
        let options = [&["--scenario", "preemption"], more].concat();
        assert_eq!(output(exec(&options, &["sleep", "600"])), (String::new(), Some(128 + 15)), "{more:?}");
    }
}

#[test]
fn a_state_that_is_not_reachable_refuses_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("simulation.json");
    let simulation = r#"{"version": 1,
        "scenarios": {"gone": {"states": [{"state": "Gone", "reachable": false}]}}, "run": [{"scenario": "gone"}]}"#;
    std::fs::write(&file, simulation).unwrap();
    let script = "curl -s http://$GCE_METADATA_HOST/; echo $?";
    let options = ["--simulation", file.to_str().unwrap()];
    assert_eq!(output(shell(&options, script)), ("7\n".to_owned(), Some(0)), "curl's status for a refused connection");
}

#[test]
fn a_scenario_that_the_command_runs_by_the_admin_api_signals_it_too() {
    let script = "trap 'echo TERM; exit 7' TERM; \
        curl -s -o /dev/null -X POST $GCE_METADATA_ADMIN/__admin/scenarios/preemption/run; while :; do sleep 0.1; done";
    assert_eq!(output(shell(&[], script)), ("TERM\n".to_owned(), Some(7)));
}

#[test]
fn a_wrong_scenario_or_fault_is_an_error_before_the_command_starts() {
    for (options, status, text) in [
        (&["--scenario", "preemtion"][..], 1, "--scenario preemtion: there is no scenario \"preemtion\""),
        (&["--scenario", "preemption,notice=5"], 1, "--scenario preemption,notice=5: notice: expected one of"),
        (&["--scenario", "preemption", "--scenario", "preemption"], 1, "the scenario preemption runs already"),
        (&["--scenario", "preemption,in=soon"], 2, "in: a number of seconds is expected"),
        (&["--fault", "instance/id=return"], 2, "instructions/0: expected return-STATUS"),
        (&["--fault", "return-503"], 2, "a path and words are expected"),
        (&["--simulation", "/no/such/file"], 1, "/no/such/file: No such file"),
        (&["--url", "http://127.0.0.1:1", "--fault", "instance/id=return-503"], 2, "--fault configures a new server"),
    ] {
        let output = shell(options, "echo started").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), &*output.stdout), (Some(status), &b""[..]), "{options:?}: {stderr}");
        assert!(stderr.contains(text), "{options:?}: {stderr}");
    }
}
