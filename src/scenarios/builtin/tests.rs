//! Each built-in scenario state by state, on a paused clock.

use super::super::tests::Bench;
use super::super::{ScenarioEvent, Signal};
use super::ALL;
use gce_metadata_routes::{Metadata, Tree};
use serde_json::{Value, json};
use std::time::SystemTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

/// Runs a scenario until time brings no more, and describes each state in a line: the second, the name, the values that differ from those
/// before, the signal, how the server can be reached, and the faults. An end is described by the values that stay.
async fn timeline(name: &str, parameters: Value) -> Vec<String> {
    timeline_of(Bench::new(), name, parameters).await
}

async fn timeline_of(mut bench: Bench, name: &str, parameters: Value) -> Vec<String> {
    let start = Instant::now();
    bench.run(name, json!({"parameters": parameters})).unwrap();
    let mut lines = Vec::new();
    loop {
        let (word, signal) = match bench.events.recv().await.unwrap() {
            ScenarioEvent::Started { .. } => continue,
            ScenarioEvent::Entered { state, signal, .. } => (state, signal),
            ScenarioEvent::Ended { signal, .. } => ("end".to_owned(), signal),
        };
        let mut line = vec![start.elapsed().as_secs().to_string(), word.clone()];
        line.extend(changes(&bench.before, &bench.tree()));
        line.extend(signal.map(Signal::name).map(str::to_owned));
        line.extend(bench.not_ready().map(|not_ready| format!("{not_ready:?}")));
        line.extend(bench.faults.names());
        lines.push(line.join(" "));
        // A state and the end may be due at the same time; the run is over then, and its end is the next event.
        let run = &bench.scenarios.get(name).unwrap()["run"];
        if word == "end" || (run.is_object() && run["next"].is_null()) {
            return lines;
        }
    }
}

/// The changed values, without the directories on their paths. Dates are hours from now, and numbers of many digits are random.
fn changes(before: &Tree, after: &Tree) -> Vec<String> {
    let leaf = |path: String| {
        let value = after.config_json(&path).unwrap_or_default();
        match &value {
            Value::Object(members) => members.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect(),
            value => vec![format!("{}={}", path.rsplit('/').next().unwrap_or_default(), plain(value))],
        }
    };
    let paths = before.changed_paths(after).into_iter();
    paths.flat_map(|path| leaf(path.trim_end_matches('/').to_owned())).collect()
}

fn plain(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Ok(date) = OffsetDateTime::parse(&text, &Rfc3339) {
        let hours = (date - OffsetDateTime::from(SystemTime::now())).as_seconds_f64() / 3600.0;
        return format!("+{:.0}h", hours.abs());
    }
    if text.len() > 6 && text.bytes().all(|byte| byte.is_ascii_digit()) { "random".to_owned() } else { text }
}

macro_rules! timelines {
    ($($test:ident: $name:literal $parameters:tt => [$($line:literal),* $(,)?];)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $test() {
                assert_eq!(timeline($name, json!($parameters)).await, [$($line),*] as [&str; _]);
            }
        )*
    };
}

timelines! {
    a_preemption_is_off_after_30_s: "preemption" {} => [
        "0 Preempted preempted=TRUE TERM",
        "30 Off preempted=TRUE KILL",
    ];
    a_preemption_with_a_notice_has_120_s_more: "preemption" {"notice": 120, "then": "stop"} => [
        "0 Preempted preempted=TRUE",
        "120 SoftOff preempted=TRUE TERM",
        "150 Off preempted=TRUE KILL Refuse",
    ];
    a_preempted_machine_starts_again_with_a_new_drift_token: "preemption" {"then": "restart", "boot": "20s"} => [
        "0 Preempted preempted=TRUE TERM",
        "30 Off preempted=TRUE drift-token=random KILL Refuse",
        "50 end drift-token=random",
    ];
    a_live_migration_is_announced_60_s_ahead: "live-migration" {} => [
        "0 Announced maintenance-event=MIGRATE_ON_HOST_MAINTENANCE",
        "60 Migrated maintenance-event=MIGRATE_ON_HOST_MAINTENANCE drift-token=random",
        "90 end drift-token=random",
    ];
    a_live_migration_may_have_an_outage: "live-migration" {"blip": true, "for": "10s"} => [
        "0 Announced maintenance-event=MIGRATE_ON_HOST_MAINTENANCE",
        "60 Unavailable maintenance-event=MIGRATE_ON_HOST_MAINTENANCE the metadata server is unavailable",
        "60 Migrated maintenance-event=MIGRATE_ON_HOST_MAINTENANCE drift-token=random",
        "70 end drift-token=random",
    ];
    a_host_termination_is_announced_60_min_ahead: "host-termination" {} => [
        "0 Announced maintenance-event=TERMINATE_ON_HOST_MAINTENANCE",
        "3600 SoftOff maintenance-event=TERMINATE_ON_HOST_MAINTENANCE TERM",
        "3690 Off maintenance-event=TERMINATE_ON_HOST_MAINTENANCE drift-token=random KILL Refuse",
        "3700 end drift-token=random",
    ];
    a_host_termination_without_a_gpu_is_not_announced: "host-termination" {"gpu": false, "restart": false} => [
        "0 SoftOff TERM",
        "90 Off KILL Refuse",
    ];
    a_planned_maintenance_is_ongoing_in_its_window: "upcoming-maintenance" {} => [
        "0 Scheduled can_reschedule=true latest_window_start_time=+168h maintenance_reasons=[\"PLANNED_UPDATE\",\"PLANNED_NETWORK_UPDATE\"] \
         maintenance_status=PENDING type=SCHEDULED window_end_time=+172h window_start_time=+168h",
        "604800 Ongoing can_reschedule=false latest_window_start_time=+168h maintenance_reasons=[\"PLANNED_UPDATE\",\"PLANNED_NETWORK_UPDATE\"] \
         maintenance_status=ONGOING type=SCHEDULED window_end_time=+172h window_start_time=+168h",
        "619200 end",
    ];
    a_graceful_shutdown_has_its_time: "graceful-shutdown" {"duration": "2m", "target": "DELETED"} => [
        "0 Pending maxDuration=120 requestTimestamp=+0h stopState=PENDING_STOP targetState=DELETED",
        "120 SoftOff maxDuration=120 requestTimestamp=+0h stopState=STOPPING targetState=DELETED TERM",
        "210 Off maxDuration=120 requestTimestamp=+0h stopState=STOPPING targetState=DELETED KILL",
    ];
    a_stop_has_90_s: "stop" {} => ["0 SoftOff TERM", "90 Off KILL"];
    a_stop_of_a_spot_vm_has_30_s: "stop" {"grace": "30s", "then": "stop"} => ["0 SoftOff TERM", "30 Off KILL Refuse"];
    a_deletion_has_90_s: "delete" {"then": "stop"} => ["0 SoftOff TERM", "90 Off KILL Refuse"];
    a_termination_time_may_be_late: "termination-time" {"late": "30s"} => ["30 SoftOff TERM", "120 Off KILL"];
    a_reset_breaks_all_connections: "reset" {} => ["0 Resetting KILL Refuse", "10 end"];
    a_host_error_hangs_and_restarts: "host-error" {} => [
        "0 Hung STOP Hang",
        "330 Restarting drift-token=random KILL Refuse",
        "340 end drift-token=random",
    ];
    a_suspended_machine_stands_still: "suspend-resume" {"for": "5m"} => [
        "0 Suspended STOP Refuse",
        "300 Resumed drift-token=random CONT",
        "300 end drift-token=random",
    ];
    a_blip_is_short: "mds-blip" {"for": "2s"} => ["0 Unavailable the metadata server is unavailable", "2 end"];
    a_slow_start_refuses_connections: "mds-slow-start" {} => ["0 Starting Refuse", "10 end"];
    a_token_outage_answers_503: "token-outage" {} => ["0 Outage tokens are refused with 503", "30 end"];
    a_token_throttle_answers_429: "token-throttle" {"times": 3} => ["0 Throttled tokens are refused with 429", "30 end"];
}

/// The seconds and names of the states and of the end.
async fn states(name: &str, parameters: Value) -> Vec<String> {
    let lines = timeline(name, parameters).await.into_iter();
    lines.map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test(start_paused = true)]
async fn the_owner_moves_starts_and_cancels_a_planned_maintenance() {
    for (parameters, expected) in [
        (json!({"window": "10h", "length": "1h"}), vec!["0 Scheduled", "36000 Ongoing", "39600 end"]),
        (
            json!({"window": "10h", "length": "1h", "reschedule": "5h"}),
            vec!["0 Scheduled", "18000 Rescheduled", "54000 Ongoing", "57600 end"],
        ),
        (json!({"window": "10h", "length": "1h", "perform": "2h"}), vec!["0 Scheduled", "7200 Ongoing", "10800 end"]),
        (
            json!({"window": "10h", "length": "1h", "perform": "2h", "reschedule": "5h"}),
            vec!["0 Scheduled", "7200 Ongoing", "10800 end"],
        ),
        (json!({"window": "10h", "length": "1h", "cancel": "3h"}), vec!["0 Scheduled", "10800 end"]),
        (
            json!({"window": "10h", "length": "1h", "gpu": true}),
            vec!["0 Scheduled", "32400 Announced", "36000 Ongoing", "39600 end"],
        ),
        (
            json!({"window": "30m", "length": "1h", "gpu": true, "type": "UNSCHEDULED"}),
            vec!["0 Scheduled", "0 Announced", "1800 Ongoing", "5400 end"],
        ),
    ] {
        assert_eq!(states("upcoming-maintenance", parameters.clone()).await, expected, "{parameters}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_host_events_in_its_config_is_as_before() {
    let before = Metadata::from_json(json!({"instance": {"id": 7}, "project": {}})).unwrap().tree();
    for scenario in ALL {
        let bench = Bench::with(before.clone());
        bench.run(scenario.name, json!({"progression": "manual"})).unwrap();
        while bench.scenarios.step(scenario.name, None).is_ok() {}
        let left = before.changed_paths(&bench.tree());
        assert!(left.iter().all(|path| path.starts_with("instance/virtual-clock")), "{}: {left:?}", scenario.name);
    }
}

#[tokio::test(start_paused = true)]
async fn strict_migrations_need_a_journal() {
    let bench = Bench::new();
    let error = bench.run("live-migration", json!({"parameters": {"strict": true}})).unwrap_err();
    assert!(error.to_string().starts_with("/parameters/strict: this needs the journal"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_built_in_definition_can_be_used_as_ones_own() {
    for scenario in ALL {
        let bench = Bench::new();
        let built_in = bench.scenarios.get(scenario.name).unwrap();
        let definition = super::super::Definition::parse(&built_in["definition"], "").unwrap();
        assert_eq!(definition.json(), built_in["definition"]);
        bench.scenarios.define("copy", definition).unwrap();
        bench.run("copy", json!({})).unwrap();
    }
}
