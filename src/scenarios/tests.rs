//! Runs on a paused clock: timelines, restoration, conflicts, and effects through the ports.

mod bench;

pub(super) use bench::Bench;

use super::*;
use crate::events::{Events, Log, LogStream, Record};
use crate::server::NotReady;
use gce_metadata_routes::Metadata;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Sets the attribute `a` to 2 and to 3, with 10 s in between.
fn two_states() -> Value {
    let patch = |value: &str| json!({"instance": {"attributes": {"a": value}}});
    json!({"states": [{"state": "Two", "patch": patch("2")}, {"state": "Three", "after": "10s", "patch": patch("3")}]})
}

fn ending(mut definition: Value) -> Value {
    definition["end"] = "10s".into();
    definition
}

async fn pass(seconds: u64) {
    // A millisecond more, because timers have this resolution.
    tokio::time::sleep(Duration::from_millis(seconds * 1000 + 1)).await;
}

#[tokio::test(start_paused = true)]
async fn each_state_is_published_once_at_its_time() {
    let mut bench = Bench::new();
    bench.define("mine", ending(two_states()));
    let run = bench.run("mine", json!({"in": "5s"})).unwrap();
    assert_eq!(
        (&run["state"], &run["startsIn"], &run["next"]["state"]),
        (&"Started".into(), &"5s".into(), &"Two".into())
    );
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push((bench.attribute(), bench.generation()));
        pass(5).await;
    }
    let expected = [("1", 0), ("2", 1), ("2", 1), ("3", 2), ("3", 2), ("1", 3)];
    assert_eq!(seen, expected.map(|(value, generation)| (value.to_owned(), generation)));
    assert_eq!(bench.history(), ["Two", "Three", "Finished"]);
    assert_eq!(bench.tree(), bench.before);
}

#[tokio::test(start_paused = true)]
async fn a_run_without_an_end_stays_in_its_last_state() {
    let mut bench = Bench::new();
    bench.define("mine", two_states());
    bench.run("mine", json!({})).unwrap();
    pass(3600).await;
    assert_eq!((bench.state("mine"), bench.attribute()), ("Three".into(), "3".into()));
    assert!(bench.scenarios.stop("mine", None).unwrap());
    assert!(!bench.scenarios.stop("mine", None).unwrap(), "it does not run any more");
    assert_eq!((bench.state("mine"), bench.tree()), ("Started".into(), bench.before.clone()));
    assert_eq!(bench.history(), ["Two", "Three", "Stopped"]);
}

#[tokio::test(start_paused = true)]
async fn speed_shortens_the_timeline() {
    let mut bench = Bench::new();
    bench.define("mine", ending(two_states()));
    let start = Instant::now();
    bench.run("mine", json!({"in": "1s", "speed": 10})).unwrap();
    while !matches!(bench.events.recv().await.unwrap(), ScenarioEvent::Ended { .. }) {}
    let passed = start.elapsed();
    assert!((3000..=3010).contains(&passed.as_millis()), "{passed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_manual_run_moves_by_steps_and_advances_only() {
    let bench = Bench::new();
    bench.define("mine", ending(two_states()));
    bench.run("mine", json!({"progression": "manual", "in": "1s"})).unwrap();
    pass(3600).await;
    assert_eq!(bench.attribute(), "1");
    let advance = |seconds| {
        let run = bench.scenarios.advance("mine", None, Duration::from_secs(seconds)).unwrap();
        (run["state"].as_str().unwrap().to_owned(), bench.attribute())
    };
    assert_eq!(advance(1), ("Two".into(), "2".into()));
    assert_eq!(advance(9), ("Two".into(), "2".into()));
    assert_eq!(advance(1), ("Three".into(), "3".into()));
    let ended = bench.scenarios.step("mine", None).unwrap();
    assert_eq!(ended, json!({"scenario": "mine", "state": "Started"}));
    assert_eq!(bench.tree(), bench.before);
    let error = bench.scenarios.step("mine", None).unwrap_err();
    assert_eq!(error, ScenarioError::NotRunning { name: "mine".into() });
}

#[tokio::test(start_paused = true)]
async fn steps_and_advances_also_move_a_run_that_follows_the_clock() {
    let mut bench = Bench::new();
    bench.define("mine", ending(two_states()));
    bench.run("mine", json!({})).unwrap();
    bench.scenarios.advance("mine", None, Duration::from_secs(8)).unwrap();
    pass(2).await;
    assert_eq!(bench.state("mine"), "Three");
    pass(9).await;
    assert_eq!(bench.state("mine"), "Three");
    pass(1).await;
    assert_eq!(bench.history(), ["Two", "Three", "Finished"]);
    bench.run("mine", json!({})).unwrap();
    bench.scenarios.advance("mine", None, Duration::from_secs(60)).unwrap();
    assert_eq!(bench.history(), ["Two", "Three", "Finished"], "each state that is passed is entered");
}

#[tokio::test(start_paused = true)]
async fn an_immediate_run_is_in_its_last_state_at_once_and_stays_there() {
    let mut bench = Bench::new();
    bench.define("mine", ending(two_states()));
    assert_eq!(bench.run("mine", json!({"progression": "immediate"})).unwrap()["state"], "Three");
    pass(3600).await;
    assert_eq!((bench.attribute(), bench.history()), ("3".into(), vec!["Two".into(), "Three".into()]));
}

#[tokio::test(start_paused = true)]
async fn a_value_that_was_changed_during_a_run_stays_and_the_event_says_so() {
    let mut bench = Bench::new();
    let patch = json!({"instance": {"attributes": {"a": "run"}, "preempted": "TRUE"}});
    bench.define("mine", json!({"states": [{"state": "On", "patch": patch}]}));
    bench.run("mine", json!({})).unwrap();
    bench.publisher.set("instance/attributes/a", "other").unwrap();
    bench.scenarios.stop("mine", None).unwrap();
    assert_eq!((bench.attribute(), bench.tree().text("instance/preempted").unwrap()), ("other".into(), "FALSE".into()));
    let mut ended = None;
    while let Ok(event) = bench.events.try_recv() {
        ended = Some(event);
    }
    let Some(ScenarioEvent::Ended { kept, reason, .. }) = ended else { panic!("{ended:?}") };
    assert_eq!((kept, reason), (vec!["instance/attributes/a".to_owned()], EndReason::Stopped));
}

#[tokio::test(start_paused = true)]
async fn events_are_reported_to_the_streams_of_the_admin_api() {
    let log = Log::new(10);
    let bench = Bench::reporting(Metadata::sample().tree(), Events::new(Some(log.clone())));
    let stream = LogStream::new(&log, None).unwrap();
    bench.run("preemption", json!({"progression": "manual"})).unwrap();
    bench.publisher.set("instance/preempted", "FALSE").unwrap();
    bench.scenarios.stop("preemption", None).unwrap();
    let data = |record: &Record| match record {
        Record::Event(event) => event.data.clone(),
        other => panic!("{other:?}"),
    };
    let reported: Vec<_> = stream.next(10).await.iter().map(|item| data(&item.record)).collect();
    let expected = [
        json!({"scenario": "preemption", "event": "started"}),
        json!({"scenario": "preemption", "event": "entered", "state": "Preempted", "signal": "TERM"}),
        json!({"scenario": "preemption", "event": "stopped", "signal": null, "kept": ["instance/preempted"]}),
    ];
    assert_eq!(reported, expected);
}

#[tokio::test(start_paused = true)]
async fn kept_values_stay() {
    let bench = Bench::new();
    let mut definition = two_states();
    definition["states"][0]["patch"]["instance"]["preempted"] = "TRUE".into();
    bench.define("all", definition.clone());
    definition["keep"] = json!(["/instance/preempted"]);
    bench.define("one", definition);
    bench.run("one", json!({})).unwrap();
    bench.scenarios.stop("one", None).unwrap();
    assert_eq!(bench.tree().changed_paths(&bench.before), ["instance/preempted"]);
    bench.run("all", json!({"keep": true})).unwrap();
    bench.scenarios.reset();
    assert_eq!(bench.attribute(), "2");
}

#[tokio::test(start_paused = true)]
async fn runs_that_change_the_same_value_are_refused() {
    let bench = Bench::new();
    bench.define("mine", two_states());
    bench.define("whole", json!({"states": [{"state": "None", "patch": {"instance": {"attributes": null}}}]}));
    bench.define("other", json!({"states": [{"state": "On", "patch": {"instance": {"attributes": {"ab": "1"}}}}]}));
    bench.run("mine", json!({"in": "1h"})).unwrap();
    assert_eq!(bench.run("mine", json!({})).unwrap_err(), ScenarioError::Running { name: "mine".into() });
    let error = bench.run("whole", json!({})).unwrap_err();
    assert_eq!(error, ScenarioError::Conflict { path: "instance/attributes".into(), other: "mine".into() });
    bench.run("other", json!({})).unwrap();
    bench.run("preemption", json!({})).unwrap();
    let error = bench.run("missing", json!({})).unwrap_err();
    assert_eq!(error, ScenarioError::Unknown { name: "missing".into(), nearest: None });
    let error = bench.run("preemptoin", json!({})).unwrap_err();
    assert!(error.to_string().ends_with("did you mean preemption?"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_scenario_is_put_into_a_state() {
    let mut bench = Bench::new();
    bench.define("mine", two_states());
    bench.scenarios.set_state("mine", "Three").unwrap();
    assert_eq!((bench.attribute(), bench.generation()), ("3".into(), 1), "the passed state is not published");
    pass(3600).await;
    bench.scenarios.set_state("mine", "Three").unwrap();
    bench.scenarios.set_state("mine", "Two").unwrap();
    assert_eq!((bench.attribute(), bench.generation()), ("2".into(), 2));
    let error = bench.scenarios.set_state("mine", "Four").unwrap_err();
    assert!(error.to_string().contains("expected Started, Two, Three"), "{error}");
    bench.scenarios.set_state("mine", "").unwrap();
    assert_eq!(bench.tree(), bench.before);
    assert_eq!(bench.history(), ["Three", "Two", "Stopped"]);
    assert!(bench.scenarios.set_state("mine", "Four").is_err());
    assert_eq!(bench.state("mine"), "Started");
}

#[tokio::test(start_paused = true)]
async fn a_state_that_does_not_fit_ends_the_run() {
    let mut bench = Bench::new();
    bench.define(
        "mine",
        json!({"states": [
            {"state": "On", "patch": {"instance": {"preempted": "TRUE"}}},
            {"state": "Deep", "after": "1s", "patch": {"project": {"new": {"key": 1}}}},
        ]}),
    );
    bench.run("mine", json!({})).unwrap();
    bench.publisher.set("project/new", "leaf").unwrap();
    pass(1).await;
    let history = bench.history();
    assert!(history[1].starts_with("Aborted(") && history.len() == 2, "{history:?}");
    assert_eq!(bench.tree().text("instance/preempted").unwrap(), "FALSE");
    bench.publisher.set("project/new", "leaf").unwrap();
    let error = bench.run("mine", json!({})).unwrap_err();
    assert!(error.to_string().starts_with("the state Deep can't be entered"), "checked before the start: {error}");
}

#[tokio::test(start_paused = true)]
async fn faults_and_reachability_last_as_long_as_their_state() {
    let bench = Bench::new();
    bench.define(
        "mine",
        ending(json!({"states": [
            {"state": "Slow", "faults": [{"name": "slow"}, {"name": "lost"}]},
            {"state": "Worse", "after": "1s", "faults": [{"name": "worse"}], "reachable": "hang"},
            {"state": "Better", "after": "1s"},
        ]})),
    );
    bench.run("mine", json!({"progression": "manual"})).unwrap();
    bench.run("reset", json!({"progression": "manual", "in": "1s"})).unwrap();
    let seen = || (bench.faults.names(), bench.not_ready());
    assert_eq!(seen(), (vec!["slow".into(), "lost".into()], None));
    bench.scenarios.step("mine", None).unwrap();
    assert_eq!(seen(), (vec!["worse".into()], Some(NotReady::Hang)));
    bench.scenarios.step("reset", None).unwrap();
    assert_eq!(seen().1, Some(NotReady::Refuse), "that of the latest run");
    bench.scenarios.stop("reset", None).unwrap();
    assert_eq!(seen().1, Some(NotReady::Hang));
    bench.scenarios.step("mine", None).unwrap();
    assert_eq!(seen(), (vec![], None));
    bench.scenarios.set_state("mine", "Worse").unwrap();
    bench.scenarios.clear();
    assert_eq!(seen(), (vec![], None));
}

#[tokio::test(start_paused = true)]
async fn faults_of_a_definition_are_checked() {
    let bench = Bench::new();
    let definition = json!({"states": [{"state": "On", "faults": [{"name": "a"}, {"status": 503}]}]});
    let error = bench.scenarios.define("mine", Definition::parse(&definition, "").unwrap()).unwrap_err();
    assert_eq!(error, ScenarioError::invalid("/states/0/faults/1/name", "a name is expected"));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_child_continues_when_the_run_is_over() {
    let mut bench = Bench::new();
    let mut signals = |name: &str, end: &str| {
        bench.run(name, json!({"progression": "manual"})).unwrap();
        bench.scenarios.set_state(name, end).unwrap();
        let mut signals = Vec::new();
        while let Ok(event) = bench.events.try_recv() {
            signals.extend(event.signal().map(Signal::name));
        }
        signals
    };
    assert_eq!(signals("suspend-resume", ""), ["STOP", "CONT"]);
    assert_eq!(signals("suspend-resume", "Resumed"), ["STOP", "CONT"]);
    assert_eq!(signals("host-error", "Restarting"), ["STOP", "KILL"]);
}

#[tokio::test(start_paused = true)]
async fn clear_leaves_nothing_behind() {
    let bench = Bench::new();
    bench.define("mine", two_states());
    let before = bench.scenarios.list(true);
    for name in ["mine", "preemption", "graceful-shutdown", "upcoming-maintenance", "token-outage", "reset"] {
        bench.run(name, json!({"progression": "manual"})).unwrap();
        bench.scenarios.step(name, None).unwrap();
    }
    assert_ne!(bench.tree(), bench.before);
    bench.scenarios.clear();
    assert_eq!((bench.tree(), bench.faults.names()), (bench.before.clone(), vec![]));
    assert_eq!(bench.not_ready(), None);
    let left: Vec<_> = before.into_iter().filter(|scenario| scenario["name"] != "mine").collect();
    assert_eq!(bench.scenarios.list(true), left);
}

#[tokio::test(start_paused = true)]
async fn own_scenarios_have_names_that_fit_a_path_and_no_built_in_ones() {
    let bench = Bench::new();
    let definition = Definition::parse(&two_states(), "").unwrap();
    assert!(bench.scenarios.define("mine", definition.clone()).unwrap(), "it is new");
    assert!(!bench.scenarios.define("mine", definition.clone()).unwrap());
    for name in ["", "a/b", "a b", "a,in=5s", &"a".repeat(101)] {
        let error = bench.scenarios.define(name, definition.clone()).unwrap_err();
        assert!(matches!(error, ScenarioError::Invalid { .. }), "{name}: {error}");
    }
    let built_in = ScenarioError::BuiltIn { name: "stop".into() };
    assert_eq!(bench.scenarios.define("stop", definition).unwrap_err(), built_in);
    assert_eq!(bench.scenarios.remove("stop").unwrap_err(), built_in);
    bench.run("mine", json!({})).unwrap();
    bench.scenarios.remove("mine").unwrap();
    assert_eq!(bench.tree(), bench.before, "its run is over");
    assert!(bench.scenarios.remove("mine").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_run_of_the_library_is_finished_when_time_brings_no_more_states() {
    let bench = Bench::new();
    bench.define("mine", two_states());
    let builder = |name: &str| ScenarioBuilder::new(bench.scenarios.clone(), name);
    let start = Instant::now();
    let run = builder("mine").after(Duration::from_secs(5)).run().await.unwrap();
    run.finished().await;
    assert!((15_000..15_010).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    assert_eq!(run.state(), "Three");
    run.stop().await.unwrap();
    run.finished().await;
    let again = builder("mine").manual().run().await.unwrap();
    assert_eq!((run.state(), again.state()), ("Started".to_owned(), "Two".to_owned()));
    assert!(run.step().await.is_err() && run.stop().await.is_ok(), "the number of the run has changed");
    assert_eq!(again.state(), "Two");
    for wrong in [builder("mine").speed(0.0), builder("preemption").param("notice", 60), builder("mine").param("a", 1)]
    {
        assert!(matches!(wrong.run().await.unwrap_err(), ScenarioError::Invalid { .. }));
    }
}
