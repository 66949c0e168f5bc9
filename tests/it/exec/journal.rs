//! `--expect` and `--journal-out`: the requests of the command are checked and written when the command has ended.

use super::{exec, shell};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Asks for the id and, with a typo, for `preempted`.
const ASK: &str = "for key in id preemptd; do \
    curl -s -o /dev/null -H Metadata-Flavor:Google http://$GCE_METADATA_HOST/computeMetadata/v1/instance/$key; done";

/// Writes a file of expectations.
fn expectations(folder: &TempDir, text: &str) -> PathBuf {
    let file = folder.path().join("expect.json");
    std::fs::write(&file, text).unwrap();
    file
}

/// Standard error and the exit status. Asserts that standard output is empty.
fn ended(mut command: Command) -> (String, Option<i32>) {
    let output = command.output().unwrap();
    assert_eq!(output.stdout, b"");
    (String::from_utf8(output.stderr).unwrap(), output.status.code())
}

fn with_expect(file: &Path, options: &[&str], script: &str) -> Command {
    let options: Vec<_> = ["--expect", file.to_str().unwrap()].into_iter().chain(options.iter().copied()).collect();
    shell(&options, script)
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn met_expectations_keep_the_exit_status_of_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let expected = r#"[
        {"request": {"path": "instance/id", "headers": {"Metadata-Flavor": {"equalTo": "Google"}}}},
        {"request": {"path": "instance/*"}, "times": {"atLeast": 2, "atMost": 2}},
        {"request": {"path": "instance/service-accounts/*/token"}, "times": {"atMost": 0}}
    ]"#;
    let file = expectations(&folder, expected);
    for options in [&[][..], &["--no-admin"], &["--no-admin", "--journal-entries", "2"]] {
        assert_eq!(ended(with_expect(&file, options, ASK)), (String::new(), Some(0)), "{options:?}");
    }
    assert_eq!(ended(with_expect(&file, &[], &format!("{ASK}; exit 7"))), (String::new(), Some(7)));
}

#[test]
fn unmet_expectations_are_printed_with_near_misses_and_the_status_is_3() {
    let folder = tempfile::tempdir().unwrap();
    let expected = r#"[
        {"request": {"path": "instance/preempted"}},
        {"request": {"path": "instance/id"}},
        {"request": {"path": "instance/preemptdd"}, "times": {"atLeast": 2}},
        {"request": {"path": "instance/id"}, "times": {"atMost": 0}}
    ]"#;
    let file = expectations(&folder, expected);
    let (stderr, status) = ended(with_expect(&file, &[], ASK));
    let near = "the nearest other requests are:\n  GET /computeMetadata/v1/instance/preemptd\n  GET /computeMetadata/v1/instance/id\n";
    let beginning = format!(
        "error: exec: --expect {}: not met:\n\
         expected at least 1 request for {{\"path\":\"instance/preempted\"}}, received 0 requests; {near}\
         expected at least 2 requests for {{\"path\":\"instance/preemptdd\"}}, received 0 requests; {near}\
         the metadata has no such key; the nearest keys are instance/preempted",
        file.display()
    );
    assert!(stderr.starts_with(&beginning), "{stderr}");
    assert!(stderr.contains("\nexpected no request for {\"path\":\"instance/id\"}, received 1 request"), "{stderr}");
    assert_eq!(status, Some(3));
}

#[test]
fn a_failure_of_the_command_wins_over_an_unmet_expectation() {
    let folder = tempfile::tempdir().unwrap();
    let file = expectations(&folder, "[{}]");
    for (script, expected) in [("exit 5", 5), ("kill -TERM $$", 128 + 15)] {
        let (stderr, status) = ended(with_expect(&file, &[], script));
        assert!(stderr.contains("expected at least 1 request for {}, received 0 requests"), "{stderr}");
        assert_eq!(status, Some(expected), "{script}");
    }
}

#[test]
fn a_wrong_file_of_expectations_is_an_error_before_the_command_starts() {
    let folder = tempfile::tempdir().unwrap();
    for (text, expected) in [
        ("[\n  {,}]", "not JSON: key must be a string at line 2 column 4"),
        ("{}", "a list of expectations is expected"),
        (r#"[{"request": {"bodyPatterns": []}}]"#, "/0/request/bodyPatterns: request patterns of this server have no"),
        (r#"[{"times": {"exactly": 1}}]"#, "/0/times/exactly: unknown field `exactly`"),
    ] {
        let file = expectations(&folder, text);
        let (stderr, status) = ended(with_expect(&file, &[], "echo started"));
        let expected = format!("error: --expect {}: {expected}", file.display());
        assert!(stderr.starts_with(&expected), "{expected}: {stderr}");
        assert_eq!(status, Some(1));
    }
    let (stderr, status) = ended(shell(&["--expect", "/no/such/file"], "echo started"));
    assert!(stderr.starts_with("error: --expect /no/such/file: No such file"), "{stderr}");
    assert_eq!(status, Some(1));
    for options in [&["--journal-entries", "0"][..], &["--url", "http://127.0.0.1:1"]] {
        let (stderr, status) = ended(with_expect(&expectations(&folder, "[]"), options, "echo started"));
        assert!(stderr.contains(options[0]) && stderr.contains("--expect"), "{stderr}");
        assert_eq!(status, Some(2));
    }
}

#[test]
fn lost_requests_make_expectations_fail_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = expectations(&folder, r#"[{"request": {"path": "instance/id"}, "times": {"atMost": 0}}]"#);
    let (stderr, status) = ended(with_expect(&file, &["--journal-entries", "1"], ASK));
    assert!(stderr.contains("the journal has lost its oldest requests (1)") && stderr.contains("--journal-entries"));
    assert_eq!(status, Some(3));
}

#[test]
fn the_journal_is_written_as_json_lines_also_if_a_signal_ends_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.jsonl");
    for (end, expected) in [("true", 0), ("kill -KILL $$", 128 + 9)] {
        std::fs::write(&file, "an older journal, which is longer than the new one".repeat(100)).unwrap();
        let command = shell(&["--journal-out", file.to_str().unwrap()], &format!("{ASK}; {end}"));
        assert_eq!(ended(command), (String::new(), Some(expected)));
        let paths: Vec<_> =
            lines(&file).iter().map(|event| event["request"]["metadataServer"]["path"].clone()).collect();
        assert_eq!(paths, ["instance/id", "instance/preemptd"]);
    }
    assert_eq!(lines(&file)[1]["response"]["status"], 404);
}

#[test]
fn the_journal_has_a_request_that_the_command_left_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.jsonl");
    let wait = "curl -s -m 1 -o /dev/null -H Metadata-Flavor:Google \
        \"http://$GCE_METADATA_HOST/computeMetadata/v1/instance/preempted?wait_for_change=true\"; true";
    assert_eq!(ended(shell(&["--journal-out", file.to_str().unwrap()], wait)), (String::new(), Some(0)));
    let waited = &lines(&file)[0]["request"]["metadataServer"]["waited"];
    assert!(["client", "stop"].contains(&waited["endedBy"].as_str().unwrap()), "{waited}");
}

#[test]
fn a_journal_that_lost_requests_or_can_not_be_written_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.jsonl");
    let options = ["--journal-out", file.to_str().unwrap(), "--journal-entries", "1"];
    let (stderr, status) = ended(shell(&options, ASK));
    assert!(stderr.contains("the journal has lost its oldest requests (1); keep more requests by --journal-entries"));
    assert_eq!((status, lines(&file).len()), (Some(0), 1));

    let missing = folder.path().join("none/journal.jsonl");
    let (stderr, status) = ended(shell(&["--journal-out", missing.to_str().unwrap()], "echo started"));
    assert!(stderr.starts_with(&format!("error: --journal-out {}: No such file", missing.display())), "{stderr}");
    assert_eq!(status, Some(1));

    for (end, expected) in [("true", 1), ("exit 5", 5)] {
        let (stderr, status) = ended(exec(&["--journal-out", "/dev/full"], &["sh", "-c", &format!("{ASK}; {end}")]));
        assert!(stderr.starts_with("error: exec: --journal-out /dev/full: No space left on device"), "{stderr}");
        assert_eq!(status, Some(expected));
    }
}
