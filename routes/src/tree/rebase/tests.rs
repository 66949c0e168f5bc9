//! Tests of the three-way merge of edits and a reloaded config.

use super::*;
use crate::{GuestAttributes, OsLogin};
use proptest::prelude::*;
use serde_json::json;

fn tree(v1: Value) -> Tree {
    Metadata::unfilled(v1).tree()
}

fn instance(instance: Value) -> Tree {
    tree(json!({"instance": instance}))
}

fn attributes(attributes: Value) -> Tree {
    instance(json!({"attributes": attributes}))
}

fn json_of(tree: &Tree, path: &str) -> Value {
    serde_json::from_slice(&tree.get(path).unwrap().json()).unwrap()
}

#[test]
fn changes_of_both_sides_are_kept_and_the_config_wins_a_conflict() {
    let before =
        attributes(json!({"kept": "1", "filed": "1", "edited": "1", "both": "1", "removed": "1", "gone": "1"}));
    let onto = attributes(json!({"kept": "1", "filed": "2", "edited": "1", "both": "2", "removed": "1", "added": "2"}));
    let edits = [("edited", "e"), ("both", "e"), ("set", "e")];
    let edited = edits.into_iter().fold(before.clone(), |tree, (key, value)| {
        tree.with(&format!("instance/attributes/{key}"), &value.into()).unwrap()
    });
    let edited = edited.without("instance/attributes/removed").unwrap();
    let rebased = edited.rebased(&before, &onto);
    let expected = json!({"kept": "1", "filed": "2", "edited": "e", "both": "2", "added": "2", "set": "e"});
    assert_eq!(json_of(&rebased, "instance/attributes"), expected);
    assert_eq!(edited.rebased(&before, &before), edited);
    assert_eq!(before.rebased(&before, &onto), onto);
}

#[test]
fn a_list_is_merged_as_one_value_unless_its_length_is_the_same() {
    let nics = |ips: &[&str]| {
        let nics: Vec<_> = ips.iter().map(|ip| json!({"ip": ip, "forwardedIps": [], "mtu": 1460})).collect();
        instance(json!({"networkInterfaces": nics}))
    };
    let before = nics(&["10.0.0.1", "10.0.0.2"]);
    let edited = before.with("instance/network-interfaces/0/forwarded-ips/0", &json!("192.0.2.1")).unwrap();
    let rebased = edited.rebased(&before, &nics(&["10.0.0.1", "10.0.0.3"]));
    assert_eq!(rebased.text("instance/network-interfaces/0/forwarded-ips/0").unwrap(), "192.0.2.1");
    assert_eq!(rebased.text("instance/network-interfaces/1/ip").unwrap(), "10.0.0.3");
    let onto = nics(&["10.0.0.1"]);
    assert_eq!(edited.rebased(&before, &onto), onto);
}

#[test]
fn a_removed_directory_keeps_only_added_entries() {
    let before = attributes(json!({"a": "1"}));
    let edited = before.with("instance/attributes/b", &json!("2")).unwrap();
    let rebased = edited.rebased(&before, &instance(json!({"id": 7})));
    assert_eq!(json_of(&rebased, "instance"), json!({"attributes": {"b": "2"}, "id": 7}));
    let edited = before.with("instance/attributes/a", &json!("2")).unwrap();
    assert_eq!(edited.rebased(&before, &instance(json!({"id": 7}))), instance(json!({"id": 7})));
}

#[test]
fn a_directory_that_an_edit_removed_and_the_config_changed_is_restored() {
    let of =
        |preemptible: &str| instance(json!({"scheduling": {"automaticRestart": "TRUE", "preemptible": preemptible}}));
    let removed = of("FALSE").without("instance/scheduling").unwrap();
    assert_eq!(removed.rebased(&of("FALSE"), &of("TRUE")), of("TRUE"));
    assert_eq!(removed.rebased(&of("FALSE"), &of("FALSE")), removed);
}

#[test]
fn an_object_leaf_is_merged_as_one_value() {
    let of = |id: u64, status: &str| {
        instance(json!({"id": id, "upcomingMaintenance": {"maintenanceStatus": status, "canReschedule": "TRUE"}}))
    };
    let edited = of(1, "PENDING").with("instance/upcoming-maintenance", &json!({"type": "UNSCHEDULED"})).unwrap();
    assert_eq!(edited.rebased(&of(1, "PENDING"), &of(1, "ONGOING")), of(1, "ONGOING"));
    let rebased = edited.rebased(&of(1, "PENDING"), &of(2, "PENDING"));
    assert_eq!(json_of(&rebased, "instance"), json!({"id": 2, "upcomingMaintenance": {"type": "UNSCHEDULED"}}));
}

#[test]
fn defaults_do_not_count_as_changes() {
    let before = instance(json!({"id": 1}));
    let edited = before.with("instance/virtual-clock/drift-token", &json!("7")).unwrap();
    let rebased = edited.rebased(&before, &instance(json!({"id": 1, "virtualClock": {"other": "x"}})));
    assert_eq!(rebased, instance(json!({"id": 1, "virtualClock": {"driftToken": "7", "other": "x"}})));
}

#[test]
fn service_accounts_are_merged_as_one_value() {
    let of = |scope: &str| {
        let account = json!({"email": "a@example.com", "aliases": ["default"], "scopes": [scope]});
        instance(json!({"serviceAccounts": {"default": account, "a@example.com": account}}))
    };
    let (before, onto) = (of("1"), of("2"));
    let renamed = before.with("instance/service-accounts/default/email", &json!("b@example.com")).unwrap();
    let removed = before.without("instance/service-accounts/a@example.com").unwrap();
    for edited in [renamed, removed] {
        assert_eq!(edited.rebased(&before, &onto), onto);
        assert_eq!(json_of(&edited.rebased(&before, &before), ""), json_of(&edited, ""));
    }
}

#[test]
fn guest_attributes_stay_hidden_if_the_config_has_none() {
    let mut written = GuestAttributes::default();
    written.set("ns", "key", "mine");
    for (before, onto) in [
        (json!({"instance": {"id": 1}}), json!({"instance": {"id": 2}})),
        (json!({"instance": {"id": 1, "guestAttributes": {}}}), json!({"instance": {"id": 2, "guestAttributes": {}}})),
        (json!({"instance": {"id": 1}}), json!({"project": {}})),
    ] {
        let (before, onto) = (tree(before), tree(onto));
        for edited in [before.clone(), before.with("instance/name", &json!("vm")).unwrap()] {
            let rebased = edited.with_guest_attributes(&written).unwrap().rebased(&before, &onto);
            assert_eq!(rebased.guest_attributes(), written);
            let shown = |tree: &Tree| tree.get("").unwrap().json();
            assert_eq!(
                shown(&rebased),
                shown(&edited.rebased(&before, &onto)),
                "guest attributes do not change the directories above"
            );
        }
    }
}

#[test]
fn os_login_is_merged_as_one_value() {
    let of = |name: &str| {
        let person = json!({"name": "1", "posixAccounts": [{"username": name, "uid": "1001"}]});
        OsLogin::from_json(json!({"loginProfiles": [person]})).unwrap()
    };
    let with = |id: u64, os_login: OsLogin| {
        Metadata::from_json(json!({"instance": {"id": id}})).unwrap().with_os_login(os_login).tree()
    };
    let edited = with(1, of("bob"));
    assert_eq!(edited.rebased(&with(1, of("ada")), &with(2, of("ada"))), with(2, of("bob")));
    assert_eq!(edited.rebased(&with(1, of("ada")), &with(1, of("eve"))), with(1, of("eve")));
}

fn any_instance() -> impl Strategy<Value = Tree> {
    let leaves = || proptest::collection::btree_map("[ab]", "[12]", 0..3);
    proptest::collection::btree_map("(attributes|mine|other)", leaves(), 0..4)
        .prop_map(|directories| instance(serde_json::to_value(directories).unwrap()))
}

proptest! {
    #[test]
    fn no_change_of_either_side_is_lost(edited in any_instance(), before in any_instance(), onto in any_instance()) {
        let rebased = edited.rebased(&before, &onto);
        for directory in ["attributes", "mine", "other"].map(|name| format!("instance/{name}")) {
            if [&edited, &before, &onto].iter().any(|tree| tree.owner_json(&directory).is_none()) {
                continue;
            }
            for key in ["a", "b"] {
                let at = |tree: &Tree| tree.text(&format!("{directory}/{key}"));
                let expected = if at(&onto) == at(&before) { at(&edited) } else { at(&onto) };
                prop_assert_eq!(at(&rebased), expected, "{} {}", directory, key);
            }
        }
    }

    /// A rebased tree equals the tree that is built from its JSON.
    #[test]
    fn a_rebased_tree_equals_the_tree_of_its_json(edited in any_instance(), before in any_instance(), onto in any_instance()) {
        let rebased = edited.rebased(&before, &onto);
        prop_assert_eq!(&rebased, &tree(json_of(&rebased, "")));
        prop_assert_eq!(&edited.rebased(&before, &before), &edited);
        prop_assert_eq!(&before.rebased(&before, &onto), &onto);
    }
}
