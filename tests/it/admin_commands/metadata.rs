//! `get`, `set`, `patch`, `unset`, `reset` and `export`.

use super::{builder, error, ok, program, with_input};
use crate::support::{Client, get};
use gce_metadata_server::{ConfigDocument, Server};
use serde_json::{Value, json};

async fn start() -> Server {
    builder().start().await.unwrap()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn get_prints_strings_as_text_and_other_values_as_json() {
    let server = start().await;
    assert_eq!(ok(program(&server, &["get", "instance/preempted"])), "FALSE\n");
    assert_eq!(ok(program(&server, &["get", "/computeMetadata/v1/project/project-id"])), "sample-project\n");
    let disks = ok(program(&server, &["get", "instance/disks/"]));
    assert_eq!(json_of(&disks)[0]["deviceName"], "boot");
    assert!(disks.lines().count() > 3, "{disks}");
    for whole in [&["get"][..], &["get", "/"], &["export"]] {
        assert_eq!(
            json_of(&ok(program(&server, whole)))["computeMetadata"]["v1"]["project"]["projectId"],
            "sample-project"
        );
    }
    let missing = error(program(&server, &["get", "instance/none"]), 1);
    assert_eq!(missing, "instance/none: the metadata has no such value");
}

#[tokio::test]
async fn get_prints_json_with_entity_tag_and_generation() {
    let server = start().await;
    ok(program(&server, &["set", "instance/preempted", "TRUE"]));
    let shown = json_of(&ok(program(&server, &["get", "instance/preempted", "--format", "json"])));
    let etag = get(&server, "instance/preempted").await.etag().to_owned();
    assert_eq!(shown, json!({"value": "TRUE", "etag": etag, "generation": 1}), "the tag is that of the guests");
}

#[tokio::test]
async fn set_takes_a_string_or_json_or_standard_input() {
    let server = start().await;
    let attribute = async || get(&server, "instance/attributes/new").await.body;
    for (args, input, expected) in [
        (&["set", "instance/attributes/new", "a b"][..], "", "a b"),
        (&["set", "instance/attributes/new", "-5"], "", "-5"),
        (&["set", "instance/attributes/new", "--", "--x"], "", "--x"),
        (&["set", "instance/attributes/new", ""], "", ""),
        (&["set", "instance/attributes/new", "--json", "\"text\""], "", "text"),
        (&["set", "instance/attributes/new", "-"], "#!/bin/sh\nexit\n", "#!/bin/sh\nexit\n"),
        (&["set", "--json", "instance/attributes/new", "-"], "true\n", "true"),
    ] {
        assert_eq!(with_input(program(&server, args), input), "");
        assert_eq!(attribute().await, expected, "{args:?}");
    }
    ok(program(&server, &["set", "instance/tags", "--json", r#"["a", "b"]"#]));
    assert_eq!(get(&server, "instance/tags").await.body, r#"["a","b"]"#);
    ok(program(&server, &["set", "instance/attributes/a%41", "c"]));
    assert_eq!(ok(program(&server, &["get", "instance/attributes/a%41"])), "c\n");
    let not_json = error(program(&server, &["set", "--json", "instance/attributes/new", "{"]), 1);
    assert!(not_json.starts_with("the value is not JSON; leave out --json for a string: EOF"), "{not_json}");
    let conflict = error(program(&server, &["set", "instance/id/below", "1"]), 1);
    assert!(conflict.contains("can't be below a value"), "{conflict}");
}

#[tokio::test]
async fn set_of_the_root_replaces_the_config() {
    let server = start().await;
    let config = r#"{"computeMetadata": {"v1": {"instance": {"id": 7}}}}"#;
    with_input(program(&server, &["set", "/", "-"]), config);
    assert_eq!(get(&server, "instance/id").await.body, "7");
    assert_eq!(get(&server, "project/project-id").await.status, 404);
    let misplaced = error(program(&server, &["set", "/", r#"{"computeMetadata": {"v1": {"instance": 5}}}"#]), 1);
    assert!(misplaced.ends_with("(at /computeMetadata/v1/instance)"), "{misplaced}");
}

#[tokio::test]
async fn patch_changes_several_values_below_a_path_or_the_root() {
    let server = start().await;
    ok(program(&server, &["patch", "instance", r#"{"preempted": "TRUE", "attributes": {"foo": null}}"#]));
    assert_eq!(get(&server, "instance/preempted").await.body, "TRUE");
    with_input(program(&server, &["patch", "-"]), r#"{"project": {"projectId": "p"}}"#);
    assert_eq!(get(&server, "project/project-id").await.body, "p");
    let shown = json_of(&ok(program(&server, &["patch", "project", r#"{"projectId": "q"}"#, "--format", "json"])));
    assert_eq!((&shown["value"]["projectId"], &shown["generation"]), (&"q".into(), &3.into()));
    assert!(error(program(&server, &["patch", "{"]), 1).starts_with("the patch is not JSON: "));
    assert!(error(program(&server, &["patch"]), 2).contains("<JSON>"));
}

#[tokio::test]
async fn unset_removes_a_value() {
    let server = start().await;
    ok(program(&server, &["set", "instance/attributes/new", "a"]));
    assert_eq!(ok(program(&server, &["unset", "instance/attributes/new"])), "");
    assert_eq!(get(&server, "instance/attributes/new").await.status, 404);
    assert!(error(program(&server, &["unset", "instance/attributes/new"]), 1).contains("instance/attributes/new"));
}

#[tokio::test]
async fn a_change_with_another_entity_tag_is_refused() {
    let server = start().await;
    let tag = get(&server, "instance/preempted").await.etag().to_owned();
    let set = |tag: &str, value: &str| program(&server, &["set", "instance/preempted", value, "--if-match", tag]);
    let shown = json_of(&ok({
        let mut command = set(&tag, "TRUE");
        command.args(["--format", "json"]);
        command
    }));
    let new = shown["etag"].as_str().unwrap();
    assert_eq!(shown["value"], "TRUE");
    let stale = error(set(&tag, "FALSE"), 1);
    assert!(stale.contains("its ETag is not that of If-Match"), "{stale}");
    ok(set(&format!("\"{new}\""), "FALSE"));
    ok(set("*", "TRUE"));
    for command in [
        &["patch", "instance", r#"{"preempted": "FALSE"}"#, "--if-match", &tag][..],
        &["unset", "instance/preempted", "--if-match", &tag],
        &["set", "instance/none", "a", "--if-match", "*"],
    ] {
        error(program(&server, command), 1);
    }
    // An empty tag must not be taken for no condition.
    for empty in [&["--if-match", ""][..], &["--if-match="]] {
        let mut command = program(&server, &["set", "instance/preempted", "FALSE"]);
        command.args(empty);
        error(command, 2);
    }
    assert_eq!(get(&server, "instance/preempted").await.body, "TRUE");
}

#[tokio::test]
async fn reset_undoes_changes_and_keeps_what_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vm.json");
    let v1 =
        json!({"instance": {"id": 1, "name": "a", "zone": "z", "attributes": {"enable-guest-attributes": "TRUE"}}});
    std::fs::write(&file, json!({"computeMetadata": {"v1": v1}}).to_string()).unwrap();
    let server = builder().metadata_file(&file).start().await.unwrap();
    let change = || {
        ok(program(&server, &["set", "instance/name", "edited"]));
        ok(program(&server, &["set", "instance/guest-attributes/a/b", "guest"]));
    };
    let shown = async || {
        let guest = get(&server, "instance/guest-attributes/a/b").await;
        (get(&server, "instance/name").await.body, guest.status == 200)
    };
    for (args, keeps_guest_attributes) in [
        (&["reset", "--metadata"][..], true),
        (&["reset", "--metadata", "--guest-attributes"], false),
        (&["reset"], false),
    ] {
        change();
        assert_eq!(shown().await, ("edited".to_owned(), true));
        assert_eq!(ok(program(&server, args)), "");
        assert_eq!(shown().await, ("a".to_owned(), keeps_guest_attributes), "{args:?}");
    }
    assert!(error(program(&server, &["reset", "--guest-attributes"]), 2).contains("--metadata"));
}

#[tokio::test]
async fn another_server_starts_with_the_exported_config() {
    let server = start().await;
    ok(program(&server, &["set", "instance/preempted", "TRUE"]));
    let document = ConfigDocument::from_json(json_of(&ok(program(&server, &["export"])))).unwrap();
    let other = Server::builder().metadata(document.metadata).start().await.unwrap();
    let [one, other] = [get(&server, "?recursive=true").await, get(&other, "?recursive=true").await];
    assert_eq!(one.body, other.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_wakes_on_set() {
    let server = start().await;
    let tag = get(&server, "instance/preempted").await.etag().to_owned();
    let mut waiting = Client::connect(&server).await;
    let poll = format!("instance/preempted?wait_for_change=true&last_etag={tag}");
    let woken = tokio::spawn(async move { waiting.get(&poll).await.body });
    ok(program(&server, &["set", "instance/preempted", "TRUE"]));
    assert_eq!(woken.await.unwrap(), "TRUE");
}
