//! Mistakes in simulation files: errors of a start, with the place in the file, and diagnostics of `check-config`.

use super::{File, color, fault};
use gce_metadata_server::{Server, ServerBuilder, SimulationFile};
use serde_json::json;

async fn refused(builder: ServerBuilder) -> String {
    builder.start().await.unwrap_err().to_string()
}

#[tokio::test]
async fn an_error_has_the_line_the_column_and_the_pointer() {
    for (text, expected) in [
        ("{\n\"version\": 1,]", ":2:14: at "),
        ("[]", ":1:1: at top level: an object is expected"),
        ("{}", ":1:1: at top level: `version` is missing: add \"version\": 1"),
        ("{\n \"version\": 2}", ":2:13: at /version: the only version is 1"),
        (
            "{\"version\": 1,\n \"faults\": [{\"response\": {\"status\": 99}}]}",
            ":2:37: at /faults/0/response/status: a status",
        ),
        ("{\"version\": 1, \"faults\": [\n{}]}", ":2:1: at /faults/0/response: `response` or"),
        ("{\"version\": 1, \"scenarios\": {\"a\":\n{}}}", ":2:1: at /scenarios/a/states: at least one state"),
        (
            "{\"version\": 1, \"run\": [\n{\"scenario\": \"nothing\"}]}",
            ":2:1: at /run/0: there is no scenario \"nothing\"",
        ),
        (
            "{\"version\": 1, \"run\": [\n{\"scenario\": \"preemption\", \"parameters\": {\"notice\": 5}}]}",
            ":2:1: at /run/0/parameters/notice: expected one of 0, 120",
        ),
        ("{\"version\": 1, \"settings\": {\"fixedDelay\":\n -1}}", ":2:2: at /settings/fixedDelay: "),
        ("{\"version\": 1,\n\"fault\": []}", ":2:10: at /fault: no such member: expected version, faults"),
    ] {
        let file = File::of(&json!({}));
        file.write_text(text);
        let error = refused(Server::builder().simulation_file(file.path())).await;
        let path = format!("simulation: {}", file.path().display());
        let rest = error.strip_prefix(&path).unwrap_or_else(|| panic!("{error}"));
        assert!(rest.starts_with(expected), "{text}: {rest}");
    }
    let missing = refused(Server::builder().simulation_file("/no/such/file.json")).await;
    assert!(missing.starts_with("simulation: /no/such/file.json: No such file"), "{missing}");
}

#[tokio::test]
async fn two_files_with_one_name_are_an_error_that_names_both() {
    for (document, what) in [
        (json!({"version": 1, "scenarios": {"drain": color("red")}}), "the scenario drain"),
        (json!({"version": 1, "faults": [fault(503)]}), "the fault 0f2b9c1e-7a41-4e0c-9a52-6f3c8d1b7e90"),
        (json!({"version": 1, "settings": {"fixedDelay": 0}}), "the setting fixedDelay"),
    ] {
        let (first, other) = (File::of(&document), File::of(&document));
        let builder = Server::builder().simulation_file(first.path()).simulation_file(other.path());
        let (first, other) = (first.path(), other.path());
        let expected = format!(
            "simulation: {}: {what} is in {} too: rename or remove one of them",
            other.display(),
            first.display()
        );
        assert_eq!(refused(builder).await, expected);
    }
}

#[tokio::test]
async fn a_run_that_can_not_start_is_an_error_of_the_start() {
    let document = json!({
        "version": 1,
        "scenarios": {"a": color("red"), "b": color("blue")},
        "run": [{"scenario": "a"}, {"scenario": "b"}],
    });
    let file = File::of(&document);
    let folder = tempfile::tempdir().unwrap();
    let attributes = folder.path().join("attributes.json");
    let builder = Server::builder().simulation_file(file.path()).guest_attributes_file(&attributes);
    let error = refused(builder).await;
    assert!(
        error.contains("/run/1: the scenario a, which is running, changes instance/attributes/color too"),
        "{error}"
    );
    assert!(!attributes.exists(), "a failed start leaves no file");
}

#[test]
fn check_content_lists_all_mistakes_by_line() {
    let text = "{\"version\": 1,\n\"faults\": [{}, {\"instructions\": [\"return\"]}],\n\"run\": [{\"scenario\": \"mine\"},\n\
        {\"scenario\": \"preemption\", \"parameters\": {\"notice\": \"x\"}}],\n\"settings\": {\"ready\": 1},\n\"version\": 1}";
    let diagnostics = SimulationFile::new("s.json").check_content(text.as_bytes());
    let lines: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    let starts = [
        "s.json:2:12: error: at /faults/0/response: ",
        "s.json:2:34: error: at /faults/1/instructions/0: expected return-STATUS",
        "s.json:3:9: warning: at /run/0: there is no scenario \"mine\"",
        "s.json:4:53: error: at /run/1/parameters/notice: ",
        "s.json:5:23: error: at /settings/ready: ",
        "s.json:6:12: warning: at /version: duplicate key",
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line} does not start with {start}");
    }
}
