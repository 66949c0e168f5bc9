//! `requests` and `verify`.

use super::{builder, error, ok, program};
use crate::support::{Client, get, request};
use gce_metadata_server::{AdminOptions, Server};
use serde_json::Value;
use std::io::{BufRead, BufReader};

/// A server that was asked for an id, a token, and a key that does not exist.
async fn asked() -> Server {
    let server = builder().start().await.unwrap();
    get(&server, "instance/id").await;
    get(&server, "instance/service-accounts/default/token?scopes=a").await;
    get(&server, "instance/preemptd").await;
    server
}

/// The last words of each line: the target, the status and what follows the duration.
fn targets(lines: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        assert!(words[0].ends_with('Z') && words[1] == "127.0.0.1" && words[2] == "GET", "{line}");
        assert!(words[5].parse::<u64>().is_ok() && words[6] == "ms", "{line}");
        (words[3].replace("/computeMetadata/v1/instance/", ""), [&words[4..5], &words[7..]].concat().join(" "))
    };
    lines.lines().map(line).collect()
}

fn pair(target: &str, rest: &str) -> (String, String) {
    (target.to_owned(), rest.to_owned())
}

#[tokio::test]
async fn requests_prints_a_line_per_request_the_oldest_first() {
    let server = asked().await;
    let token = pair("service-accounts/default/token?scopes=a", "200");
    let unmatched = pair("preemptd", "404 (unmatched)");
    let all = ok(program(&server, &["requests"]));
    assert_eq!(targets(&all), [pair("id", "200"), token.clone(), unmatched.clone()]);
    assert_eq!(targets(&ok(program(&server, &["requests", "--unmatched"]))), [unmatched]);
    let path = "instance/service-accounts/*/token";
    assert_eq!(targets(&ok(program(&server, &["requests", "--path", path]))), [token]);
    assert_eq!(ok(program(&server, &["requests", "--path", "instance/name"])), "");
}

#[tokio::test]
async fn requests_prints_their_number() {
    let server = asked().await;
    for (args, count) in [
        (&["requests", "--count"][..], "3\n"),
        (&["requests", "--count", "--unmatched"], "1\n"),
        (&["requests", "--count", "--path", "instance/id"], "1\n"),
        (&["requests", "--count", "--path", "instance/id", "--unmatched"], "0\n"),
    ] {
        assert_eq!(ok(program(&server, args)), count, "{args:?}");
    }
    assert!(error(program(&server, &["requests", "--count", "--follow"]), 2).contains("--follow"));
}

#[tokio::test]
async fn follow_prints_the_journal_and_each_new_request_until_the_server_stops() {
    let server = asked().await;
    let mut following = program(&server, &["requests", "--follow", "--path", "instance/*"]).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    assert_eq!(targets(&lines.next().unwrap().unwrap()), [pair("id", "200")]);
    assert_eq!(targets(&lines.next().unwrap().unwrap()), [pair("preemptd", "404 (unmatched)")]);
    get(&server, "project/project-id").await;
    get(&server, "instance/name").await;
    assert_eq!(targets(&lines.next().unwrap().unwrap()), [pair("name", "200")]);
    server.shutdown().await;
    assert!(lines.next().is_none());
    let ended = following.wait_with_output().unwrap();
    assert_eq!((&*String::from_utf8(ended.stderr).unwrap(), ended.status.code()), ("", Some(0)));
}

#[tokio::test]
async fn follow_prints_entries_in_json_and_reports_errors_of_the_admin_api() {
    let server = asked().await;
    let args = ["requests", "--follow", "--unmatched", "--format", "json"];
    let mut following = program(&server, &args).spawn().unwrap();
    let line = BufReader::new(following.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["request"]["metadataServer"]["path"], "instance/preemptd");
    server.shutdown().await;
    following.wait().unwrap();

    let with_token = Server::builder().admin(AdminOptions::loopback().token("made-up")).start().await.unwrap();
    let refused = error(program(&with_token, &["requests", "--follow"]), 1);
    assert!(refused.contains("GCE_METADATA_ADMIN_TOKEN"), "{refused}");
    let mut other = program(&with_token, &["requests", "--follow"]);
    other.args(["--admin-url", &with_token.url().unwrap()]);
    assert!(error(other, 1).contains("this is not an admin API"));
}

#[tokio::test]
async fn requests_prints_entries_in_json_one_per_line() {
    let server = asked().await;
    let lines = ok(program(&server, &["requests", "--format", "json"]));
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 3);
    assert_eq!(events[1]["request"]["metadataServer"]["token"]["scopes"][0], "a");
}

#[tokio::test]
async fn requests_of_a_server_without_a_journal_is_an_error() {
    let server = builder().journal_entries(0).start().await.unwrap();
    for args in [&["requests"][..], &["requests", "--count"], &["verify"]] {
        assert!(error(program(&server, args), 1).contains("--journal-entries"), "{args:?}");
    }
}

#[tokio::test]
async fn verify_succeeds_silently_if_the_number_is_the_expected_one() {
    let server = asked().await;
    let headers = [("Metadata-Flavor", "Google"), ("User-Agent", "made-up")];
    let id = request("GET", "/computeMetadata/v1/instance/id", &headers);
    Client::connect(&server).await.send(id, "").await;
    for args in [
        &["verify"][..],
        &["verify", "--path", "instance/id", "--exactly", "2"],
        &["verify", "--path", "instance/id", "--at-least", "1", "--at-most", "2"],
        &["verify", "--path", "instance/name", "--at-most", "0"],
        &["verify", "--path", "instance/id", "--header", "user-agent: made-up", "--exactly", "1"],
        &["verify", "--query", "scopes=a", "--method", "GET", "--exactly", "1"],
        &["verify", "--method", "POST", "--exactly", "0"],
    ] {
        assert_eq!(ok(program(&server, args)), "", "{args:?}");
    }
}

#[tokio::test]
async fn verify_waits_for_a_later_request() {
    let server = builder().start().await.unwrap();
    let mut waiting = program(&server, &["verify", "--path", "instance/id", "--within", "60s"]).spawn().unwrap();
    get(&server, "instance/id").await;
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
}

/// Standard error and the exit status of a command that prints nothing else.
fn failed(mut command: std::process::Command) -> (String, Option<i32>) {
    let output = command.output().unwrap();
    assert_eq!(output.stdout, b"");
    (String::from_utf8(output.stderr).unwrap(), output.status.code())
}

#[tokio::test]
async fn an_unmet_expectation_is_status_1_with_the_count_and_the_near_misses() {
    let server = asked().await;
    let (stderr, status) = failed(program(&server, &["verify", "--path", "instance/preempted"]));
    let expected = "error: expected at least 1 request for {\"path\":\"instance/preempted\"}, received 0 requests; \
        the nearest other requests are:\n  GET /computeMetadata/v1/instance/preemptd\n";
    assert!(stderr.starts_with(expected), "{stderr}");
    assert_eq!(status, Some(1));
    let (stderr, status) =
        failed(program(&server, &["verify", "--path", "instance/maintenanceevent", "--within", "0"]));
    assert!(
        stderr.contains("\nthe metadata has no such key; the nearest keys are instance/maintenance-event"),
        "{stderr}"
    );
    assert_eq!(status, Some(1));
    let (stderr, _) = failed(program(&server, &["verify", "--path", "instance/id", "--at-most", "0"]));
    assert!(stderr.starts_with("error: expected no request for "), "{stderr}");
}

#[tokio::test]
async fn a_wrong_command_line_of_verify_is_status_2() {
    let server = builder().start().await.unwrap();
    for (args, expected) in [
        (&["verify", "--exactly", "1", "--at-least", "1"][..], "cannot be used with"),
        (&["verify", "--at-least", "2", "--at-most", "1"], "--at-most is smaller than --at-least"),
        (&["verify", "--within", "61s"], "at most 60 seconds are possible"),
        (&["verify", "--query", "scopes"], "a parameter is NAME=VALUE"),
        (&["verify", "--header", "Metadata-Flavor"], "a header is 'NAME: VALUE'"),
        (&["verify", "--query", "a=b", "--query", "a=c"], "--query: a is given twice"),
        (&["verify", "--at-least=-1"], "a number is expected"),
    ] {
        assert!(error(program(&server, args), 2).contains(expected), "{args:?}");
    }
}
