//! The JSON Schema of a simulation file: it agrees with the parsers, and `docs/simulation.schema.json` is up to date.

use super::{FAULT_ID, color, fault};
use crate::support::repository;
use boon::{Compiler, Schemas};
use gce_metadata_server::SimulationFile;
use serde_json::{Value, json};

/// Whether the schema accepts each of these documents.
fn accepted(documents: &[Value]) -> Vec<bool> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("simulation.json", SimulationFile::json_schema()).unwrap();
    let schema = compiler.compile("simulation.json", &mut schemas).unwrap();
    documents.iter().map(|document| schemas.validate(document, schema).is_ok()).collect()
}

fn is_good(document: &Value) -> bool {
    SimulationFile::new("s.json").check_content(document.to_string().as_bytes()).is_empty()
}

fn with(member: &str, value: Value) -> Value {
    json!({"version": 1, member: value})
}

fn faults(documents: impl IntoIterator<Item = Value>) -> Vec<Value> {
    documents.into_iter().map(|document| with("faults", json!([document]))).collect()
}

fn responses(responses: impl IntoIterator<Item = Value>) -> Vec<Value> {
    faults(responses.into_iter().map(|response| json!({"response": response})))
}

fn requests(requests: impl IntoIterator<Item = Value>) -> Vec<Value> {
    faults(requests.into_iter().map(|request| json!({"request": request, "response": {}})))
}

fn states(states: impl IntoIterator<Item = Value>) -> Vec<Value> {
    states.into_iter().map(|state| with("scenarios", json!({"mine": {"states": [state]}}))).collect()
}

fn runs(runs: impl IntoIterator<Item = Value>) -> Vec<Value> {
    runs.into_iter().map(|run| with("run", json!([run]))).collect()
}

fn settings(settings: impl IntoIterator<Item = Value>) -> Vec<Value> {
    settings.into_iter().map(|settings| with("settings", settings)).collect()
}

fn good() -> Vec<Value> {
    let words =
        ["return-503", "stall-for-2s", "stall-for-2s-after-1K", "stall-always", "return-broken-stream-after-12B"];
    let mut good =
        vec![json!({"version": 1}), json!({"$schema": "a", "version": 1, "faults": [], "scenarios": {}, "run": []})];
    good.extend(faults([
        fault(503),
        json!({"instructions": words}),
        json!({"uuid": FAULT_ID, "response": {}, "instructions": null, "priority": 1, "name": "a", "at": "request"}),
        json!({"response": {}, "succeedFirst": 0, "failRequestCount": 4, "failEvery": 2, "probability": 0.5, "seed": 7}),
        json!({"response": {}, "outageAfterMillis": 0, "outageDurationMillis": 1, "quotaLimit": 0, "quotaWindowMillis": 1}),
        json!({"response": {}, "timeToLive": 1, "metadata": {"a": 1}, "persistent": true}),
        json!({"at": "source", "response": {"status": 503}}),
    ]));
    good.extend(responses([
        json!({"status": 429, "headers": {"Retry-After": "1", "A": ["b"], "Metadata-Flavor": null}, "jsonBody": {}}),
        json!({"fixedDelayMilliseconds": 5, "delayDistribution": {"type": "lognormal", "median": 80, "sigma": 0.4}}),
        json!({"delayDistribution": {"type": "uniform", "lower": 1, "upper": 2}}),
        json!({"delayDistribution": {"type": "fixed", "milliseconds": 20}}),
        json!({"chunkedDribbleDelay": {"numberOfChunks": 5, "totalDuration": 0}, "truncateBodyAtFraction": 0.5}),
        json!({"malformedBody": true, "base64Body": "YQ=="}),
        json!({"fault": "EMPTY_RESPONSE"}),
        json!({"proxyBaseUrl": "http://metadata.google.internal", "fixedDelayMilliseconds": 2000}),
    ]));
    good.extend(requests([
        json!({"method": "GET", "path": "instance/*/token", "clientIp": {"equalTo": "10.0.0.7"}}),
        json!({"urlPathPattern": "/a.*", "headers": {"A": {"absent": true}}, "account": {"contains": "a"}}),
        json!({"queryParameters": {"a": {"equalTo": "b", "caseInsensitive": true}}}),
    ]));
    good.push(with("scenarios", json!({"my-drain_1.0": color("red")})));
    good.extend(states([
        json!({"state": "A", "after": "1m30s", "signal": "TERM", "reachable": false, "faults": [fault(503)]}),
        json!({"state": "A", "after": 5, "signal": "SIGKILL", "reachable": "503", "patch": {"instance": {"a": null}}}),
    ]));
    good.extend(runs([
        json!({"scenario": "preemption", "in": "250ms", "parameters": {"notice": 120}, "speed": 60, "keep": true}),
        json!({"scenario": "preemption", "at": "2030-01-01T12:00:00.5+01:00", "progression": "manual"}),
    ]));
    good.extend(settings([
        json!({}),
        json!({"rateLimits": true, "withoutMaintenance": "none", "ready": false, "notReady": "hang", "fixedDelay": 500}),
        json!({"fixedDelay": null, "delayDistribution": null}),
        json!({"delayDistribution": {"type": "lognormal", "median": 80.5, "sigma": 0.4}}),
        json!({"delayDistribution": {"type": "uniform", "lower": 1, "upper": 2}}),
    ]));
    good
}

fn bad() -> Vec<Value> {
    let mut bad = vec![json!([]), json!({}), json!({"version": 2}), json!({"version": "1"}), with("fault", json!([]))];
    bad.extend([
        with("faults", json!({})),
        with("scenarios", json!([])),
        with("run", json!({})),
        with("settings", json!([])),
    ]);
    bad.extend(faults([
        json!({}),
        json!({"response": {}, "instructions": ["return-503"]}),
        json!({"instructions": []}),
        json!({"instructions": ["return"]}),
        json!({"instructions": ["return-200"]}),
        json!({"instructions": ["stall-for-2"]}),
        json!({"instructions": ["return-503"], "failEvery": 2}),
        json!({"response": {}, "id": "1"}),
        json!({"response": {}, "priority": 0}),
        json!({"response": {}, "at": "cache"}),
        json!({"response": {}, "failEvery": 0}),
        json!({"response": {}, "probability": 2}),
        json!({"response": {}, "quotaLimit": 5}),
        json!({"response": {}, "quotaWindowMillis": 5}),
        json!({"response": {}, "timeToLive": -1}),
        json!({"response": {}, "metadata": 1}),
        json!({"response": {}, "scenarioName": "a"}),
    ]));
    bad.extend(responses([
        json!({"status": 99}),
        json!({"status": "503"}),
        json!({"headers": []}),
        json!({"headers": {"A": 1}}),
        json!({"body": 1}),
        json!({"fault": "RANDOM_DATA_THEN_CLOSE"}),
        json!({"proxyBaseUrl": "http://example.com"}),
        json!({"delayDistribution": {"type": "lognormal", "median": 80}}),
        json!({"delayDistribution": {"type": "normal"}}),
        json!({"chunkedDribbleDelay": {"numberOfChunks": 0, "totalDuration": 1}}),
        json!({"truncateBodyAtFraction": 1.5}),
        json!({"malformedBody": "true"}),
        json!({"transformers": []}),
    ]));
    bad.extend(requests([
        json!([]),
        json!({"bodyPatterns": []}),
        json!({"url": "/a", "path": "a"}),
        json!({"headers": {"A": "b"}}),
        json!({"headers": {"A": {}}}),
        json!({"headers": {"A": {"equalTo": "a", "contains": "b"}}}),
        json!({"headers": {"A": {"contains": "a", "caseInsensitive": true}}}),
        json!({"clientIp": {"absent": false}}),
    ]));
    bad.extend([
        with("scenarios", json!({"a b": color("red")})),
        with("scenarios", json!({"mine": {"states": []}})),
        with("scenarios", json!({"mine": {"states": [{"state": "A"}], "start": "A"}})),
    ]);
    bad.extend(states([
        json!({"after": "1s"}),
        json!({"state": "Started"}),
        json!({"state": "A", "after": "soon"}),
        json!({"state": "A", "after": -1}),
        json!({"state": "A", "signal": "BREAK"}),
        json!({"state": "A", "reachable": "no"}),
        json!({"state": "A", "faults": [{}]}),
        json!({"state": "A", "patch": {"instance": null}}),
        json!({"state": "A", "patch": {"computeMetadata": {}}}),
    ]));
    bad.extend(runs([
        json!({}),
        json!({"scenario": 1}),
        json!({"scenario": "preemption", "in": "soon"}),
        json!({"scenario": "preemption", "in": "1s", "at": "2030-01-01T12:00:00Z"}),
        json!({"scenario": "preemption", "at": "noon"}),
        json!({"scenario": "preemption", "progression": "fast"}),
        json!({"scenario": "preemption", "speed": 0}),
        json!({"scenario": "preemption", "keep": 1}),
        json!({"scenario": "preemption", "parameters": {"notice": []}}),
        json!({"scenario": "preemption", "notice": 120}),
    ]));
    bad.extend(settings([
        json!({"rateLimits": 1}),
        json!({"withoutMaintenance": "no"}),
        json!({"notReady": "close"}),
        json!({"fixedDelay": -1}),
        json!({"fixedDelay": 86_400_001}),
        json!({"delayDistribution": {"type": "fixed", "milliseconds": 1}}),
        json!({"delayDistribution": {"type": "uniform", "lower": 1}}),
        json!({"delays": 1}),
    ]));
    bad
}

#[test]
fn the_schema_and_the_parsers_agree() {
    for (documents, expected) in [(good(), true), (bad(), false)] {
        for (document, accepted) in documents.iter().zip(accepted(&documents)) {
            assert_eq!((is_good(document), accepted), (expected, expected), "(parser, schema) for {document}");
        }
    }
}

#[test]
fn the_schema_does_not_know_which_names_exist_or_which_values_fit_together() {
    let uniform = json!({"type": "uniform", "lower": 2, "upper": 1});
    let documents = [
        with("run", json!([{"scenario": "nothing"}])),
        with("scenarios", json!({"preemption": color("red")})),
        with("settings", json!({"delayDistribution": uniform})),
    ];
    assert_eq!(documents.iter().map(is_good).collect::<Vec<_>>(), [false; 3]);
    assert_eq!(accepted(&documents), [true; 3]);
}

#[test]
fn the_published_schema_of_a_simulation_is_up_to_date() {
    let file = repository("docs/simulation.schema.json");
    let expected = format!("{:#}\n", SimulationFile::json_schema());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    let published = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(published == expected, "docs/simulation.schema.json is outdated: UPDATE_DOCS=1 rewrites it");
}
