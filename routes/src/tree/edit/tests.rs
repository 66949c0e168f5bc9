//! Tests of edits: an edited tree equals the tree of the edited JSON.

use super::*;
use crate::Publisher;
use crate::depth::tests::nested;
use serde_json::json;
use std::io;
use std::sync::{Mutex, PoisonError};

fn vm() -> Tree {
    let v1 = json!({"instance": {
        "attributes": {"a": "1"},
        "disks": [{"mode": "READ_WRITE"}, {"mode": "READ_ONLY"}],
        "serviceAccounts": {"default": {"email": "a@example.com"}},
    }});
    Tree::from_json(&v1)
}

fn json_of(tree: &Tree) -> Value {
    serde_json::from_slice(&tree.root.json()).unwrap()
}

#[test]
fn a_set_value_is_served_and_other_nodes_are_shared() {
    let before = vm();
    let after = before.with("instance/attributes/my-Key", &json!("2")).unwrap();
    assert_eq!(json_of(&after)["instance"]["attributes"], json!({"a": "1", "my-Key": "2"}));
    assert!(Arc::ptr_eq(before.get("instance/disks").unwrap(), after.get("instance/disks").unwrap()));
    assert!(before.get("instance/attributes/my-Key").is_none());
}

#[test]
fn an_edited_tree_is_the_tree_of_the_edited_json() {
    assert_eq!(vm().with("instance", &json!({"disks": []})).unwrap().text("instance/preempted").unwrap(), "FALSE");
    let edited = vm()
        .with("instance/disks/1/mode", &json!("READ_WRITE"))
        .and_then(|tree| tree.with("instance/disks/2", &json!({"deviceName": "new"})))
        .and_then(|tree| tree.with("instance/virtual-clock/drift-token", &json!("7")))
        .and_then(|tree| tree.with("instance/network-interfaces", &json!([{"forwardedIps": []}])))
        .and_then(|tree| tree.without("instance/attributes/a"))
        .and_then(|tree| tree.without("instance/disks/0"))
        .unwrap();
    let v1 = json!({"instance": {
        "attributes": {},
        "disks": [{"mode": "READ_WRITE"}, {"deviceName": "new"}],
        "networkInterfaces": [{"forwardedIps": []}],
        "serviceAccounts": {"default": {"email": "a@example.com"}},
        "virtualClock": {"driftToken": "7"},
    }});
    assert_eq!(edited, Tree::from_json(&v1));
}

#[test]
fn a_merge_patch_sets_and_removes() {
    let patch = json!({"instance": {"attributes": {"a": null, "b": "2"}, "disks": null, "cpuPlatform": "c"}});
    let patched = vm().with_merged("", &patch).unwrap();
    assert_eq!(json_of(&patched)["instance"]["attributes"], json!({"b": "2"}));
    assert!(patched.get("instance/disks").is_none());
    assert_eq!(patched.text("instance/cpu-platform").unwrap(), "c");
    assert_eq!(**patched.get("instance/service-accounts/default/token").unwrap(), Node::Computed);
    assert_eq!(patched.text("universe/universe-domain").unwrap(), "googleapis.com");
    assert_eq!(
        vm().with_merged("instance/attributes/a", &json!("2")).unwrap(),
        vm().with("instance/attributes/a", &json!("2")).unwrap()
    );
    assert_eq!(vm().with_merged("", &json!("x")), Err(EditError::Root));
}

#[test]
fn a_missing_list_is_added_as_a_list() {
    let tree = vm().with("instance/network-interfaces/0/access-configs/0/type", &json!("ONE_TO_ONE_NAT")).unwrap();
    let interfaces = json!([{"accessConfigs": [{"type": "ONE_TO_ONE_NAT"}]}]);
    assert_eq!(json_of(&tree)["instance"]["networkInterfaces"], interfaces);
    assert!(vm().with("instance/network-interfaces/1/ip", &json!("10.0.0.1")).is_err(), "there is no 0");
}

#[test]
fn a_value_of_the_wrong_type_is_an_error() {
    for (path, value, problem) in [
        ("instance/attributes", json!(5), "instance/attributes: an object is expected, not a number"),
        ("instance/disks", json!("x"), "instance/disks: a list is expected, not a string"),
        ("instance", json!({"disks": 1}), "instance: disks: a list is expected, not a number"),
    ] {
        assert_eq!(vm().with(path, &value).unwrap_err().to_string(), problem);
    }
    let error = vm().with_merged("", &json!({"instance": {"disks": 1}})).unwrap_err().to_string();
    assert_eq!(error, "instance.disks: a list is expected, not a number");
}

#[test]
fn an_added_account_is_completed() {
    let tree = vm().with("instance/service-accounts/b@example.com/scopes", &json!(["s"])).unwrap();
    let account = tree.service_account("b@example.com").unwrap();
    assert_eq!((&*account.email, &*account.scopes[0], account.is_default()), ("b@example.com", "s", false));
    let tree = vm().with_merged("", &json!({"instance": {"serviceAccounts": {"c@example.com": {}}}})).unwrap();
    assert_eq!(tree.service_account("c@example.com").unwrap().email, "c@example.com");
}

#[test]
fn a_removed_value_falls_back_to_its_default() {
    let tree = vm().with("instance/preempted", &json!("TRUE")).unwrap().without("instance/preempted").unwrap();
    assert_eq!(tree, vm());
    assert_eq!(tree.text("instance/preempted").unwrap(), "FALSE");
    assert!(vm().without("instance/attributes/a").unwrap().get("instance/attributes/a").is_none());
}

#[test]
fn a_merge_patch_does_not_make_defaults_visible() {
    let tree = vm().with_merged("instance/virtual-clock", &json!({"more": "1"})).unwrap();
    assert_eq!(json_of(&tree)["instance"]["virtualClock"], json!({"more": "1"}));
}

#[test]
fn setting_a_default_makes_it_visible() {
    let tree = vm().with("instance/preempted", &json!("TRUE")).unwrap();
    assert_eq!(json_of(&tree)["instance"]["preempted"], "TRUE");
    assert_eq!(json_of(&vm())["instance"].get("preempted"), None);
}

#[test]
fn a_path_that_can_not_be_edited_is_an_error_with_the_remedy() {
    for (path, remedy) in [
        ("", "name a path"),
        ("instance/attributes/a/b", "`b` can't be below a value"),
        ("instance/disks/5", "`5` is not an index"),
        ("instance/disks/-1", "`-1` is not an index"),
        ("instance/attributes/a b", "`a b` can't be part of a URL"),
        ("instance/service-accounts/default/token", "computed for each request"),
        ("instance/cpuPlatform", "`cpuPlatform` is spelled `cpu-platform`"),
        ("instance/networkInterfaces/0/ip", "`networkInterfaces` is spelled `network-interfaces`"),
        ("/computeMetadata/v1/instance/id", "begins below /computeMetadata/v1/"),
    ] {
        let error = vm().with(path, &json!("x")).unwrap_err().to_string();
        assert!(error.contains(remedy) && error.contains(path), "{path}: {error}");
    }
    assert_eq!(vm().without("instance/x/y"), Err(EditError::NotFound { path: "instance/x/y".into() }));
    assert!(vm().without("instance/service-accounts/default/identity").is_err());
    assert!(matches!(vm().without("instance/cpuPlatform"), Err(EditError::Misspelled { .. })));
    // Keys with the same kebab-case form keep their spelling.
    let both = Metadata::from_json(json!({"instance": {"fooBar": 1, "foo-bar": 2}})).unwrap().tree();
    assert_eq!(both.with("instance/fooBar", &json!(3)).unwrap().text("instance/fooBar").unwrap(), "3");
}

#[test]
fn an_empty_patch_changes_nothing() {
    let odd = json!({"instance": {
        "gceWorkloadCertificates": {"workloadIdentities": {"pem": "hidden"}, "configStatus": "{}"},
        "upcomingMaintenance": {"canReschedule": "TRUE"}, "workloadIdentities": "hidden",
    }});
    for v1 in [odd, json!({"project": {}}), json!({"instance": {"serviceAccounts": {"default": {}}}})] {
        let tree = Metadata::from_json(v1).unwrap().tree();
        assert_eq!(tree.with_merged("", &json!({})).unwrap(), tree);
    }
}

#[test]
fn recursion_omits_a_secret_that_was_set_by_an_edit() {
    const PATHS: [&str; 2] = ["instance/workload-identities", "instance/gce-workload-certificates/workload-identities"];
    for path in PATHS {
        let tree = vm().with(path, &json!({"pem": "hidden"})).unwrap();
        let patched = tree.with_merged("", &json!({"instance": {"name": "vm"}})).unwrap();
        for tree in [&tree, &patched, &tree.with(path, &json!("hidden")).unwrap()] {
            assert!(tree.text(path).unwrap().contains("hidden"));
            let (above, name) = path.rsplit_once('/').unwrap();
            assert!(str::from_utf8(&tree.get(above).unwrap().listing()).unwrap().contains(name));
            let (json, text) = (tree.root.json(), tree.root.text());
            assert!([json, text].iter().all(|form| !str::from_utf8(form).unwrap().contains("hidden")));
        }
    }
}

#[test]
fn a_merge_patch_merges_into_objects_that_are_leaves() {
    let tree = Tree::from_json(&json!({"instance": {
        "upcomingMaintenance": {"maintenance_status": "PENDING", "type": "SCHEDULED"},
        "workloadIdentities": {"status": "OK", "workloadCredentials": {"a": 1}},
        "workloadTrustedRootCerts": "no JSON",
    }}));
    let patch = json!({"upcomingMaintenance": {"maintenanceStatus": "ONGOING"},
        "workloadIdentities": {"workloadCredentials": {"b": 2}}, "workloadTrustedRootCerts": {"status": "OK"}});
    for tree in [tree.with_merged("instance", &patch), tree.with_merged("", &json!({"instance": patch}))] {
        let text = |path| tree.as_ref().unwrap().text(path).unwrap();
        assert_eq!(text("instance/upcoming-maintenance"), "maintenance_status ONGOING\ntype SCHEDULED\n");
        let identities: Value = serde_json::from_str(&text("instance/workload-identities")).unwrap();
        assert_eq!(identities, json!({"status": "OK", "workloadCredentials": {"a": 1, "b": 2}}));
        assert_eq!(text("instance/workload-trusted-root-certs"), "{\n \"status\": \"OK\"\n}\n");
    }
    let tree = tree.with_merged("instance/upcoming-maintenance", &json!({"type": null})).unwrap();
    assert_eq!(tree.text("instance/upcoming-maintenance").unwrap(), "maintenance_status PENDING\n");
}

#[test]
fn a_deeply_nested_path_or_value_is_an_error_and_no_stack_overflow() {
    let path = |segments: usize| vec!["a"; segments].join("/");
    let deepest = vm().with(&path(100), &json!("leaf")).unwrap();
    assert_eq!(deepest.text(&path(100)).unwrap(), "leaf");
    assert!(str::from_utf8(&deepest.root.text()).unwrap().contains(&format!("{} leaf", path(100))));
    assert_eq!(deepest.with_merged("", &json!({"b": 1})).unwrap().text(&path(100)).unwrap(), "leaf");
    for segments in [101, 50_000] {
        let path = path(segments);
        let too_deep = EditError::TooDeep { path: path.clone() };
        assert!(too_deep.to_string().len() < 200, "{too_deep}");
        assert_eq!(vm().with(&path, &json!("leaf")).unwrap_err(), too_deep);
        assert_eq!(vm().with_merged(&path, &json!("leaf")).unwrap_err(), too_deep);
        assert_eq!(vm().without(&path).unwrap_err(), too_deep);
        assert!(deepest.get(&path).is_none());
    }
    let publisher = Publisher::new(vm());
    publisher.set("instance/odd", nested(98)).unwrap();
    for levels in [99, 100_000] {
        let wanted =
            "instance/odd: nested more than 100 levels deep, the path included: shorten the path, or flatten the value";
        assert_eq!(publisher.set("instance/odd", nested(levels)).unwrap_err().to_string(), wanted);
        assert_eq!(publisher.merge("instance/odd", nested(levels)).unwrap_err().to_string(), wanted);
    }
    assert!(publisher.merge("", nested(100_000)).unwrap_err().to_string().starts_with("nested more"));
}

#[test]
fn an_edit_is_converted_to_gces_types_and_a_config_is_not() {
    let config = json!({"instance": {"id": "7", "preempted": true, "scheduling": {"preemptible": false}}});
    let tree = Metadata::unfilled(config.clone()).tree();
    assert_eq!(json_of(&tree.with_merged("", &json!({})).unwrap()), config);
    let tree = tree.with("instance/preempted", &json!(true)).unwrap();
    let tree = tree.with("instance/attributes/x", &json!(5)).unwrap();
    let tree = tree.with_merged("", &json!({"instance": {"attributes": {"y": true}, "id": "8"}})).unwrap();
    let wanted = json!({"instance": {
        "attributes": {"x": "5", "y": "true"}, "id": 8, "preempted": "TRUE", "scheduling": {"preemptible": false},
    }});
    assert_eq!(json_of(&tree), wanted);
    assert_eq!(
        tree.with("instance/guest-attributes/ns/key", &json!(5)).unwrap().guest_attributes().get("ns", "key"),
        Some("5")
    );
}

/// Runs edits and returns the log.
fn logged(edits: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).without_time().finish();
    tracing::subscriber::with_default(lines, edits);
    String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn a_new_key_that_gce_does_not_have_is_logged_once() {
    let publisher = Publisher::new(vm());
    let log = logged(|| {
        publisher.set("instance/preemptd", "hidden").unwrap();
        publisher.set("instance/preemptd", "again").unwrap();
        publisher.merge("instance", json!({"disks": [{"odd": 1}], "gone": null})).unwrap();
        publisher.set("instance/attributes/mine", "own").unwrap();
        publisher.set("instance/guest-attributes/mine/own", "own").unwrap();
        publisher.set("instance/preempted", true).unwrap();
        publisher.set("odd/a b", 1).unwrap_err();
        publisher.remove("instance/preemptd").unwrap();
    });
    let warning = "GCE is not known to have this key: check its spelling; it is served unchanged path=";
    let paths: Vec<_> =
        log.lines().map(|line| line.split_once(warning).unwrap_or_else(|| panic!("{line}")).1).collect();
    assert_eq!(paths, ["\"instance/preemptd\" did_you_mean=\"preempted\"", "\"instance/disks/0/odd\""]);
    assert!(log.lines().all(|line| line.contains("WARN")), "{log}");
}
